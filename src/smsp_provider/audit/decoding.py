"""Records as they were written by :mod:`smsp_provider.audit.encoding`, read again."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from smsp_provider.audit.deletion_events import (
    DeletionProposed,
    DeletionWithdrawn,
    Erasure,
    Officer,
    RecordRange,
)
from smsp_provider.audit.events import (
    Change,
    Closure,
    Ending,
    EndingKind,
    FaultFacts,
    Intent,
    OperatorAct,
    OperatorActKind,
    PatientFacts,
    Record,
    RefusalCount,
    RefusalMark,
    Refusals,
    RequestFacts,
    Source,
    Start,
)
from smsp_provider.audit.lane_events import Closing, LaneEnded, LanePlace, Opening
from smsp_provider.domain.audit_identity import AccessMethod, AuditId, SpineAuthor
from smsp_provider.domain.faults import ErrorCode, FaultCode
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Evidence, Repair
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import ExchangeIds

__all__ = ["UnreadableRecord", "decode"]


class UnreadableRecord(ValueError):
    """The text is not a record of a kind and form known here. It is not quoted."""


def decode(kind: str, text: str) -> Record:
    """The record behind what :func:`encode` wrote.

    Raises:
        UnreadableRecord: another kind, not JSON, or a field missing or of an unknown value.
    """
    try:
        reader = _Reader(json.loads(text))
        return _READERS[kind](reader)
    except (KeyError, TypeError, ValueError, AttributeError):
        # "from None": the original would quote the record.
        raise UnreadableRecord("not a record of this version") from None


class _Reader:
    """One JSON object, read field by field with the type that is expected; anything else is a ``TypeError``."""

    def __init__(self, fields: object) -> None:
        if not isinstance(fields, dict):
            raise TypeError
        self._fields = fields

    def text(self, name: str) -> str:
        return _as_text(self._fields[name])

    def maybe(self, name: str) -> str | None:
        value = self._fields.get(name)
        return None if value is None else _as_text(value)

    def flag(self, name: str) -> bool:
        return self._fields.get(name, False) is True

    def has(self, name: str) -> bool:
        return name in self._fields

    def number(self, name: str) -> int:
        return _as_number(self._fields[name])

    def moment(self, name: str) -> datetime:
        return datetime.fromisoformat(self.text(name))

    def rows(self, name: str) -> list[list[object]]:
        value = self._fields.get(name, [])
        if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
            raise TypeError
        return value

    def values(self, name: str) -> list[object]:
        value = self._fields[name]
        if not isinstance(value, list):
            raise TypeError
        return value

    def texts(self, name: str) -> list[str] | None:
        value = self._fields.get(name)
        return None if value is None else list(_as_texts(value))

    def inner(self, name: str) -> "_Reader | None":
        value = self._fields.get(name)
        return None if value is None else _Reader(value)


def _as_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _as_texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_as_text(item) for item in value)


def _as_number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value


def _number(text: str | None) -> NHSNumber | None:
    return None if text is None else NHSNumber(text)


def _read_request(reader: _Reader) -> RequestFacts:
    service, ods_code = reader.maybe("service"), reader.maybe("ods")
    return RequestFacts(
        address=reader.text("address"),
        username=reader.maybe("username"),
        common_name=reader.maybe("cn"),
        certificate=reader.maybe("certificate"),
        client=reader.maybe("client"),
        service=None if service is None else Service(service),
        action=reader.maybe("action"),
        message_id=reader.maybe("message"),
        tracking_id=reader.maybe("tracking"),
        audit_ids=tuple(AuditId(_as_text(kind), _as_text(uri)) for kind, uri in reader.rows("identity")),
        method=AccessMethod(reader.number("method")) if reader.has("method") else None,
        names_asid=reader.flag("names_asid"),
        ods_code=None if ods_code is None else ODSCode(ods_code),
        sender_address=reader.maybe("sender"),
        from_address=reader.maybe("from"),
        nhs_number=_number(reader.maybe("nhs_number")),
        signed=reader.flag("signed"),
        signer=reader.maybe("signer"),
        repeated=reader.flag("repeated"),
        decoded=reader.flag("decoded"),
    )


def _read_intent(reader: _Reader) -> Intent:
    author, request = reader.texts("author"), reader.inner("request")
    if request is None:
        raise KeyError
    return Intent(
        exchange_id=reader.text("exchange"),
        at=reader.moment("at"),
        request=_read_request(request),
        asid=ASID(reader.text("asid")),
        author=None if author is None else SpineAuthor(*author),
    )


def _read_ending(reader: _Reader) -> Ending:
    request, patient, response = reader.inner("request"), reader.inner("patient"), reader.maybe("response")
    service = reader.maybe("service")
    return Ending(
        exchange_id=reader.text("exchange"),
        at=reader.moment("at"),
        kind=EndingKind(reader.text("ending")),
        duration_ms=reader.number("ms"),
        source=Source(reader.text("source")),
        request=None if request is None else _read_request(request),
        service=None if service is None else Service(service),
        client=reader.maybe("client"),
        response_code=None if response is None else ResponseCode(response),
        wire_code=reader.maybe("code"),
        fault=_read_fault(reader.texts("fault")),
        reason=reader.maybe("reason") or "",
        reply_message_id=reader.maybe("reply_message"),
        spine=tuple(
            ExchangeIds(
                _as_text(interaction), _as_texts(sent), _as_texts(received), _as_text(upstream), _as_texts(told)
            )
            for interaction, sent, received, upstream, told in reader.rows("spine")
        ),
        patient=PatientFacts() if patient is None else _read_patient(patient),
    )


def _read_fault(fields: list[str] | None) -> FaultFacts | None:
    if fields is None:
        return None
    faultcode, error_code, error_id, rule = fields
    return FaultFacts(FaultCode(faultcode), ErrorCode(error_code), error_id, rule)


def _read_patient(reader: _Reader) -> PatientFacts:
    evidence = reader.maybe("evidence")
    return PatientFacts(
        nhs_number=_number(reader.maybe("nhs_number")),
        evidence=None if evidence is None else Evidence(evidence),
        superseded=reader.flag("superseded"),
        sensitive=reader.flag("sensitive"),
        name_contradiction=reader.flag("name_contradiction"),
        repairs=tuple(
            Repair(_as_text(field), _as_text(action), truncation is True)
            for field, action, truncation in reader.rows("repairs")
        ),
    )


def _read_closure(reader: _Reader) -> Closure:
    return Closure(reader.text("exchange"), reader.moment("at"), reader.text("writer"))


def _read_refusals(reader: _Reader) -> Refusals:
    return Refusals(
        at=reader.moment("at"),
        minute=reader.moment("minute"),
        address=reader.maybe("address"),
        counts=tuple(
            RefusalCount(_as_text(code), _as_text(rule), _as_number(count))
            for code, rule, count in reader.rows("counts")
        ),
        common_name=reader.maybe("cn"),
        certificate=reader.maybe("certificate"),
        first=_read_mark(reader.texts("first")),
        last=_read_mark(reader.texts("last")),
    )


def _read_mark(fields: list[str] | None) -> RefusalMark | None:
    return None if fields is None else RefusalMark(*fields)


def _read_start(reader: _Reader) -> Start:
    return Start(
        at=reader.moment("at"),
        version=reader.text("version"),
        environment=reader.text("environment"),
        settings_hash=reader.text("settings"),
        reference_data=tuple((_as_text(name), _as_text(digest)) for name, digest in reader.rows("reference_data")),
        settings=reader.text("in_force"),
    )


def _read_change(reader: _Reader) -> Change:
    return Change(
        at=reader.moment("at"),
        who=reader.text("who"),
        what=reader.text("what"),
        name=reader.text("name"),
        version=reader.number("version"),
        before=reader.maybe("before"),
        after=reader.maybe("after"),
    )


def _read_act(reader: _Reader) -> OperatorAct:
    return OperatorAct(
        at=reader.moment("at"),
        kind=OperatorActKind(reader.text("act")),
        access_point=reader.text("access_point"),
        operator=reader.maybe("operator"),
        attempts=reader.number("attempts") if reader.has("attempts") else 0,
        detail=reader.maybe("detail") or "",
        nhs_number=_number(reader.maybe("nhs_number")),
    )


def _read_proposed(reader: _Reader) -> DeletionProposed:
    return DeletionProposed(
        at=reader.moment("at"),
        proposal_id=reader.text("proposal"),
        by=_read_officer(reader, "by"),
        reason=reader.text("reason"),
        legal_basis=reader.text("legal_basis"),
        records=_read_ranges(reader),
        archive=reader.maybe("archive"),
    )


def _read_withdrawn(reader: _Reader) -> DeletionWithdrawn:
    return DeletionWithdrawn(reader.moment("at"), reader.text("proposal"), _read_officer(reader, "by"))


def _read_erasure(reader: _Reader) -> Erasure:
    return Erasure(
        at=reader.moment("at"),
        proposal_id=reader.text("proposal"),
        proposed_by=_read_officer(reader, "by"),
        approved_by=_read_officer(reader, "approved_by"),
        reason=reader.text("reason"),
        legal_basis=reader.text("legal_basis"),
        records=_read_ranges(reader),
        archive=reader.maybe("archive"),
    )


def _read_officer(reader: _Reader, name: str) -> Officer:
    return Officer(*(reader.texts(name) or ()))


def _read_ranges(reader: _Reader) -> tuple[RecordRange, ...]:
    found = []
    for lane, *ends in reader.rows("records"):
        for first, last in zip(ends[::2], ends[1::2], strict=True):
            if not isinstance(first, int) or not isinstance(last, int) or not 0 < first <= last:
                raise ValueError
            found.append(RecordRange(_as_text(lane), first, last))
    return tuple(found)


def _read_opening(reader: _Reader) -> Opening:
    return Opening(
        at=reader.moment("at"),
        writer=reader.text("writer"),
        host=reader.text("host"),
        pid=reader.number("pid"),
        build=reader.text("build"),
        rules=reader.text("rules"),
        configuration=reader.text("configuration"),
        previous=_read_place(reader, "previous") if reader.has("previous") else None,
    )


def _read_closing(reader: _Reader) -> Closing:
    return Closing(reader.moment("at"), reader.text("writer"))


def _read_lane_ended(reader: _Reader) -> LaneEnded:
    return LaneEnded(reader.moment("at"), reader.text("writer"), _read_place(reader, "last"))


def _read_place(reader: _Reader, name: str) -> LanePlace:
    lane, n, link = reader.values(name)
    if not isinstance(n, int):
        raise TypeError
    return LanePlace(_as_text(lane), n, _as_text(link))


_READERS: Final[Mapping[str, Callable[[_Reader], Record]]] = {
    "intent": _read_intent,
    "ending": _read_ending,
    "closure": _read_closure,
    "refusals": _read_refusals,
    "start": _read_start,
    "change": _read_change,
    "act": _read_act,
    "deletion-proposed": _read_proposed,
    "deletion-withdrawn": _read_withdrawn,
    "erasure": _read_erasure,
    "opening": _read_opening,
    "closing": _read_closing,
    "lane-ended": _read_lane_ended,
}
