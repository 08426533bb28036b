"""`smsp serve` with its audit trail in a real PostgreSQL, which goes away and comes back."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from postgres_audit import prepared_on
from postgres_instance import PostgresInstance
from reading_trail import records_in
from served_provider import served
from smsp_provider.audit.events import Closure, Ending, Intent, Start
from smsp_provider.config.settings import load_settings
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from soak.postgres_outages import whole_chain

_BACK_SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-004", "SMSP-AUDIT-008")
def test_a_provider_answers_with_its_trail_in_postgresql_and_never_without_it(tmp_path: Path) -> None:
    with PostgresInstance() as postgres:
        url = prepared_on(postgres)
        with served(tmp_path, audit=f'store = "{url}", ') as (provider, spine):
            assert provider.ask().code == "SMSP-0000"
            settings = load_settings(tmp_path / "provider.toml")
            start, intent, ending = records_in(settings)
            assert isinstance(start, Start)
            assert isinstance(intent, Intent)
            assert isinstance(ending, Ending)
            assert (intent.exchange_id, ending.wire_code) == (ending.exchange_id, "SMSP-0000")
            asked = len(spine.arrivals)
            postgres.stop("immediate")
            for _ in range(3):
                refused = provider.ask()
                assert (refused.status, refused.code) == (500, "2100")
            _wait_for(lambda: provider.ops_get("/readyz").status == 503)
            assert len(spine.arrivals) == asked, "nothing is asked that is not on record"
            postgres.start()
            _wait_for(lambda: provider.ask().code == "SMSP-0000")
            _wait_for(lambda: provider.ops_get("/readyz").status == 200)
            assert provider.stop() == 0
        records = list(records_in(settings))
        assert not (tmp_path / "audit" / "audit.db").exists()
        intents = {record.exchange_id for record in records if isinstance(record, Intent)}
        ended = {record.exchange_id for record in records if isinstance(record, Ending | Closure)}
        assert intents <= ended
        with closing(PostgresAuditDatabase(url)) as database:
            assert whole_chain(database)
            assert database.unended() == []
            assert database.last_root() is not None, "the keeper bound it"


@pytest.mark.slow
def test_a_provider_stops_though_the_database_does_not_answer_and_the_next_start_ends_its_lanes(tmp_path: Path) -> None:
    with PostgresInstance() as postgres:
        url = prepared_on(postgres)
        with served(tmp_path, audit=f'store = "{url}", ', workers=1) as (provider, _):
            assert provider.ask().code == "SMSP-0000"
            postgres.freeze()
            assert provider.stop() == 0
        postgres.thaw()
        with served(tmp_path, audit=f'store = "{url}", ', workers=1) as (provider, _):
            assert provider.stop() == 0
        with closing(PostgresAuditDatabase(url)) as database:
            assert whole_chain(database)
            assert database.unended() == []


def _wait_for(happens: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _BACK_SECONDS
    while not happens():
        assert time.monotonic() < give_up, "it does not notice"
        time.sleep(0.1)
