"""What the embedded Spine holds about a person: every value as it will be written, odd ones included.

Unlike the domain's person, nothing here is judged or normalised: a store must be able to hold what real PDS data holds.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from smsp_provider.domain.masking import Masked
from smsp_provider.simulator.faults import Fault

__all__ = [
    "ALWAYS",
    "RelatedPerson",
    "Span",
    "SpineAddress",
    "SpineItem",
    "SpineName",
    "SpinePatient",
    "SpinePractice",
    "SpineTelecom",
    "SupersededStyle",
    "has_not_ended",
    "is_current",
]

_DAY: Final = 8


@dataclass(frozen=True, slots=True)
class Span:
    """From ``low`` to ``high``, HL7 timestamps of any precision; an open end is None."""

    low: str | None = None
    high: str | None = None

    def has_started(self, today: str) -> bool:
        """Whether ``low`` is not after ``today`` (YYYYMMDD), as far as its precision says."""
        return self.low is None or self.low[:_DAY] <= today[: len(self.low)]

    def has_ended(self, today: str) -> bool:
        """Whether ``high`` lies before ``today`` (YYYYMMDD), as far as its precision says."""
        return self.high is not None and self.high[:_DAY] < today[: len(self.high)]


ALWAYS: Final = Span()
"""No start and no end."""


@dataclass(frozen=True, slots=True, repr=False)
class SpineName(Masked):
    """A name; ``use`` is the list of HL7 codes with blanks between, an empty part is written as an empty element.

    Of every item, ``period`` says when it applied to the person, ``held`` when PDS held it (an end withdraws it).
    """

    use: str
    family: str | None
    given: tuple[str, ...] = ()
    prefix: str | None = None
    suffix: str | None = None
    period: Span = ALWAYS
    held: Span = ALWAYS


@dataclass(frozen=True, slots=True, repr=False)
class SpineAddress(Masked):
    """An address; ``lines`` as PDS has them (five, or fewer in old data)."""

    use: str
    lines: tuple[str, ...]
    postcode: str | None = None
    address_key: str | None = None
    description: str | None = None
    period: Span = ALWAYS
    held: Span = ALWAYS


@dataclass(frozen=True, slots=True, repr=False)
class SpineTelecom(Masked):
    """A telephone number, mail address and so on; ``value`` with its scheme."""

    use: str
    value: str
    period: Span = ALWAYS
    held: Span = ALWAYS


@dataclass(frozen=True, slots=True, repr=False)
class SpinePractice(Masked):
    """A care provision: ``kind`` 1 is the registered practice; P1 pharmacy, P2 contractor, P3 dispensing doctor."""

    ods_code: str
    kind: str = "1"
    period: Span = ALWAYS
    held: Span = ALWAYS


SpineItem = SpineName | SpineAddress | SpineTelecom | SpinePractice


@dataclass(frozen=True, slots=True, repr=False)
class RelatedPerson(Masked):
    """Somebody named in the patient's record: their values must never be taken for the patient's."""

    relationship: str
    name: SpineName
    address: SpineAddress | None = None
    telecom: SpineTelecom | None = None


class SupersededStyle(Enum):
    """How a cross-check of a superseded number is answered; the public documents know all three."""

    ANSWER = "answer"
    """Positively, with the new record and warning 24."""
    REFUSE_17 = "refuse-17"
    """Refused with code 17, without the new number."""
    REFUSE_44 = "refuse-44"
    """Refused with code 44, without the new number."""


@dataclass(frozen=True, slots=True, repr=False)
class SpinePatient(Masked):
    """One record.

    ``confidentiality`` is S, B, Y or None. ``death_status`` is 1 (informal) or 2 (formal). ``superseded_by`` is the
    number of the record that replaced this one; ``one_hop`` answers with that record even if it was replaced itself
    (broken data: a real Spine follows to the end). ``not_new_style`` is refused with code 42, ``spine_compares``
    makes the cross-check answer code 40 itself, ``sends_history`` sends ended and withdrawn items to everybody.
    """

    nhs_number: str
    names: tuple[SpineName, ...] = ()
    gender: str | None = None
    birth_time: str | None = None
    deceased_time: str | None = None
    death_status: str | None = None
    addresses: tuple[SpineAddress, ...] = ()
    telecoms: tuple[SpineTelecom, ...] = ()
    practices: tuple[SpinePractice, ...] = ()
    related: tuple[RelatedPerson, ...] = ()
    confidentiality: str | None = None
    serial_change_number: int = 1
    invalidated: bool = False
    superseded_by: str | None = None
    superseded_on: str | None = None
    superseded_style: SupersededStyle = SupersededStyle.ANSWER
    one_hop: bool = False
    not_new_style: bool = False
    spine_compares: bool = False
    sends_history: bool = False
    fault: Fault | None = None

    @property
    def is_very_restricted(self) -> bool:
        """Whether nothing but the number may be given out."""
        return self.confidentiality == "Y"

    def seen_by_query(self, today: str, *, history: bool) -> "SpinePatient":
        """The record as PDS lets a query see it: without location when it is sensitive, bare when very restricted.

        ``history`` keeps ended and withdrawn items.
        """
        if self.is_very_restricted:
            return SpinePatient(self.nhs_number, confidentiality="Y", serial_change_number=self.serial_change_number)
        seen = self if history or self.sends_history else self._without_ended(today)
        if self.confidentiality is None:
            return seen
        return replace(seen, addresses=(), telecoms=(), practices=(), related=())

    def _without_ended(self, today: str) -> "SpinePatient":
        return replace(
            self,
            names=tuple(item for item in self.names if has_not_ended(item, today)),
            addresses=tuple(item for item in self.addresses if has_not_ended(item, today)),
            telecoms=tuple(item for item in self.telecoms if has_not_ended(item, today)),
            practices=tuple(item for item in self.practices if has_not_ended(item, today)),
        )


def has_not_ended(item: SpineItem, today: str) -> bool:
    """Current or still to come: what PDS sends to somebody who asked for no history."""
    return item.held.high is None and not item.period.has_ended(today)


def is_current(item: SpineItem, today: str) -> bool:
    """Started, not ended and not withdrawn on ``today`` (YYYYMMDD)."""
    return has_not_ended(item, today) and item.period.has_started(today)
