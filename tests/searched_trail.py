"""An audit trail with its search index, for tests: on any database that has both."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from made_trails import RING, MadeLane, SteppingClock, TrailMaker, trail_file
from smsp_provider.audit.chain import Lane
from smsp_provider.audit.events import Ending, EndingKind, Intent, PatientFacts, RequestFacts, Source
from smsp_provider.audit.exchanges import Criteria, Happening
from smsp_provider.audit.search_index import SearchIndex
from smsp_provider.audit.terms import TermKind, term
from smsp_provider.domain.audit_identity import AuditId
from smsp_provider.domain.identifiers import ASID, OID, ODSCode
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.operators import EVERYTHING, OrganisationScope
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_index_keys import IndexKeys
from smsp_provider.storage.audit_indexer import AuditIndexer
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.audit_search import AuditSearch
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.postgres_audit_index import PostgresSearchIndex
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_audit_index import SqliteSearchIndex
from smsp_provider.storage.sqlite_file import Synchronous

__all__ = [
    "BEGIN",
    "KEYS",
    "NUMBER",
    "OTHER_NUMBER",
    "UNSEALER",
    "SearchedTrail",
    "ending",
    "exchange",
    "intent",
    "postgres_trail",
    "refused",
    "sqlite_trail",
]

KEYS = IndexKeys(RING)
UNSEALER = KeyRingUnsealer(RING)
NUMBER = NHSNumber("9434765919")
OTHER_NUMBER = NHSNumber("9434765870")
BEGIN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def intent(name: str, at: datetime = BEGIN, *, organisation: str = "X26", number: NHSNumber = NUMBER) -> Intent:
    """An intent whose ids all begin with its name."""
    request = RequestFacts(
        "192.0.2.7",
        username="ward-system",
        client="ward-system",
        service=Service.VERIFY_NHS_NUMBER,
        message_id=f"{name}-message",
        tracking_id=f"{name}-tracking",
        audit_ids=(AuditId(OID.ITK_IDENTITY, f"urn:nhs-uk:identity:ods:{organisation}:{name}-user"),),
        ods_code=ODSCode(organisation),
        nhs_number=number,
    )
    return Intent(name, at, request, ASID("200000000115"))


def ending(name: str, at: datetime = BEGIN + timedelta(milliseconds=50)) -> Ending:
    """A good ending."""
    return Ending(
        name,
        at,
        EndingKind.ANSWERED,
        50,
        Source.SPINE,
        service=Service.VERIFY_NHS_NUMBER,
        client="ward-system",
        response_code=ResponseCode.SUCCESS,
        wire_code="SMSP-0000",
        reply_message_id=f"{name}-reply",
        patient=PatientFacts(NUMBER),
    )


def exchange(name: str, at: datetime = BEGIN, *, organisation: str = "X26") -> tuple[Intent, Ending]:
    """Both records of an exchange."""
    return intent(name, at, organisation=organisation), ending(name, at + timedelta(milliseconds=50))


@dataclass
class SearchedTrail:
    """A trail to write, its index to bring up to date, and what a search finds."""

    database: AuditDatabase
    index: SearchIndex
    clock: SteppingClock = field(default_factory=lambda: SteppingClock(BEGIN))
    damage: list[tuple[int, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.maker = TrailMaker(self.database, self.clock)

    def begin(self, day: datetime = BEGIN, writer: str = "writer") -> MadeLane:
        self.clock.at = day
        return self.maker.begin(writer)

    def indexer(self) -> AuditIndexer:
        return AuditIndexer(self.database, UNSEALER, self.index, self._note)

    def _note(self, lane: Lane, n: int, problem: str) -> None:
        self.damage.append((lane.id, n, problem))

    def search(self) -> AuditSearch:
        return AuditSearch(self.database, UNSEALER, self.index)

    def find(
        self, *terms: tuple[TermKind, str], scope: OrganisationScope = EVERYTHING, limit: int = 50
    ) -> Sequence[Happening]:
        clauses = tuple(frozenset({term(kind, value)}) for kind, value in terms)
        return self.search().find(Criteria(clauses), scope, limit=limit).found

    def names(self, *terms: tuple[TermKind, str], scope: OrganisationScope = EVERYTHING) -> list[str]:
        """The exchanges that are found, the newest first."""
        return [happening.parts[0].exchange or "" for happening in self.find(*terms, scope=scope)]

    def close(self) -> None:
        self.index.close()
        self.database.close()


def sqlite_trail(directory: Path) -> SearchedTrail:
    """A trail and its index in files."""
    database = SqliteAuditDatabase(trail_file(directory), synchronous=Synchronous.NORMAL, wait_s=60.0)
    database.open()
    return SearchedTrail(database, SqliteSearchIndex(directory / "audit-index.db", database.trail_id(), KEYS))


def refused(name: str, at: datetime = BEGIN) -> Ending:
    """An ending without an intent: nothing was asked of Spine."""
    return replace(ending(name, at), request=intent(name, at).request, patient=PatientFacts())


def postgres_trail(url: str) -> SearchedTrail:
    """A trail and its index in PostgreSQL."""
    database = PostgresAuditDatabase(url, durable=False, live=False, wait_s=60.0)
    database.open()
    return SearchedTrail(database, PostgresSearchIndex(url, KEYS))
