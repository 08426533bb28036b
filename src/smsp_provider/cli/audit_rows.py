"""What the audit trail holds of an exchange or another event, as rows for people and programs.

With ``patients`` false nothing names a patient: neither the fields that are for it, nor a well-formed NHS number that
somebody put where none belongs.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure
from smsp_provider.audit.encoding import timestamp
from smsp_provider.audit.events import Change, Ending, OperatorAct, Record, Refusals, RequestFacts, Start
from smsp_provider.audit.exchanges import Happening, Part
from smsp_provider.audit.lane_events import Closing, LaneEnded, Opening
from smsp_provider.audit.terms import EXCHANGE, users_in
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.nhs_number_text import without_nhs_numbers

__all__ = ["FIELDS", "TABLE_HEAD", "row_of", "table_row"]

FIELDS: Final = (
    *("record", "at", "kind", "exchange", "organisation", "client", "username", "common_name", "certificate"),
    *("address", "user", "identities", "access_method", "service", "message_id", "tracking_id", "asked", "returned"),
    *("outcome", "response", "source", "evidence", "flags", "repairs", "error_id", "rule", "reason", "duration_ms"),
    *("reply_message_id", "spine_ids", "asid", "operator", "access_point", "detail", "records"),
)
"""All fields of a row, in order."""

TABLE_HEAD: Final = ("record", "at (UTC)", "who", "for", "user", "what", "outcome", "patient")
_WIDTHS: Final = (13, 19, 14, 6, 16, 18, 10, 10)
"""Of a table of 120 columns: what is longer is cut."""

_MASKED: Final = "[masked]"
_VERSION: Final = re.compile(r"-v\d+-\d+$")


def row_of(happening: Happening, *, patients: bool) -> Mapping[str, str]:
    """Every field that is known, by the names of :data:`FIELDS`; the others are left out."""
    shown = {**_common(happening), **(_exchange(happening) if happening.is_exchange else _other(happening.parts[0]))}
    number = _digits if patients else _held_back
    shown |= {"asked": number(_asked(happening)), "returned": number(happening.returned)}
    if not patients:
        shown = {name: without_nhs_numbers(text, _MASKED) for name, text in shown.items()}
    return {name: shown[name] for name in FIELDS if shown.get(name)}


def table_row(row: Mapping[str, str]) -> tuple[str, ...]:
    """The cells of a row for a terminal, under :data:`TABLE_HEAD`."""
    cells = (
        row["record"],
        row["at"][: _WIDTHS[1]].replace("T", " "),
        row.get("operator") or row.get("client") or row.get("username") or row.get("common_name", ""),
        row.get("organisation", ""),
        row.get("user", ""),
        _VERSION.sub("", row.get("service") or row["kind"]).removeprefix("get").replace("PatientDetails", "Details"),
        row.get("outcome", ""),
        row.get("returned") or row.get("asked", ""),
    )
    return tuple(
        cell if len(cell) <= width else cell[: width - 1] + "~" for cell, width in zip(cells, _WIDTHS, strict=True)
    )


def _common(happening: Happening) -> dict[str, str]:
    place = happening.place
    notes = [note for part in happening.parts if (note := _note(part))]
    return {
        "record": f"{place.lane}:{place.n}",
        "at": timestamp(happening.at),
        "kind": EXCHANGE if happening.is_exchange else happening.parts[0].kind,
        "exchange": happening.parts[0].exchange or "",
        "records": _words(f"{part.place.lane}:{part.place.n}" for part in happening.parts),
        "detail": "; ".join(notes),
    }


def _note(part: Part) -> str:
    """What there is in the place of a content."""
    erasure = part.erasure
    if erasure is not None:
        return (
            f"{part.kind} erased on {erasure.at:%Y-%m-%d} by {erasure.proposed_by.name} and {erasure.approved_by.name}:"
            f" {erasure.reason} ({erasure.legal_basis})"
        )
    return f"{part.kind}: {part.problem}" if part.problem else ""


def _exchange(happening: Happening) -> dict[str, str]:
    request, ending, intent = happening.request, happening.ending, happening.intent
    found = {} if request is None else _request(request)
    found["outcome"] = happening.outcome
    if ending is not None:
        found |= _ending(ending)
    if intent is not None:
        found["asid"] = intent.asid.value
        if intent.author is not None:
            found["user"] = _words((intent.author.user, intent.author.role_profile, intent.author.role))
    return found


def _request(request: RequestFacts) -> dict[str, str]:
    return {
        "organisation": "" if request.ods_code is None else request.ods_code.code,
        "client": request.client or "",
        "username": request.username or "",
        "common_name": request.common_name or "",
        "certificate": request.certificate or "",
        "address": request.address,
        "user": _words(users_in(request.audit_ids)),
        "identities": _words(item.uri for item in request.audit_ids),
        "access_method": _words(str(method.value) for method in request.methods),
        "service": "" if request.service is None else request.service.value,
        "message_id": request.message_id or "",
        "tracking_id": request.tracking_id or "",
    }


def _ending(ending: Ending) -> dict[str, str]:
    patient, fault = ending.patient, ending.fault
    flags = {
        "superseded": patient.superseded,
        "sensitive": patient.sensitive,
        "name-contradiction": patient.name_contradiction,
    }
    return {
        "response": "" if ending.response_code is None else ending.response_code.value,
        "source": ending.source.value,
        "evidence": "" if patient.evidence is None else patient.evidence.value,
        "flags": _words(name for name, is_set in flags.items() if is_set),
        "repairs": _words(f"{repair.field}={repair.action}" for repair in patient.repairs),
        "error_id": "" if fault is None else fault.error_id,
        "rule": "" if fault is None else fault.rule,
        "reason": ending.reason,
        "duration_ms": str(ending.duration_ms),
        "reply_message_id": ending.reply_message_id or "",
        "spine_ids": _words(message for ids in ending.spine for message in (*ids.sent, *ids.received)),
    }


def _other(part: Part) -> dict[str, str]:
    record = part.record
    if record is None:
        return {}
    match record:
        case OperatorAct():
            attempts = f"{record.attempts} attempts" if record.attempts else ""
            return {
                "kind": record.kind.value,
                "operator": record.operator or "",
                "access_point": record.access_point,
                "detail": "; ".join(filter(None, (record.detail, attempts))),
            }
        case Change():
            done = "removed" if record.after is None else "added" if record.before is None else "changed"
            return {
                "operator": record.who,
                "client": record.name if record.what == "client" else "",
                "detail": f"{record.what} {record.name} {done}, version {record.version}",
            }
        case Refusals():
            return _refusals(record)
        case _:
            return _of_the_frame(record)


def _refusals(record: Refusals) -> dict[str, str]:
    return {
        "address": record.address or "others",
        "common_name": record.common_name or "",
        "certificate": record.certificate or "",
        "error_id": _words(mark.error_id for mark in (record.first, record.last) if mark is not None),
        "detail": ", ".join(f"{count.times} x {count.code} {count.rule}" for count in record.counts),
    }


def _of_the_frame(record: Record) -> dict[str, str]:
    """Deletions, starts, and the records that a lane begins and ends with."""
    operator = access_point = detail = ""
    match record:
        case DeletionProposed() | DeletionWithdrawn():
            operator, access_point, detail = record.by.name, record.by.access_point, record.proposal_id
        case Erasure():
            operator = f"{record.proposed_by.name} {record.approved_by.name}"
            detail = f"{record.reason} ({record.legal_basis})"
        case Start():
            detail = f"{record.version} {record.environment} settings {record.settings_hash}"
        case Opening():
            release = f"build {record.build} rules {record.rules} configuration {record.configuration}"
            detail = f"{record.host} process {record.pid} {release}"
        case Closing():
            detail = record.writer
        case LaneEnded():
            detail = f"lane {record.last.lane} ended with record {record.last.n}"
        case _:
            pass
    return {"operator": operator, "access_point": access_point, "detail": detail}


def _asked(happening: Happening) -> NHSNumber | None:
    """The number that was asked for: of PDS, or by an operator of this trail."""
    record = happening.parts[0].record
    return record.nhs_number if isinstance(record, OperatorAct) else happening.asked


def _digits(number: NHSNumber | None) -> str:
    return "" if number is None else number.digits


def _held_back(number: NHSNumber | None) -> str:
    return "" if number is None else _MASKED


def _words(values: Iterable[str]) -> str:
    return " ".join(values)
