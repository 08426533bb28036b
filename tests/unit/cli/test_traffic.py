"""`smsp traffic report`: throughput out of a real trail, for those who may read it and as far as it is theirs."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml import etree

from audit_samples import NUMBER, ending_of, intent_of
from client_samples import client_of
from command_line import Done, run_main
from deletion_world import MovingClock
from signed_in import Desk
from smsp_provider.audit.events import EndingKind, FaultFacts, RefusalCount, Refusals, RequestFacts, Source
from smsp_provider.cli.client_session import session_of
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.domain.faults import ErrorCode, FaultCode
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.operators import EVERYTHING, Account, OrganisationScope, Role
from smsp_provider.domain.service import Service
from smsp_provider.storage.client_registry import ClientChange
from smsp_provider.wiring.audit import build_audit

pytestmark = pytest.mark.rule("SMSP-PERF-002")

OURS, THEIRS = ODSCode("A1"), ODSCode("B2")
CLIENTS = {"ward": OURS, "lab": THEIRS}
TODAY = datetime.now(UTC).replace(hour=0, minute=30, second=0, microsecond=0)
VERIFY, TRACE = Service.VERIFY_NHS_NUMBER, Service.GET_NHS_NUMBER

Run = Callable[..., Done]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    made = Desk(tmp_path_factory.mktemp("desk"))
    made.prepare()
    with session_of(made.settings) as session:
        clients = [client_of(name, ods_code=code, organisations={code: None}) for name, code in CLIENTS.items()]
        session.change(lambda _: [ClientChange(client.name, None, client) for client in clients])
    clock = MovingClock(TODAY)
    trail = build_audit(made.settings, clock)
    exchange = 0
    for client, service, hours in (("ward", VERIFY, (1, 9, 9, 10)), ("lab", VERIFY, (9,)), ("lab", TRACE, (9, 9))):
        for hour in hours:
            exchange += 1
            clock.at = TODAY + timedelta(hours=hour)
            intent = intent_of(f"E{exchange}")
            facts = replace(intent.request, client=client, service=service)
            trail.open_intent(replace(intent, at=clock.at, request=facts))
            trail.close(replace(ending_of(f"E{exchange}"), at=clock.at, client=client, service=service))
    trail.close(
        replace(
            ending_of("F1"),
            at=clock.at,
            kind=EndingKind.FAULT,
            source=Source.NONE,
            request=RequestFacts("192.0.2.7", client="ward", service=VERIFY),
            response_code=None,
            fault=FaultFacts(FaultCode.CLIENT, ErrorCode.ACCESS_DENIED, "ID", "WS-SEC-08"),
        )
    )
    junk = (RefusalCount("1000", "WS-STD-01", 40),)
    trail.record_refusals(Refusals(clock.at, TODAY + timedelta(hours=3), "192.0.2.9", junk))
    trail.close_session()
    return made


def person(*roles: Role, scope: OrganisationScope = EVERYTHING) -> Account:
    return Account("jsmith", "Jo Smith", frozenset(roles), scope)


@pytest.fixture
def run(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> Done:
        return run_main(monkeypatch, capsys, "traffic", "report", "--config", desk.config, *arguments)

    return command


def rows_of(done: Done) -> dict[tuple[str, str], dict[str, object]]:
    assert done.code == ExitCode.OK, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    assert {row["day"] for row in found} <= {TODAY.date().isoformat()}
    return {(row["service"], row["client"]): row for row in found}


def test_each_day_is_told_with_its_busiest_hour_by_service_and_client(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.OPERATOR))
    rows = rows_of(run("--json"))
    whole = rows["all", "all"]
    assert (whole["requests"], whole["peak_hour"], whole["peak_requests"]) == (48, "03:00", 40)
    assert (whole["success"], whole["fault"], whole["refused"]) == (7, 1, 40)
    ward = rows[VERIFY.value, "ward"]
    assert (ward["requests"], ward["peak_hour"], ward["peak_requests"]) == (5, "09:00", 3)
    assert rows[TRACE.value, "lab"]["requests"] == 2
    assert rows["-", "-"]["refused"] == 40


def test_it_can_be_told_by_service_or_by_client_alone(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.OPERATOR))
    by_client = {key[1]: row["requests"] for key, row in rows_of(run("--json", "--by", "client")).items()}
    assert by_client == {"all": 48, "ward": 5, "lab": 3, "-": 40}
    by_service = {key[0]: row["requests"] for key, row in rows_of(run("--json", "--by", "service")).items()}
    assert by_service == {"all": 48, VERIFY.value: 6, TRACE.value: 2, "-": 40}


def test_a_table_and_csv_tell_the_same(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.OPERATOR))
    table = run("--by", "client").out
    assert "day (UTC)" in table
    assert "service" not in table.splitlines()[0]
    (whole,) = [
        row for row in csv.DictReader(run("--csv", "--by", "client").out.splitlines()) if row["client"] == "all"
    ]
    assert (whole["requests"], whole["peak_hour"]) == ("48", "03:00")


def test_days_outside_of_the_period_are_left_out(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.OPERATOR))
    assert run("--json", "--since", "2020-01-01", "--until", "2020-02-01").out == ""
    refused = run("--since", "2020-02-01", "--until", "2020-01-01")
    assert refused.code == ExitCode.USAGE


@pytest.mark.rule("SMSP-IG-001")
@pytest.mark.parametrize("by", ["both", "service", "client"])
def test_somebody_of_one_organisation_sees_its_clients_alone(desk: Desk, run: Run, by: str) -> None:
    desk.sit_down(person(Role.OPERATOR, scope=OrganisationScope(frozenset({OURS}))))
    rows = rows_of(run("--json", "--by", by))
    assert rows["all", "all"]["requests"] == 5
    assert {client for _, client in rows} <= {"all", "ward"}
    assert TRACE.value not in {service for service, _ in rows}


@pytest.mark.rule("SMSP-IG-001")
def test_whose_work_it_is_not_is_refused(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.PRIVACY_OFFICER))
    done = run()
    assert (done.code, done.out) == (ExitCode.NOT_ALLOWED, "")


def test_it_is_drawn_into_a_file_and_overwrites_none(desk: Desk, run: Run, tmp_path: Path) -> None:
    desk.sit_down(person(Role.OPERATOR))
    picture = tmp_path / "throughput.svg"
    assert run("--svg", picture).code == ExitCode.OK
    assert etree.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    before = picture.read_bytes()
    assert run("--svg", picture).code == ExitCode.USAGE
    assert picture.read_bytes() == before


def test_nothing_of_a_patient_is_in_any_form_of_it(desk: Desk, run: Run, tmp_path: Path) -> None:
    desk.sit_down(person(Role.OPERATOR))
    picture = tmp_path / "throughput.svg"
    told = [run("--svg", picture).out, run("--json").out, run("--csv").out, picture.read_text()]
    assert [text for text in told if NUMBER in text or "192.0.2" in text] == []
