"""Comparing two ways to PDS in the background: real connectors, audit trail, throttle and file."""

import gc
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from audit_trails import make_trail
from command_line import run_main
from connectors_under_test import CODE_MAP, FHIR, HL7, SENDER, ConnectorWorld, connector_worlds
from scripted_server import RealClock, RealIds
from smsp_provider.audit.events import Ending, Intent
from smsp_provider.connectors.comparing import Comparing, ComparisonPolicy, _Job
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_queries import AdvancedTrace, CrossCheckTrace, Retrieval, SimpleTrace, SpineQuery
from smsp_provider.engine.comparison import Comparison
from smsp_provider.engine.ports import Deadline, SpineConnector
from smsp_provider.simulator.faults import Fault, FaultKind
from smsp_provider.simulator.fhir import READ, SEARCH
from smsp_provider.simulator.generate import watermarked
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.records import SpineTelecom
from smsp_provider.storage.comparison_file import ComparisonFile
from throttles import throttle_at, wait_until

ANNE = replace(watermarked(7), telecoms=(SpineTelecom("HP", "tel:01632960000"),))
NUMBER, BORN = NHSNumber(ANNE.nhs_number), HL7Date(ANNE.birth_time or "")
NAME = ANNE.names[0]
TRACE = SimpleTrace(NAME.family or "", ANNE.gender or "", BORN, NAME.given[0])
LAST_DAY = date(2999, 12, 31)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, ConnectorWorld]]:
    with PatientStore() as store:
        store.add(ANNE)
        with connector_worlds(tmp_path_factory.mktemp("pki"), store) as made:
            yield made


class AheadClock(RealClock):
    """A minute ahead of the machine's: so much more time than otherwise has what is bounded by it."""

    def monotonic(self) -> float:
        return super().monotonic() + 60


class Watched(Comparing):
    """Tells whether a query still waits to be compared or is being compared."""

    def is_idle(self) -> bool:
        return self._jobs.unfinished_tasks == 0

    def _do(self, job: _Job) -> None:
        super()._do(job)
        self._jobs.task_done()


class Bench:
    """A connector that compares, and what it leaves behind."""

    def __init__(
        self, folder: Path, worlds: Mapping[str, ConnectorWorld], *, part: float = 1.0, until: date = LAST_DAY
    ) -> None:
        self.kept = ComparisonFile(folder / "comparisons.jsonl")
        self.file = folder / "comparisons.jsonl"
        audit_folder = folder / "audit"
        audit_folder.mkdir(mode=0o700)
        self.audit = make_trail(audit_folder / "audit.db", RealClock())
        self.connector = Watched(
            worlds[HL7].connector,
            worlds[FHIR].connector,
            ComparisonPolicy(part, until, "change 1234"),
            admission=throttle_at(folder / "throttle"),
            audit=self.audit,
            sink=self.kept,
            code_map=CODE_MAP,
            clock=AheadClock(),
            ids=RealIds(),
            chance=lambda: 0.5,
        )

    def ask(self, query: SpineQuery) -> None:
        asked: SpineConnector = self.connector
        assert asked.ask(query, SENDER, Deadline(time.monotonic() + 60)).exchange.sent

    def close(self) -> None:
        """Once nothing is compared any more: nothing of this is left to be in the way of the next test."""
        wait_until(self.connector.is_idle)
        self.audit.close_session()

    def found(self, number: int) -> list[Comparison]:
        """So many comparisons, once they are there."""
        wait_until(lambda: self.file.exists() and len(list(self.kept.read())) >= number)
        return list(self.kept.read())


@pytest.fixture
def bench(tmp_path: Path, worlds: Mapping[str, ConnectorWorld]) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**changes: object) -> Bench:
        made.append(Bench(tmp_path, worlds, **changes))  # type: ignore[arg-type]  # the names of its parameters
        return made[-1]

    yield make
    for name in (HL7, FHIR):
        spine = worlds[name].spine
        assert spine is not None
        spine.faults.clear()
    for one in made:
        one.close()


