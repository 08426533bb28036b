"""What can go wrong on purpose: the kinds of fault, and the plan that says which call gets which.

A fault belongs to a patient (kept in the patient's record, or set on the plan) or to a call (a queue of single shots,
or every n-th call). Single shots go first, then every n-th, then the patient's.
"""

import json
import threading
import tomllib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

__all__ = ["Fault", "FaultKind", "FaultPlan", "InvalidFault"]


_MAX_SECONDS: Final = 3600
_MAX_NUMBER: Final = 1_000_000_000
_STATUSES: Final = range(100, 600)


class InvalidFault(ValueError):
    """A fault description names no kind of fault, or gives a kind a field of the wrong type."""


class FaultKind(Enum):
    """How a call goes wrong; what a fault's other fields mean is said with each."""

    DELAY = "delay"
    """Wait ``seconds`` before the store is asked, then answer well."""
    LATE = "late"
    """Work the answer out now, send it after ``seconds`` on the same connection, wanted or not."""
    DROP_BEFORE_READING = "drop-before-reading"
    """Reset the connection when the first byte of the request arrives (calls only: no patient is known yet)."""
    DROP_AFTER_READING = "drop-after-reading"
    """Read the whole request, then reset the connection."""
    CUT = "cut"
    """Send half of the answer's bytes, then reset the connection."""
    HTTP_STATUS = "http-status"
    """Answer ``status`` (500) with a short plain text."""
    HTML = "html"
    """Answer ``status`` (200) with an HTML page, as a proxy would."""
    SOAP_FAULT = "soap-fault"
    """Answer HTTP 500 with a Spine SOAP fault of every error code in ``codes`` (200)."""
    REFUSAL = "refusal"
    """Answer a QUQI_IN010000UK14 with every reason in ``codes`` (0)."""
    GENERAL_REFUSAL = "general-refusal"
    """Answer an MCCI_IN010000UK13, acknowledgement AE, with every reason in ``codes`` (GE002)."""
    REJECTION = "rejection"
    """Answer an MCCI_IN010000UK13, acknowledgement AR, with every detail in ``codes`` (200)."""
    TRUNCATED_XML = "truncated-xml"
    """A complete HTTP answer whose XML stops in the middle."""
    WRONG_CHARSET = "wrong-charset"
    """The right text in UTF-16 under headers and a declaration that say UTF-8."""
    WRONG_INTERACTION = "wrong-interaction"
    """A positive answer of another query's kind, correctly correlated."""
    WRONG_PATIENT = "wrong-patient"
    """The record of ``nhs_number`` (or of the next patient in the store), correctly correlated."""
    UNCORRELATED = "uncorrelated"
    """The right record, in reply to message identifiers that nobody sent."""
    DUPLICATED = "duplicated"
    """The right answer, twice, on one connection."""


