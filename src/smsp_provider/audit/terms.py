"""By what a record of the audit trail can be found: its terms.

A term is a kind and a value, in one form however it was written: ids trimmed, UUIDs without prefix and in upper case,
ODS codes in upper case. The same function makes the terms of a record and the term of a question, so that a hit in the
index can be checked again against what the record says.

Source: SMSP-AUDIT-007 (search by user, message id, patient, date and time), SMSP-AUDIT-004.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure
from smsp_provider.audit.encoding import kind_of
from smsp_provider.audit.events import (
    Change,
    Closure,
    Ending,
    Intent,
    OperatorAct,
    Record,
    Refusals,
    RequestFacts,
)
from smsp_provider.domain.audit_identity import AuditId
from smsp_provider.domain.identifiers import OID, ODSCode, bare_uuid, is_uuid
from smsp_provider.domain.nhs_number import NHSNumber

__all__ = ["EXCHANGE", "UNKNOWN_OUTCOME", "Term", "TermKind", "term", "terms_of", "users_in"]

EXCHANGE: Final = "exchange"
"""The kind of what an intent, its endings and its closure make together."""

UNKNOWN_OUTCOME: Final = "unknown"
"""The outcome of an exchange whose process died before it could say."""

_ODS_IDENTITY: Final = "urn:nhs-uk:identity:ods:"
_PERSONS: Final = frozenset({OID.USER, OID.ROLE_PROFILE})


class TermKind(Enum):
    """What a value is; the value of a member is part of the index, so it never changes."""

    NHS_NUMBER = "nhs"
    USER = "user"
    IDENTITY = "identity"
    MESSAGE = "message"
    CLIENT = "client"
    ORGANISATION = "organisation"
    SERVICE = "service"
    OUTCOME = "outcome"
    ERROR_ID = "error"
    EXCHANGE = "exchange"
    OPERATOR = "operator"
    RECORD_KIND = "kind"


class Term(NamedTuple):
    """One thing that a record can be found by, ``value`` in the one form of its kind. Make it with :func:`term`."""

    kind: TermKind
    value: str

    def __repr__(self) -> str:
        """The kind alone: the value may be a patient's number."""
        return f"<Term {self.kind.value}>"


def term(kind: TermKind, value: str) -> Term:
    """A value in the form in which it is looked for; text that cannot be told apart becomes the same term."""
    return Term(kind, _normalised(kind, value.strip()))


def terms_of(record: Record) -> frozenset[Term]:
    """All that a record can be found by.

    An intent and its ending have the exchange in common and little else: what is looked for is the exchange, so their
    terms count together (see :mod:`smsp_provider.audit.exchanges`).
    """
    return frozenset(term(kind, value) for kind, value in _values(record) if value is not None and value.strip())


def users_in(audit_ids: Iterable[AuditId]) -> Iterator[str]:
    """Whom an audit identity names: of a smartcard its ids, of an ITK identity what stands behind the organisation."""
    for item in audit_ids:
        kind, uri = item.type.strip(), item.uri.strip()
        if kind in _PERSONS:
            yield uri
        elif kind == OID.ITK_IDENTITY and uri.lower().startswith(_ODS_IDENTITY):
            _, _, tokens = uri[len(_ODS_IDENTITY) :].partition(":")
            if tokens:
                yield tokens


def _values(record: Record) -> Iterator[tuple[TermKind, str | None]]:
    if isinstance(record, Intent | Ending | Closure):
        yield TermKind.RECORD_KIND, EXCHANGE
        yield TermKind.EXCHANGE, record.exchange_id
    else:
        yield TermKind.RECORD_KIND, kind_of(record)
    match record:
        case Intent():
            yield from _intent(record)
        case Ending():
            yield from _ending(record)
        case Closure():
            yield TermKind.OUTCOME, UNKNOWN_OUTCOME
        case Refusals():
            yield TermKind.CLIENT, record.common_name
            yield from ((TermKind.ERROR_ID, mark.error_id) for mark in (record.first, record.last) if mark is not None)
        case _:
            yield from _by_operators(record)


def _by_operators(record: Record) -> Iterator[tuple[TermKind, str | None]]:
    match record:
        case OperatorAct():
            yield TermKind.RECORD_KIND, record.kind.value
            yield TermKind.OPERATOR, record.operator
            yield TermKind.NHS_NUMBER, _digits(record.nhs_number)
        case Change():
            yield TermKind.OPERATOR, record.who
            yield TermKind.CLIENT, record.name if record.what == "client" else None
        case DeletionProposed() | DeletionWithdrawn():
            yield TermKind.OPERATOR, record.by.name
        case Erasure():
            yield TermKind.OPERATOR, record.proposed_by.name
            yield TermKind.OPERATOR, record.approved_by.name
        case _:
            pass


def _intent(intent: Intent) -> Iterator[tuple[TermKind, str | None]]:
    yield from _request(intent.request)
    if intent.author is not None:
        yield TermKind.USER, intent.author.user
        yield TermKind.USER, intent.author.role_profile


def _request(request: RequestFacts) -> Iterator[tuple[TermKind, str | None]]:
    yield TermKind.NHS_NUMBER, _digits(request.nhs_number)
    yield TermKind.MESSAGE, request.message_id
    yield TermKind.MESSAGE, request.tracking_id
    # (An unregistered system is known by its username alone, and a refused one may have claimed another's.)
    yield TermKind.CLIENT, request.client
    yield TermKind.CLIENT, request.username
    yield TermKind.CLIENT, request.common_name
    yield TermKind.ORGANISATION, None if request.ods_code is None else request.ods_code.code
    yield TermKind.SERVICE, None if request.service is None else request.service.value
    for item in request.audit_ids:
        yield TermKind.IDENTITY, item.uri
    for user in users_in(request.audit_ids):
        yield TermKind.USER, user
        yield from ((TermKind.USER, token) for token in user.split(":"))


def _ending(ending: Ending) -> Iterator[tuple[TermKind, str | None]]:
    if ending.request is not None:
        yield from _request(ending.request)
    yield TermKind.OUTCOME, ending.kind.value
    yield TermKind.OUTCOME, ending.wire_code
    if ending.response_code is not None:
        yield TermKind.OUTCOME, ending.response_code.value
    if ending.fault is not None:
        yield TermKind.OUTCOME, ending.fault.error_code.value
        yield TermKind.ERROR_ID, ending.fault.error_id
    yield TermKind.MESSAGE, ending.reply_message_id
    for ids in ending.spine:
        for message in (*ids.sent, *ids.received):
            yield TermKind.MESSAGE, message
    yield TermKind.NHS_NUMBER, _digits(ending.patient.nhs_number)


def _digits(number: NHSNumber | None) -> str | None:
    return None if number is None else number.digits


def _normalised(kind: TermKind, value: str) -> str:
    match kind:
        case TermKind.NHS_NUMBER:
            return value.replace(" ", "").replace("-", "")
        case TermKind.MESSAGE | TermKind.EXCHANGE | TermKind.ERROR_ID:
            return bare_uuid(value) if is_uuid(value) else value
        case TermKind.ORGANISATION:
            return ODSCode(value).code
        case TermKind.IDENTITY if value.lower().startswith(_ODS_IDENTITY):
            code, colon, tokens = value[len(_ODS_IDENTITY) :].partition(":")
            return f"{_ODS_IDENTITY}{ODSCode(code).code}{colon}{tokens}"
        case TermKind.OUTCOME | TermKind.SERVICE | TermKind.RECORD_KIND | TermKind.OPERATOR:
            return value.lower()
        case _:
            return value