def test_the_same_answer_is_no_difference_and_every_query_is_on_record(
    worlds: Mapping[str, ConnectorWorld], bench: Callable[..., Bench]
) -> None:
    at = bench()
    queries: tuple[SpineQuery, ...] = (CrossCheckTrace(NUMBER, BORN), Retrieval(NUMBER), TRACE)
    for number, query in enumerate(queries, 1):
        at.ask(query)
        at.found(number)
    unknown = Retrieval(NHSNumber("9990001006"))
    at.ask(unknown)
    compared = at.found(4)
    assert [(one.query, one.answered, one.compared, one.fields) for one in compared] == [
        ("CrossCheckTrace", "found", "found", ()),
        ("Retrieval", "found", "found", ()),
        ("SimpleTrace", "found", "found", ()),
        ("Retrieval", "no_match", "no_match", ()),
    ]
    records = [entry.record for entry in at.audit.read()]
    intents = [record for record in records if isinstance(record, Intent)]
    endings = [record for record in records if isinstance(record, Ending)]
    assert len(intents) == len(endings) == 4
    assert [intent.exchange_id for intent in intents] == [ending.exchange_id for ending in endings]
    assert {intent.request.address for intent in intents} == {"upstream comparison"}
    assert intents[0].request.nhs_number == NUMBER
    assert all(ending.reason.endswith("approval change 1234") and ending.spine[0].sent for ending in endings)
    text = at.file.read_text()
    for value in (ANNE.nhs_number, NAME.family, NAME.given[0], ANNE.birth_time):
        assert value is not None
        assert value not in text
    spine = worlds[FHIR].spine
    assert spine is not None
    assert spine.fhir.calls[READ] + spine.fhir.calls[SEARCH] >= 4


def test_what_differs_is_named_without_its_value(
    worlds: Mapping[str, ConnectorWorld], bench: Callable[..., Bench]
) -> None:
    spine = worlds[FHIR].spine
    assert spine is not None
    at = bench()
    spine.fhir.mutate = lambda _, reply: replace(
        reply, document={**reply.document, "gender": "other", "birthDate": "1901-02-03", "telecom": []}
    )
    try:
        at.ask(Retrieval(NUMBER))
        (one,) = at.found(1)
    finally:
        spine.fhir.mutate = lambda _, reply: reply
    assert (one.answered, one.compared, one.fields) == ("found", "found", ("date_of_birth", "gender", "telecoms"))
    assert not re.search("1901-?02-?03", at.file.read_text())


@pytest.mark.rule("SMSP-PDS-002")
@pytest.mark.parametrize(
    "fault",
    [None, Fault(FaultKind.HTML), Fault(FaultKind.UNCORRELATED), Fault(FaultKind.HTTP_STATUS, status=404)],
    ids=["good", "unreadable", "another request's", "refused"],
)
def test_nothing_of_a_patient_is_kept_until_the_next_comparison(
    worlds: Mapping[str, ConnectorWorld], bench: Callable[..., Bench], fault: Fault | None
) -> None:
    spine = worlds[FHIR].spine
    assert spine is not None
    at = bench()
    if fault is not None:
        spine.faults.every(1, replace(fault, interaction=READ))
    # By its query, as other tests of this process may have comparisons that wait.
    query = Retrieval(NUMBER)
    gc.collect()
    gc.disable()  # nothing may need it to be forgotten
    try:
        at.ask(query)
        at.found(1)
        give_up = time.monotonic() + 60
        while any(isinstance(one, _Job) and one.query is query for one in gc.get_objects()):
            assert time.monotonic() < give_up
            time.sleep(0.2)  # seldom: looking at every object takes long
    finally:
        gc.enable()