_DEFAULT_CODES = {
    FaultKind.SOAP_FAULT: ("200",),
    FaultKind.REFUSAL: ("0",),
    FaultKind.GENERAL_REFUSAL: ("GE002",),
    FaultKind.REJECTION: ("200",),
}
_DEFAULT_STATUS = {FaultKind.HTTP_STATUS: 500, FaultKind.HTML: 200}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong. Fields that a kind does not use are ignored.

    ``seconds`` is a time, ``status`` an HTTP status, ``interaction`` limits the fault to one kind of query
    (for example ``QUPA_IN000008UK02``).
    """

    kind: FaultKind
    seconds: float = 0.0
    status: int | None = None
    codes: tuple[str, ...] = ()
    nhs_number: str | None = None
    interaction: str | None = None

    @property
    def http_status(self) -> int:
        """The status to answer with."""
        return self.status or _DEFAULT_STATUS.get(self.kind, 500)

    @property
    def error_codes(self) -> tuple[str, ...]:
        """The codes to answer with."""
        return self.codes or _DEFAULT_CODES.get(self.kind, ())

    def applies_to(self, interaction: str) -> bool:
        """Whether a query of this kind meets the fault."""
        return self.interaction is None or self.interaction == interaction

    def as_mapping(self) -> dict[str, object]:
        """The description that :meth:`from_mapping` reads, without the fields that are not set."""
        described: dict[str, object] = {"kind": self.kind.value}
        if self.seconds:
            described["seconds"] = self.seconds
        if self.codes:
            described["codes"] = list(self.codes)
        for name in ("status", "nhs_number", "interaction"):
            value = getattr(self, name)
            if value is not None:
                described[name] = value
        return described

    @classmethod
    def from_mapping(cls, described: Mapping[str, object]) -> "Fault":
        """Read a description: ``{"kind": "delay", "seconds": 2}``.

        Raises:
            InvalidFault: an unknown kind or field, or a value of the wrong type.
        """
        unknown = set(described) - {"kind", "seconds", "status", "codes", "nhs_number", "interaction"}
        if unknown:
            raise InvalidFault(f"a fault has no field {min(unknown)!r}")
        try:
            kind = FaultKind(described.get("kind"))
        except ValueError:
            raise InvalidFault("kind must be one of " + ", ".join(kind.value for kind in FaultKind)) from None
        codes = described.get("codes", ())
        if not isinstance(codes, list | tuple) or not all(map(_is_code, codes)):
            raise InvalidFault("codes must be a list of texts or numbers")
        return cls(
            kind,
            seconds=_seconds(described.get("seconds", 0)),
            status=_whole(described.get("status")),
            codes=tuple(str(code) for code in codes),
            nhs_number=_text(described.get("nhs_number"), "nhs_number"),
            interaction=_text(described.get("interaction"), "interaction"),
        )


def _seconds(value: object) -> float:
    # Longer is a mistake, and a clock cannot wait for "1e300"; written so that "nan" is refused too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_SECONDS:
        raise InvalidFault(f"seconds must be a number from 0 to {_MAX_SECONDS}")
    return float(value)


def _whole(value: object) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidFault("status must be a whole number")
    if value is not None and value not in _STATUSES:
        raise InvalidFault("status must be an HTTP status")
    return value


def _is_code(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= _MAX_NUMBER
    return isinstance(value, str)


def _text(value: object, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidFault(f"{name} must be a text")
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        # Half a character of JSON ("\ud800"): no database can be asked for it.
        raise InvalidFault(f"{name} must be a text") from None
    return value


@dataclass(slots=True)
class _Nth:
    """A fault for every n-th call that it applies to."""

    every: int
    fault: Fault
    seen: int = 0


@dataclass(slots=True)
class FaultPlan:
    """Which call gets which fault; safe to change while the server runs."""

    _shots: deque[Fault] = field(default_factory=deque)
    _nth: list[_Nth] = field(default_factory=list)
    _patients: dict[str, Fault] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def once(self, fault: Fault, times: int = 1) -> None:
        """Queue a fault for the next ``times`` calls that it applies to."""
        with self._lock:
            self._shots.extend([fault] * times)

    def every(self, n: int, fault: Fault) -> None:
        """Let every ``n``-th call that the fault applies to go wrong.

        Raises:
            InvalidFault: ``n`` is less than 1.
        """
        if n < 1:
            raise InvalidFault("every must be at least 1")
        with self._lock:
            self._nth.append(_Nth(n, fault))

    def for_patient(self, nhs_number: str, fault: Fault) -> None:
        """Let every call about this patient go wrong; replaces the fault in the patient's record.

        Raises:
            InvalidFault: the kind needs to act before any patient is known.
        """
        if fault.kind is FaultKind.DROP_BEFORE_READING:
            raise InvalidFault("drop-before-reading acts before a patient is known; use drop-after-reading")
        with self._lock:
            self._patients[nhs_number] = fault

    def clear(self) -> None:
        """Forget everything that was planned (faults in patients' records stay)."""
        with self._lock:
            self._shots.clear()
            self._nth.clear()
            self._patients.clear()

    def take_before_reading(self) -> bool:
        """Whether the call that is about to be read is to be dropped unread; uses the planned fault up."""
        # Looked at without the lock first: almost every call finds nothing planned.
        if not self._shots and not self._nth:
            return False
        with self._lock:
            if self._shots and self._shots[0].kind is FaultKind.DROP_BEFORE_READING:
                self._shots.popleft()
                return True
            return any(_due(nth) for nth in self._nth if nth.fault.kind is FaultKind.DROP_BEFORE_READING)

    def take(self, interaction: str) -> Fault | None:
        """The fault planned for this call, used up, or None."""
        if not self._shots and not self._nth:
            return None
        with self._lock:
            for position, fault in enumerate(self._shots):
                if fault.kind is not FaultKind.DROP_BEFORE_READING and fault.applies_to(interaction):
                    del self._shots[position]
                    return fault
            due = [
                nth.fault
                for nth in self._nth
                if nth.fault.kind is not FaultKind.DROP_BEFORE_READING
                and nth.fault.applies_to(interaction)
                and _due(nth)
            ]
            return due[0] if due else None

    def of_patient(self, nhs_number: str) -> Fault | None:
        """The fault planned for a patient, or None."""
        return self._patients.get(nhs_number)

    def describe(self) -> dict[str, object]:
        """What is planned, in the form of a faults file."""
        with self._lock:
            return {
                "once": [fault.as_mapping() for fault in self._shots],
                "every": [{"n": nth.every, **nth.fault.as_mapping()} for nth in self._nth],
                "patient": [{"of": number, **fault.as_mapping()} for number, fault in self._patients.items()],
            }

    def apply(self, described: Mapping[str, object]) -> None:
        """Add what a faults file or the admin page describes.

        Tables ``once``, ``every`` (with ``n``) and ``patient`` (with ``of``, an NHS number) hold lists of faults.

        Raises:
            InvalidFault: anything in it is not understood; nothing of it is added then.
        """
        try:
            shots, nth, patients = _read(described)
        except RecursionError:
            # Read without trouble, and still too deep to be shown in the text of an error.
            raise InvalidFault("nested too deeply") from None
        for fault in shots:
            self.once(fault)
        for count, fault in nth:
            self.every(count, fault)
        for number, fault in patients:
            self.for_patient(number, fault)

    def load(self, path: Path) -> None:
        """Add what a faults file (TOML, or JSON by its suffix) describes.

        Raises:
            InvalidFault: the file is not TOML or JSON, or not a faults file.
            OSError: the file cannot be read.
        """
        content = path.read_bytes()
        try:
            text = content.decode("utf-8")
            described = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        except ValueError as error:
            raise InvalidFault(f"{path.name} is not readable: {error}") from None
        except RecursionError:
            raise InvalidFault(f"{path.name} is nested too deeply") from None
        if not isinstance(described, dict):
            raise InvalidFault(f"{path.name} does not hold tables")
        self.apply(described)


def _read(
    described: Mapping[str, object],
) -> tuple[list[Fault], list[tuple[int, Fault]], list[tuple[str, Fault]]]:
    """Single shots, faults of every n-th call and faults of patients."""
    unknown = set(described) - {"once", "every", "patient"}
    if unknown:
        raise InvalidFault(f"a faults file has no table {min(unknown)!r}")
    shots = [Fault.from_mapping(entry) for entry in _entries(described, "once")]
    nth = [(_count(entry), _fault_in(entry, "n")) for entry in _entries(described, "every")]
    patients = [(_number(entry), _fault_in(entry, "of")) for entry in _entries(described, "patient")]
    if any(fault.kind is FaultKind.DROP_BEFORE_READING for _, fault in patients):
        raise InvalidFault("drop-before-reading acts before a patient is known; use drop-after-reading")
    return shots, nth, patients


def _due(nth: _Nth) -> bool:
    nth.seen += 1
    return nth.seen % nth.every == 0


def _entries(described: Mapping[str, object], table: str) -> list[Mapping[str, object]]:
    entries = described.get(table, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidFault(f"{table} must be a list of tables")
    return entries


def _fault_in(entry: Mapping[str, object], besides: str) -> Fault:
    return Fault.from_mapping({key: value for key, value in entry.items() if key != besides})


def _count(entry: Mapping[str, object]) -> int:
    count = entry.get("n")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MAX_NUMBER:
        raise InvalidFault("n must be a whole number of at least 1")
    return count


def _number(entry: Mapping[str, object]) -> str:
    number = _text(entry.get("of"), "of")
    if number is None:
        raise InvalidFault("of must be an NHS number")
    return number
