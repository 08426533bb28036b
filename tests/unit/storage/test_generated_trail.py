"""A trail of 20,000 records over five days: what a search finds is what is there, whoever searches for whatever."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generated_trail.index import write_index
from generated_trail.model import Exchange, Scale, exchanges
from generated_trail.trail import days_of, write_trail
from smsp_provider.audit.chain import first_link, moment_of, next_link
from smsp_provider.audit.exchanges import Criteria
from smsp_provider.audit.terms import Term, TermKind, term
from smsp_provider.cli.audit_rows import row_of
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.operators import EVERYTHING, OrganisationScope
from smsp_provider.storage.audit_index_check import check_index
from smsp_provider.storage.audit_index_keys import IndexKeys
from smsp_provider.storage.audit_indexer import AuditIndexer
from smsp_provider.storage.audit_keys import KeyRing, begin_key_ring
from smsp_provider.storage.audit_patient import records_of_patient
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.audit_search import AuditSearch, Cursor
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_audit_index import SqliteSearchIndex
from smsp_provider.storage.sqlite_file import Synchronous

SCALE = Scale(days=5, exchanges=2_000, patients=300)
LITTLE = Scale(days=2, exchanges=150, patients=20)
MADE = [exchange for day in days_of(SCALE) for exchange in exchanges(SCALE, day)]
"""All exchanges, the oldest first."""


def _made(directory: Path, scale: Scale) -> tuple[SqliteAuditDatabase, SqliteSearchIndex, KeyRing]:
    directory.chmod(0o700)
    ring = begin_key_ring(directory / "audit.keys", datetime.now(UTC))
    write_trail(directory / "audit.db", ring, scale)
    write_index(directory / "audit-index.db", ring, scale)
    database = SqliteAuditDatabase(directory / "audit.db", synchronous=Synchronous.NORMAL)
    return database, SqliteSearchIndex(directory / "audit-index.db", database.trail_id(), IndexKeys(ring)), ring


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditSearch]:
    database, index, ring = _made(tmp_path_factory.mktemp("generated"), SCALE)
    yield AuditSearch(database, KeyRingUnsealer(ring), index)
    index.close()
    database.close()


def test_a_generated_trail_is_chained_and_indexed_as_the_provider_does_it(tmp_path: Path) -> None:
    database, index, ring = _made(tmp_path, LITTLE)
    for lane in database.lanes():
        link = first_link(database.trail_id(), lane.token, lane.day)
        for record in database.chain(lane):
            link = next_link(link, record.n, record.kind, record.at, record.exchange, record.commitment)
            assert record.link == link
    damage: list[object] = []
    indexer = AuditIndexer(database, KeyRingUnsealer(ring), index, lambda *found: damage.append(found))
    assert (indexer.behind(), damage) == (0, [])
    assert list(check_index(database, KeyRingUnsealer(ring), index, IndexKeys(ring))) == []
    index.close()
    database.close()


SEARCHES: dict[TermKind, Callable[[Exchange], str]] = {
    TermKind.NHS_NUMBER: lambda exchange: exchange.patient,
    TermKind.USER: lambda exchange: exchange.user,
    TermKind.MESSAGE: lambda exchange: exchange.ids[4],
    TermKind.EXCHANGE: lambda exchange: exchange.ids[0],
    TermKind.CLIENT: lambda exchange: exchange.client,
    TermKind.ORGANISATION: lambda exchange: exchange.organisation,
    TermKind.SERVICE: lambda exchange: exchange.service.value,
    TermKind.OUTCOME: lambda exchange: exchange.outcome[1] if exchange.outcome else "2100",
}


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-IG-001")
@given(
    example=st.sampled_from(MADE),
    kinds=st.sets(st.sampled_from(sorted(SEARCHES, key=lambda kind: kind.value)), max_size=3),
    only=st.none() | st.sets(st.sampled_from([f"X{number:03}" for number in range(200)]), min_size=1, max_size=60),
    span=st.none() | st.tuples(st.sampled_from(MADE), st.sampled_from(MADE)),
    newest_first=st.booleans(),
    limit=st.integers(1, 60),
)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_pages_of_any_search_are_what_is_there_within_the_scope(
    search: AuditSearch,
    example: Exchange,
    kinds: set[TermKind],
    only: set[str] | None,
    span: tuple[Exchange, Exchange] | None,
    newest_first: bool,
    limit: int,
) -> None:
    wanted = {kind: SEARCHES[kind](example) for kind in kinds}
    since, until = (0, 2**62) if span is None else sorted(found.intent_at for found in span)
    expected = [
        made.ids[0]
        for made in MADE
        if all(SEARCHES[kind](made) == value for kind, value in wanted.items())
        and (only is None or made.organisation in only)
        and since <= made.intent_at < until
    ]
    terms: list[Term] = [term(TermKind.RECORD_KIND, "exchange"), *(term(kind, value) for kind, value in wanted.items())]
    criteria = Criteria(
        tuple(frozenset({found}) for found in terms),
        None if span is None else moment_of(since),
        None if span is None else moment_of(until),
    )
    scope = OrganisationScope(None if only is None else frozenset(map(ODSCode, only)))
    seen: list[str] = []
    after: Cursor | None = None
    for _ in range(3):
        page = search.find(criteria, scope, limit=limit, newest_first=newest_first, after=after)
        assert page.problems == [] if only is None else page.problems == ()
        exported = [row_of(happening, patients=True) for happening in page.found]
        assert only is None or {row["organisation"] for row in exported} <= only
        seen += [row["exchange"] for row in exported]
        after = page.after
        if after is None:
            break
    ordered = expected[::-1] if newest_first else expected
    assert seen == ordered[: len(seen)]
    assert (after is None) == (len(seen) == len(ordered))
    assert after is None or len(seen) == 3 * limit


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-IG-001")
@given(
    patient=st.sampled_from(sorted({made.patient for made in MADE})),
    only=st.none() | st.sets(st.sampled_from([f"X{number:03}" for number in range(200)]), min_size=1, max_size=150),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_a_report_has_every_request_about_its_patient_within_the_scope(
    search: AuditSearch, patient: str, only: set[str] | None
) -> None:
    scope = EVERYTHING if only is None else OrganisationScope(frozenset(map(ODSCode, only)))
    found = records_of_patient(search, NHSNumber(patient), scope, datetime(2030, 1, 1, tzinfo=UTC))
    assert [happening.parts[0].exchange for happening in found.exchanges] == [
        made.ids[0] for made in MADE if made.patient == patient and (only is None or made.organisation in only)
    ]
    assert (found.searches, found.problems, len(found.numbers)) == ((), (), 1)
