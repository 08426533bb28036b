"""Reads what PDS FHIR answered: a record, a set of them, or an outcome; or what went wrong instead.

An outcome is known by its coding, never by its status, severity or issue code alone. Its diagnostics are free text that
can repeat what was searched for: they are looked at for two fixed words and go no further.

Source: facts.md of PDS FHIR, sections 6, 7 and 10 (the table).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from smsp_provider.domain.failures import Refused, SentNoAnswer, SpineFailure, Unreadable
from smsp_provider.domain.identifiers import is_uuid
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.person import PatientRecord
from smsp_provider.domain.spine_answers import Acknowledgement, DetectedIssue, ExchangeIds, Reference, SpineAnswer
from smsp_provider.spine.pds_fhir.document import JSONObject, is_json, objects_in, read_document, text_in
from smsp_provider.spine.pds_fhir.query import RETRIEVE, SEARCH
from smsp_provider.spine.pds_fhir.record import HOME_PHONE, read_patient

__all__ = ["Question", "Response", "read_answer"]

_OK: Final = 200
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
_TIMEOUT: Final = 408
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_REFUSING_STATUSES: Final = frozenset({401, 403})
_PASSING_STATUSES: Final = frozenset({_TIMEOUT, _TOO_MANY_REQUESTS})

_SPINE_CODES: Final = "https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode"
_TOO_MANY_MATCHES: Final = "TOO_MANY_MATCHES"
_INVALID_VALUE: Final = "INVALID_VALUE"
_OF_A_SEARCH_VALUE: Final = "in field"
_NO_RECORD: Final = frozenset({"RESOURCE_NOT_FOUND", "INVALIDATED_RESOURCE"})
_OUR_MISTAKES: Final = frozenset(
    {
        "MISSING_VALUE",
        "ADDITIONAL_PROPERTIES",
        "UNSUPPORTED_SERVICE",
        "UNSUPPORTED_REQUEST",
        "INVALID_METHOD",
        "ACCESS_DENIED",
    }
)
_ERROR: Final = "ER"
_PLAIN_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
_UNKNOWN: Final = "unknown"


@immutable
class Question:
    """What an answer is read against: the kind of request, and the ids that were made for it."""

    interaction: str
    request_id: str
    correlation_id: str
    home_phone: str = HOME_PHONE


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; names of ``headers`` are compared without regard to case by the mapping itself."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read_answer(response: Response, question: Question) -> SpineAnswer:
    """The answer in a response: accepted with its records, or declined with its codes.

    The only reference is the X-Request-ID that came back, blank where none did: an answer without it names no request.

    Raises:
        SentNoAnswer: PDS, or something before it, is in trouble of its own or wants us to slow down.
        Refused: our request is wrong or not allowed, with the code; or a page of a proxy.
        Unreadable: a body that is no answer to such a request.
    """
    status = response.status
    if status == _OK:
        return _read_success(_document(response), question, response)
    if status >= _SERVER_ERROR or status in _PASSING_STATUSES:
        raise SentNoAnswer(f"HTTP status {status}")
    code, diagnostics = _coding(response)
    failure = _failure(status, code, diagnostics, question)
    if failure is not None:
        raise failure
    return _declined(code, question, response)


def _document(response: Response) -> JSONObject:
    if not is_json(response.headers.get("Content-Type", "")):
        raise Unreadable("the answer is not FHIR in JSON")
    return read_document(response.body)


def _coding(response: Response) -> tuple[str, str]:
    """Code and diagnostics of an outcome; two blanks for a body that is no outcome."""
    try:
        document = _document(response)
        return _outcome(document) if document.get("resourceType") == "OperationOutcome" else ("", "")
    except Unreadable:
        return "", ""


def _outcome(document: JSONObject) -> tuple[str, str]:
    for issue in objects_in(document, "issue"):
        details = issue.get("details")
        for coding in objects_in(details, "coding") if isinstance(details, dict) else ():
            if text_in(coding, "system") == _SPINE_CODES:
                code = text_in(coding, "code") or ""
                return (code if _PLAIN_CODE.fullmatch(code) else _UNKNOWN), str(issue.get("diagnostics", ""))
    return "", ""


def _failure(status: int, code: str, diagnostics: str, question: Question) -> SpineFailure | None:
    """Whether a status below 500 that is not 200 is no answer at all; None where PDS declined."""
    if code == _TOO_MANY_MATCHES:
        return None if question.interaction == SEARCH else Refused(f"HTTP status {status}", (code,))
    codes = (code,) if code else ()
    if status < _BAD_REQUEST or not code or status in _REFUSING_STATUSES or code in _OUR_MISTAKES:
        return Refused(f"HTTP status {status}", codes)
    if (status == _NOT_FOUND) is not (code in _NO_RECORD and question.interaction == RETRIEVE):
        # 404 for anything else is a wrong address; and no number is unknown by any other status, nor to a search.
        return Refused(f"HTTP status {status}", codes)
    if code == _INVALID_VALUE and _OF_A_SEARCH_VALUE not in diagnostics:
        return Refused(f"HTTP status {status}", codes)
    return None


def _read_success(document: JSONObject, question: Question, response: Response) -> SpineAnswer:
    kind = document.get("resourceType")
    if kind == "OperationOutcome":
        code, _ = _outcome(document)
        if code != _TOO_MANY_MATCHES or question.interaction != SEARCH:
            raise Unreadable("the answer is an outcome that says nothing")
        return _declined(code, question, response)
    wanted = "Patient" if question.interaction == RETRIEVE else "Bundle"
    if kind != wanted:
        raise Unreadable(f"the answer is no {wanted}")
    if kind == "Patient":
        return _accepted((read_patient(document, home_phone=question.home_phone),), question, response)
    return _read_bundle(document, question, response)


def _read_bundle(document: JSONObject, question: Question, response: Response) -> SpineAnswer:
    total = document.get("total")
    entries = list(objects_in(document, "entry"))
    if document.get("type") != "searchset" or isinstance(total, bool) or total != len(entries):
        raise Unreadable("the answer is not a complete set of matches")
    if not entries:
        return _declined("RESOURCE_NOT_FOUND", question, response)
    records = tuple(_matched(entry, question.home_phone) for entry in entries)
    return _accepted(records, question, response)


def _matched(entry: JSONObject, home_phone: str) -> PatientRecord:
    resource = entry.get("resource")
    if not isinstance(resource, dict) or resource.get("resourceType") != "Patient":
        raise Unreadable("a match is no Patient")
    return read_patient(resource, home_phone=home_phone)


def _accepted(records: tuple[PatientRecord, ...], question: Question, response: Response) -> SpineAnswer:
    return SpineAnswer(
        references=_references(question, response),
        acknowledgement=Acknowledgement.ACCEPTED,
        query_ok=True,
        issues=(),
        records=records,
        exchange=_exchange(question, response),
    )


def _declined(code: str, question: Question, response: Response) -> SpineAnswer:
    return SpineAnswer(
        references=_references(question, response),
        acknowledgement=Acknowledgement.ERROR,
        query_ok=False,
        issues=(DetectedIssue(code, _ERROR),),
        records=(),
        exchange=_exchange(question, response),
    )


def _references(question: Question, response: Response) -> tuple[Reference, ...]:
    return (Reference("X-Request-ID", question.request_id, response.headers.get("X-Request-ID", "")),)


def _exchange(question: Question, response: Response) -> ExchangeIds:
    """The ids sent and, as far as they look like ids, those that came back."""
    came = (response.headers.get(name, "") for name in ("X-Request-ID", "X-Correlation-ID"))
    received = tuple(value for value in came if is_uuid(value))
    return ExchangeIds(question.interaction, (question.request_id, question.correlation_id), received)
