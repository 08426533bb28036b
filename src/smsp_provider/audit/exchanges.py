"""What a search of the audit trail finds: exchanges and other events, whole, and only for whom they are.

An intent, its endings and its closure are one :class:`Happening`, found by what any of them says and standing where the
first of them stands. Every other record is a happening of its own.

Source: SMSP-AUDIT-004 (one chain links request, identity and Spine messages), 007; SMSP-IG-001 (scope).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, NamedTuple

from smsp_provider.audit.chain import moment_of
from smsp_provider.audit.deletion_events import Erasure
from smsp_provider.audit.events import Ending, Intent, Record, RequestFacts
from smsp_provider.audit.terms import EXCHANGE, UNKNOWN_OUTCOME, Term, TermKind, term, terms_of
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.operators import OrganisationScope

__all__ = ["EXCHANGE_KINDS", "OPEN", "Criteria", "Happening", "Part", "Place", "shows", "whole"]

EXCHANGE_KINDS: Final = frozenset({"intent", "ending", "closure"})
"""The kinds of the records that make an exchange."""

OPEN: Final = "open"
"""The outcome of an exchange that has none yet."""


class Place(NamedTuple):
    """Where a record stands; places are in the order of time. ``at`` is in microseconds since 1970 (UTC)."""

    at: int
    lane: int
    n: int


class Part(NamedTuple):
    """One record of a happening.

    Where ``record`` is None, either ``erasure`` says who had its content erased, or ``problem`` why it cannot be read.
    """

    place: Place
    kind: str
    exchange: str | None
    record: Record | None
    erasure: Erasure | None = None
    problem: str = ""

    @property
    def terms(self) -> frozenset[Term]:
        """What it can be found by: without its content, by what the chain says of it."""
        if self.record is not None:
            return terms_of(self.record)
        found = {term(TermKind.RECORD_KIND, EXCHANGE if self.kind in EXCHANGE_KINDS else self.kind)}
        if self.exchange is not None:
            found.add(term(TermKind.EXCHANGE, self.exchange))
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is looked for: at least one term of every clause, and a moment from ``since`` to before ``until``."""

    clauses: tuple[frozenset[Term], ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def met_by(self, happening: "Happening") -> bool:
        """Whether a happening is all that."""
        at = happening.at
        if (self.since is not None and at < self.since) or (self.until is not None and at >= self.until):
            return False
        return all(not clause.isdisjoint(happening.terms) for clause in self.clauses)


@dataclass(frozen=True)
class Happening:
    """One exchange, or one other record; ``parts`` in the order of their places, the first gives it its own."""

    parts: tuple[Part, ...]

    @property
    def place(self) -> Place:
        """Where it stands in the trail."""
        return self.parts[0].place

    @property
    def at(self) -> datetime:
        """When it began."""
        return moment_of(self.place.at)

    @cached_property
    def terms(self) -> frozenset[Term]:
        """All that it can be found by."""
        return frozenset(found for part in self.parts for found in part.terms)

    @cached_property
    def intent(self) -> Intent | None:
        """The query that was about to leave, if one was."""
        return next((part.record for part in self.parts if isinstance(part.record, Intent)), None)

    @cached_property
    def ending(self) -> Ending | None:
        """How it ended: where something broke after the first ending was on record, the last says what left."""
        return next((part.record for part in reversed(self.parts) if isinstance(part.record, Ending)), None)

    @property
    def is_exchange(self) -> bool:
        """Whether it is a request with what came of it."""
        return self.parts[0].kind in EXCHANGE_KINDS

    @property
    def request(self) -> RequestFacts | None:
        """What is known of the request."""
        if self.intent is not None:
            return self.intent.request
        return None if self.ending is None else self.ending.request

    @property
    def organisation(self) -> ODSCode | None:
        """In whose name it was asked; None where that is not known, and for what is no exchange."""
        return None if self.request is None else self.request.ods_code

    @property
    def outcome(self) -> str:
        """The code on the wire, of the answer or of the fault.

        ``unknown`` after a death, ``open`` while under way; ``erased`` and ``unreadable`` where the ending is that.
        """
        ending = self.ending
        if ending is not None:
            return ending.fault.error_code.value if ending.fault is not None else ending.wire_code or ending.kind.value
        lost = next((part for part in self.parts if part.kind == "ending"), None)
        if lost is not None:
            return "unreadable" if lost.erasure is None else "erased"
        return UNKNOWN_OUTCOME if any(part.kind == "closure" for part in self.parts) else OPEN

    @property
    def asked(self) -> NHSNumber | None:
        """The NHS number that was asked for."""
        return None if self.request is None else self.request.nhs_number

    @property
    def returned(self) -> NHSNumber | None:
        """The NHS number of the answer."""
        return None if self.ending is None else self.ending.patient.nhs_number


def shows(scope: OrganisationScope, happening: Happening) -> bool:
    """Whether somebody with this scope may see it: what belongs to no organisation is for those who see everything."""
    if scope.only is None:
        return True
    organisations = {
        request.ods_code
        for part in happening.parts
        if (request := _request_in(part.record)) is not None and request.ods_code is not None
    }
    return bool(organisations) and scope.covers(organisations)


def _request_in(record: Record | None) -> RequestFacts | None:
    return record.request if isinstance(record, Intent | Ending) else None


def whole(parts: Iterable[Part]) -> Happening:
    """The happening that these records make."""
    # (The intent comes first whatever the clock did, since it was written first.)
    return Happening(tuple(sorted(parts, key=lambda part: (part.kind != "intent", part.place))))
