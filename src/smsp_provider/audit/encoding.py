"""Records as JSON text. The names of the fields on disk stand here and in :mod:`smsp_provider.audit.decoding`.

A field at its default is left out, so that a record of a later version with more fields stays readable here. Text that
a client chose is cut to :data:`MAX_TEXT` characters: who is not let in must not be able to fill the disk.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Final, Literal

import orjson

from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure, RecordRange
from smsp_provider.audit.events import (
    Change,
    Closure,
    Ending,
    Intent,
    OperatorAct,
    PatientFacts,
    Record,
    RefusalMark,
    Refusals,
    RequestFacts,
    Start,
)
from smsp_provider.audit.lane_events import Closing, LaneEnded, Opening
from smsp_provider.domain.nhs_number import NHSNumber

__all__ = ["MAX_TEXT", "Kind", "encode", "kind_of", "timestamp"]

MAX_TEXT: Final = 1000
"""Characters of one client-chosen text; audit ids and message ids of real requests stay below 200."""

_CUT: Final = "[cut]"
_OFFSET_LENGTH: Final = len("+00:00")
_DELETE: Final = "\x7f"
_AS_JSON: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""Values that ``json`` refuses are refused: one not taken apart would be written in a form of its own."""

Kind = Literal[
    "intent",
    "ending",
    "closure",
    "refusals",
    "start",
    "change",
    "act",
    "deletion-proposed",
    "deletion-withdrawn",
    "erasure",
    "opening",
    "closing",
    "lane-ended",
]
Fields = dict[str, object]

# No look-out for circles: a record is made of values, none of which can hold itself.
_escaped: Final = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False
).encode


def timestamp(at: datetime) -> str:
    """A moment in UTC with six fractional digits and a ``Z`` (SMSP-AUDIT-011).

    Raises:
        ValueError: the datetime is naive, so the moment is not known.
    """
    if at.tzinfo is None:
        raise ValueError("a moment without a time zone")
    moment = at if at.tzinfo is UTC else at.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:-_OFFSET_LENGTH] + "Z"


def kind_of(record: Record) -> Kind:
    """The name of a record's kind on disk."""
    return _KINDS[type(record)]


def encode(record: Record, at: str | None = None) -> str:
    """A record as one line of ASCII JSON; ``at`` is its :func:`timestamp`, where the caller has it already."""
    moment = at or timestamp(record.at)
    if isinstance(record, Intent):
        fields = _intent(record, moment)
    elif isinstance(record, Ending):
        fields = _ending(record, moment)
    elif isinstance(record, Closure):
        fields = {"exchange": record.exchange_id, "at": moment, "writer": record.writer}
    elif isinstance(record, Refusals):
        fields = _refusals(record, moment)
    elif isinstance(record, Start):
        fields = _start(record, moment)
    elif isinstance(record, Change):
        fields = _change(record, moment)
    elif isinstance(record, OperatorAct):
        fields = _act(record, moment)
    elif isinstance(record, Opening | Closing | LaneEnded):
        fields = _of_lane(record, moment)
    else:
        fields = _deletion(record, moment)
    return _to_json(fields)


def _to_json(fields: Fields) -> str:
    """ASCII only: a lone surrogate or a NUL in what a client sent must not decide whether the record can be written.

    orjson is many times as fast, but leaves text as it is, and refuses a lone surrogate and named tuples. What it can
    write in ASCII is what ``json`` writes, but for U+007F, which only ``json`` escapes: one record has one text, and a
    proposal the digest that an officer was shown, whichever version wrote it.
    """
    try:
        text = orjson.dumps(fields, option=_AS_JSON).decode("ascii")
    except (TypeError, UnicodeDecodeError):
        return _escaped(fields)
    return _escaped(fields) if _DELETE in text else text


def _text(value: str | None) -> str | None:
    return value if value is None or len(value) <= MAX_TEXT else value[:MAX_TEXT] + _CUT


def _digits(number: NHSNumber | None) -> str | None:
    return None if number is None else number.digits


def _word(member: Enum | None) -> object:
    # Not ``value``: until Python 3.12 that is a function in Python, called for each of many members of a record.
    return None if member is None else member._value_


def _without_defaults(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None and value is not False}


def _request(request: RequestFacts) -> Fields:
    fields: Fields = {
        "address": request.address,
        "username": request.username,
        "cn": request.common_name,
        "certificate": request.certificate,
        "client": request.client,
        "service": _word(request.service),
        "action": request.action,
        "message": request.message_id,
        "tracking": request.tracking_id,
        "identity": [(_text(item.type), _text(item.uri)) for item in request.audit_ids] or None,
        "method": _word(request.method),
        "names_asid": request.names_asid,
        "ods": None if request.ods_code is None else request.ods_code.code,
        "sender": request.sender_address,
        "from": request.from_address,
        "nhs_number": _digits(request.nhs_number),
        "signed": request.signed,
        "signer": request.signer,
        "repeated": request.repeated,
        "decoded": request.decoded,
    }
    # (Nearly no text is too long: one comparison for each costs less than one call.)
    return {
        name: _text(value) if isinstance(value, str) and len(value) > MAX_TEXT else value
        for name, value in fields.items()
        if value is not None and value is not False
    }