@pytest.mark.rule("SMSP-PDS-002")
@pytest.mark.parametrize(
    ("fault", "dropped"),
    [(Fault(FaultKind.UNCORRELATED), True), (Fault(FaultKind.HTML), True), (None, False)],
    ids=["another request's", "unreadable", "good"],
)
def test_connections_that_brought_a_wrong_answer_are_not_used_again(
    worlds: Mapping[str, ConnectorWorld],
    bench: Callable[..., Bench],
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault | None,
    dropped: bool,
) -> None:
    spine, other = worlds[FHIR].spine, worlds[FHIR].connector
    assert spine is not None
    closed: list[SpineConnector] = []
    monkeypatch.setattr(other, "close_idle", lambda: closed.append(other))
    at = bench()
    if fault is not None:
        spine.faults.every(1, replace(fault, interaction=READ))
    at.ask(Retrieval(NUMBER))
    at.found(1)
    assert bool(closed) is dropped


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(FaultKind.HTTP_STATUS, status=404), "failed (Refused)"),
        (Fault(FaultKind.HTML), "failed (Unreadable)"),
        (Fault(FaultKind.UNCORRELATED), "refused by the gate (W1)"),
        (Fault(FaultKind.REFUSAL, codes=("INVALIDATED_RESOURCE",), status=404), "invalidated"),
    ],
    ids=["refused", "unreadable", "another request's", "invalidated"],
)
def test_the_other_ways_trouble_is_told_and_the_answer_is_none_the_worse(
    worlds: Mapping[str, ConnectorWorld], bench: Callable[..., Bench], fault: Fault, said: str
) -> None:
    spine = worlds[FHIR].spine
    assert spine is not None
    at = bench()
    spine.faults.every(1, replace(fault, interaction=READ))
    at.ask(Retrieval(NUMBER))
    (one,) = at.found(1)
    assert (one.answered, one.compared, one.fields) == ("found", said, ())


def test_outside_the_sample_and_after_the_last_day_nothing_is_compared(
    worlds: Mapping[str, ConnectorWorld], bench: Callable[..., Bench], tmp_path: Path
) -> None:
    spine = worlds[FHIR].spine
    assert spine is not None
    before = spine.fhir.calls[READ]
    at = bench(part=0.5)
    at.ask(Retrieval(NUMBER))
    (tmp_path / "later").mkdir()
    ended = Bench(tmp_path / "later", worlds, until=datetime.now(UTC).date().replace(year=2020))
    ended.ask(Retrieval(NUMBER))
    for one in (at, ended):
        one.close()
    assert spine.fhir.calls[READ] == before
    assert not at.file.exists()
    assert not ended.file.exists()
    assert not at.connector.can_ask(AdvancedTrace("QU*", "2", BORN))


def test_a_slow_other_way_delays_nobody_and_queries_are_dropped(
    worlds: Mapping[str, ConnectorWorld], bench: Callable[..., Bench]
) -> None:
    spine = worlds[FHIR].spine
    assert spine is not None
    at = bench()
    before = spine.fhir.calls[READ]
    let_go = threading.Event()
    spine.fhir.mutate = lambda _, reply: reply if let_go.wait(60) else pytest.fail("asking waited for it")
    try:
        for _ in range(30):
            at.ask(Retrieval(NUMBER))
        assert not at.file.exists()
    finally:
        let_go.set()
        wait_until(at.connector.is_idle)
        spine.fhir.mutate = lambda _, reply: reply
    # One under way at most, and eight that waited.
    assert spine.fhir.calls[READ] - before == len(list(at.kept.read()))
    assert spine.fhir.calls[READ] - before in (8, 9)


def test_the_report_counts_and_says_whether_anything_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "provider.toml"
    config.write_text(
        'environment = "test"\n[server]\nhttp = "127.0.0.1:0"\n[spine]\nendpoint = "http://localhost/"\n'
        f'pds_asid = "111111111111"\n[clients]\npolicy = "any"\n[audit]\ndatabase = "{tmp_path}/audit.db"\n'
    )
    none = run_main(monkeypatch, capsys, "upstream", "compare", "--config", config)
    assert (none.code, "nothing has been compared" in none.err) == (3, True)
    kept = ComparisonFile(tmp_path / "comparisons.jsonl")
    same = Comparison(datetime.now(UTC), "Retrieval", "found", "found")
    kept.record(same)
    kept.record(same)
    with kept._path.open("a") as file:
        file.write("not a line of it\n")
    good = run_main(monkeypatch, capsys, "upstream", "compare", "--config", config)
    assert good.code == 0
    assert "2 queries compared, 0 answered differently" in good.out
    kept.record(replace(same, fields=("gender",)))
    kept.record(replace(same, compared="no_match"))
    bad = run_main(monkeypatch, capsys, "upstream", "compare", "--config", config)
    assert bad.code == 1
    assert "4 queries compared, 2 answered differently" in bad.out
    assert "gender" in bad.out
