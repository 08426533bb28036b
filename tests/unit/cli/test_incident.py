"""`smsp incident affected`: what a release answered, for those who may look into it, and for nobody else."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit_samples import NUMBER, ending_of, intent_of
from command_line import Done, run_main
from signed_in import Desk
from smsp_provider.audit.events import PatientFacts
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.operators import EVERYTHING, Account, OrganisationScope, Role
from smsp_provider.domain.outcomes import Evidence
from smsp_provider.domain.service import Service
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_lane import ProcessFacts
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.wiring.audit import build_audit_database, build_audit_keys

pytestmark = pytest.mark.rule("SMSP-AUDIT-008")

GOOD = ProcessFacts("1.0.0+aaaa", "aa" * 32, "cc" * 32)
BAD = ProcessFacts("1.1.0+bbbb", "bb" * 32, "cc" * 32)
OURS, THEIRS = ODSCode("A1"), ODSCode("B2")

Run = Callable[..., Done]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    made = Desk(tmp_path_factory.mktemp("desk"))
    made.prepare()
    for facts, exchanges in ((GOOD, ("E1", "E2")), (BAD, ("E3", "E4"))):
        trail = ChainedAuditTrail(
            build_audit_database(made.settings), build_audit_keys(made.settings), SystemClock(), facts
        )
        for exchange, organisation in zip(exchanges, (OURS, THEIRS), strict=True):
            _ask(trail, exchange, organisation)
        trail.close_session()
    return made


def _ask(trail: ChainedAuditTrail, exchange: str, organisation: ODSCode) -> None:
    intent = intent_of(exchange)
    facts = replace(
        intent.request, client=f"of-{organisation.code.lower()}", ods_code=organisation, service=Service.GET_NHS_NUMBER
    )
    trail.open_intent(replace(intent, request=replace(facts, message_id="=HYPERLINK(1)")))
    patient = PatientFacts(NHSNumber(NUMBER), Evidence.DATE_OF_BIRTH, name_contradiction=True)
    trail.close(replace(ending_of(exchange), wire_code="SMSP-0000", patient=patient))


def person(*roles: Role, scope: OrganisationScope = EVERYTHING) -> Account:
    return Account("jsmith", "Jo Smith", frozenset(roles), scope)


@pytest.fixture
def run(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str) -> Done:
        return run_main(monkeypatch, capsys, "incident", "affected", "--config", desk.config, *arguments)

    return command


def test_without_a_suspicion_the_releases_are_listed(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.AUDITOR))
    found = [json.loads(line) for line in run("--format", "json").out.splitlines()]
    releases = {row["build"]: row for row in found}
    assert {GOOD.build, BAD.build} < set(releases), "and that of the commands of this test"
    assert releases[BAD.build]["rules"] == BAD.rules
    assert releases[BAD.build]["processes"] == "1"
    assert datetime.fromisoformat(releases[BAD.build]["first"]).tzinfo == UTC
    table = run()
    assert table.code == ExitCode.OK
    assert BAD.rules[:12] in table.out
    assert BAD.rules not in table.out


def test_what_a_build_answered_is_listed_with_how_sure_it_was(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.PRIVACY_OFFICER))
    rows = list(csv.DictReader(run("--build", "1.1", "--format", "csv").out.splitlines()))
    assert [row["exchange"] for row in rows] == ["E3", "E4"]
    assert {key: rows[0][key] for key in ("client", "organisation", "service", "outcome", "evidence")} == {
        "client": "of-a1",
        "organisation": "A1",
        "service": "getNHSNumber-v1-0",
        "outcome": "SMSP-0000",
        "evidence": "rule-1-date-of-birth",
    }
    assert {row["flags"] for row in rows} == {"name-contradiction"}
    assert {row["asked"] for row in rows} == {row["returned"] for row in rows} == {NUMBER}
    assert {row["message_id"] for row in rows} == {"'=HYPERLINK(1)"}, "no formula in a spreadsheet"


@pytest.mark.rule("SMSP-IG-001")
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_who_may_not_search_by_patient_sees_none(desk: Desk, run: Run, form: str) -> None:
    desk.sit_down(person(Role.AUDITOR))
    done = run("--build", "1.1", "--format", form)
    assert "of-a1" in done.out
    assert "[masked]" in done.out
    assert NUMBER not in done.out


@pytest.mark.rule("SMSP-IG-001")
def test_another_organisations_exchanges_are_not_there(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.PRIVACY_OFFICER, scope=OrganisationScope(frozenset({OURS}))))
    found = [
        json.loads(line) for line in run("--rules", "", "--configuration", "cc", "--format", "json").out.splitlines()
    ]
    assert {row["organisation"] for row in found} == {"A1"}
    assert [row["exchange"] for row in found] == ["E1", "E3"]


@pytest.mark.rule("SMSP-IG-001")
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.CLIENT_MANAGER])
def test_who_may_not_look_into_the_trail_is_refused(desk: Desk, run: Run, role: Role) -> None:
    desk.sit_down(person(role))
    done = run("--build", "1.1")
    assert (done.code, done.out) == (ExitCode.NOT_ALLOWED, "")


@pytest.mark.rule("SMSP-AUDIT-008")
def test_the_question_is_on_record(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.AUDITOR))
    run("--build", "1.1", "--client", "of-a1", "--between", "2026-01-01", "2026-02-01T08:00")
    asked = [act.detail for act in desk.acts() if act.operator == "jsmith"]
    assert asked[-1] == (
        "incident affected build=1.1 since=2026-01-01T00:00:00.000000Z until=2026-02-01T08:00:00.000000Z client=of-a1"
    )


def test_a_time_and_a_client_narrow_it_down(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.AUDITOR))
    assert run("--between", "2026-01-01", "2026-01-02", "--format", "json").out == ""
    found = [json.loads(line) for line in run("--client", "of-b2", "--format", "json").out.splitlines()]
    assert [row["exchange"] for row in found] == ["E2", "E4"]


def test_a_time_that_ends_before_it_begins_is_a_mistake(desk: Desk, run: Run) -> None:
    desk.sit_down(person(Role.AUDITOR))
    assert run("--between", "2026-01-02", "2026-01-01").code == ExitCode.USAGE


def test_without_the_keys_nothing_is_told(desk: Desk, run: Run, tmp_path: Path) -> None:
    desk.sit_down(person(Role.AUDITOR))
    keys = desk.settings.audit.keys_file()
    aside = keys.rename(tmp_path / "aside")
    try:
        done = run("--build", "1.1")
    finally:
        aside.rename(keys)
    assert (done.code, done.out) == (ExitCode.CANNOT_START, "")
    assert "key" in done.err