def _intent(intent: Intent, at: str) -> Fields:
    fields: Fields = {
        "exchange": intent.exchange_id,
        "at": at,
        "request": _request(intent.request),
        "asid": intent.asid.value,
    }
    if intent.author is not None:
        fields["author"] = [intent.author.role_profile, intent.author.user, intent.author.role]
    return fields


def _ending(ending: Ending, at: str) -> Fields:
    fault = ending.fault
    return _without_defaults(
        {
            "exchange": ending.exchange_id,
            "at": at,
            "ending": _word(ending.kind),
            "ms": ending.duration_ms,
            "source": _word(ending.source),
            "request": None if ending.request is None else _request(ending.request),
            "service": _word(ending.service),
            "client": ending.client,
            "response": _word(ending.response_code),
            "code": ending.wire_code,
            "fault": None
            if fault is None
            else [fault.faultcode.value, fault.error_code.value, fault.error_id, fault.rule],
            "reason": ending.reason or None,
            "reply_message": ending.reply_message_id,
            "spine": [(ids.interaction, ids.sent, ids.received, ids.upstream, ids.told) for ids in ending.spine]
            or None,
            "patient": _patient(ending.patient) or None,
        }
    )


def _patient(patient: PatientFacts) -> Fields:
    return _without_defaults(
        {
            "nhs_number": _digits(patient.nhs_number),
            "evidence": _word(patient.evidence),
            "superseded": patient.superseded,
            "sensitive": patient.sensitive,
            "name_contradiction": patient.name_contradiction,
            "repairs": [(repair.field, repair.action, repair.truncation) for repair in patient.repairs] or None,
        }
    )


def _refusals(refusals: Refusals, at: str) -> Fields:
    return _without_defaults(
        {
            "at": at,
            "minute": timestamp(refusals.minute),
            "address": refusals.address,
            "cn": _text(refusals.common_name),
            "certificate": refusals.certificate,
            "counts": [list(count) for count in refusals.counts],
            "first": _mark(refusals.first),
            "last": _mark(refusals.last),
        }
    )


def _mark(mark: RefusalMark | None) -> list[str] | None:
    return None if mark is None else [mark.exchange_id, mark.error_id]


def _start(start: Start, at: str) -> Fields:
    return {
        "at": at,
        "version": start.version,
        "environment": start.environment,
        "settings": start.settings_hash,
        "reference_data": [list(item) for item in start.reference_data],
        "in_force": start.settings,
    }


def _change(change: Change, at: str) -> Fields:
    return _without_defaults(
        {
            "at": at,
            "who": _text(change.who),
            "what": change.what,
            "name": change.name,
            "version": change.version,
            "before": change.before,
            "after": change.after,
        }
    )


def _act(act: OperatorAct, at: str) -> Fields:
    return _without_defaults(
        {
            "at": at,
            "act": _word(act.kind),
            "access_point": _text(act.access_point),
            "operator": None if act.operator is None else _text(act.operator),
            "attempts": act.attempts or None,
            "detail": _text(act.detail) or None,
            "nhs_number": _digits(act.nhs_number),
        }
    )


def _deletion(record: DeletionProposed | DeletionWithdrawn | Erasure, at: str) -> Fields:
    fields: Fields = {"at": at, "proposal": record.proposal_id}
    if isinstance(record, DeletionWithdrawn):
        return {**fields, "by": record.by}
    if isinstance(record, DeletionProposed):
        fields["by"] = record.by
    else:
        fields |= {"by": record.proposed_by, "approved_by": record.approved_by}
    return _without_defaults(
        {
            **fields,
            "reason": record.reason,
            "legal_basis": record.legal_basis,
            "records": _ranges(record.records),
            "archive": record.archive,
        }
    )


def _ranges(records: Iterable[RecordRange]) -> list[list[object]]:
    """One row a lane: its token, then first and last of each range."""
    rows: dict[str, list[object]] = {}
    for lane, first, last in records:
        rows.setdefault(lane, [lane]).extend((first, last))
    return list(rows.values())


def _of_lane(record: Opening | Closing | LaneEnded, at: str) -> Fields:
    fields: Fields = {"at": at, "writer": record.writer}
    if isinstance(record, LaneEnded):
        fields["last"] = list(record.last)
    if isinstance(record, Opening):
        fields |= {
            "host": _text(record.host),
            "pid": record.pid,
            "build": record.build,
            "rules": record.rules,
            "configuration": record.configuration,
        }
        if record.previous is not None:
            fields["previous"] = list(record.previous)
    return fields


_KINDS: Final[Mapping[type[Record], Kind]] = {
    Intent: "intent",
    Ending: "ending",
    Closure: "closure",
    Refusals: "refusals",
    Start: "start",
    Change: "change",
    OperatorAct: "act",
    DeletionProposed: "deletion-proposed",
    DeletionWithdrawn: "deletion-withdrawn",
    Erasure: "erasure",
    Opening: "opening",
    Closing: "closing",
    LaneEnded: "lane-ended",
}
