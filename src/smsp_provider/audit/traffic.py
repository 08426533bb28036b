"""Throughput as the audit trail tells it: how many requests in which hour, of which service and client, with what end.

Nothing of a patient is in it, nor anything that could lead to one: hours, names of services and of registered clients,
and classes of outcome.

Source: SMSP-PERF-002 (throughput is recorded, at least daily total and peak hour, free of patient data).
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple

from smsp_provider.audit.events import Closure, Ending, EndingKind, Record, Refusals, RequestFacts
from smsp_provider.domain.response_codes import ResponseCode

__all__ = ["NOBODY", "OutcomeClass", "Traffic", "hour_of", "traffic_of"]

NOBODY: Final = "-"
"""In the place of a client or a service that is not known; no registered client has this name."""

_HOUR_SECONDS: Final = 3600


class OutcomeClass(Enum):
    """How a request ended, as far as throughput wants to know."""

    # Members are unique, so that they can be told apart as any objects are; Enum's own way is a function in Python.
    __hash__ = object.__hash__

    SUCCESS = "success"
    DECLINED = "declined"
    FAILED = "failed"
    FAULT = "fault"
    REFUSED = "refused"
    UNKNOWN = "unknown"


_FAILED: Final = frozenset(
    {
        ResponseCode.ANSWER_UNUSABLE,
        ResponseCode.SPINE_UNREACHABLE,
        ResponseCode.PROVIDER_FAILURE,
        ResponseCode.SPINE_ERROR,
    }
)
"""Business answers for what went wrong between here and PDS; the others but success are what PDS or a rule says."""


class Traffic(NamedTuple):
    """What is counted together: an hour (UTC, since 1970), a service, a client, a class of outcome.

    ``service`` is the name of the operation, ``client`` the name of the registered client, ``outcome`` the value of an
    :class:`OutcomeClass`; service and client are :data:`NOBODY` where they are not known.
    """

    hour: int
    service: str
    client: str
    outcome: str


def hour_of(at: datetime) -> int:
    """The hour of a moment (UTC, since 1970)."""
    return int(at.timestamp()) // _HOUR_SECONDS


def traffic_of(record: Record) -> Mapping[Traffic, int]:
    """How many requests a record tells of; summed over all records of a trail, each request is counted once.

    A request counts in the hour in which it ended. One whose writer died (its record is a :class:`Closure`) counts as
    of an unknown outcome. Queries that are made to compare two ways to PDS are nobody's request.
    """
    if isinstance(record, Ending):
        return _of_ending(record)
    if isinstance(record, Refusals):
        refused = sum(count.times for count in record.counts)
        return {Traffic(hour_of(record.minute), NOBODY, NOBODY, OutcomeClass.REFUSED.value): refused}
    if isinstance(record, Closure):
        return {Traffic(hour_of(record.at), NOBODY, NOBODY, OutcomeClass.UNKNOWN.value): 1}
    return {}


def _of_ending(ending: Ending) -> Mapping[Traffic, int]:
    asker: Ending | RequestFacts = ending if ending.request is None else ending.request
    if ending.request is None and ending.service is None:
        return {}
    service = NOBODY if asker.service is None else asker.service.value
    return {Traffic(hour_of(ending.at), service, asker.client or NOBODY, _class_of(ending).value): 1}


def _class_of(ending: Ending) -> OutcomeClass:
    if ending.response_code is None:
        return OutcomeClass.REFUSED if ending.kind is EndingKind.REFUSED else OutcomeClass.FAULT
    if ending.response_code is ResponseCode.SUCCESS:
        return OutcomeClass.SUCCESS
    return OutcomeClass.FAILED if ending.response_code in _FAILED else OutcomeClass.DECLINED
