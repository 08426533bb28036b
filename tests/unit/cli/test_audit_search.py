"""`smsp audit search`, `report` and `reindex`: who may see what, in which form, and what is on record of it."""

import csv
import io
import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import Done, run_main
from searched_trail import NUMBER, OTHER_NUMBER, exchange
from signed_in import Desk
from smsp_provider.audit.events import OperatorActKind, PatientFacts
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.operators import EVERYTHING, Account, OrganisationScope, Role
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.system import SystemClock
from smsp_provider.wiring.audit import build_audit

Smsp = Callable[..., Done]

OFFICER = Account("ann.grey", "Ann Grey", frozenset({Role.PRIVACY_OFFICER}))
AUDITOR = Account("bob.blue", "Bob Blue", frozenset({Role.AUDITOR}))
LOCAL_AUDITOR = replace(AUDITOR, scope=OrganisationScope(frozenset({ODSCode("Y01")})))
LOCAL_OFFICER = replace(OFFICER, scope=OrganisationScope(frozenset({ODSCode("Y01")})))
CLIENT_MANAGER = Account("cat.red", "Cat Red", frozenset({Role.CLIENT_MANAGER}))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.prepare()
    trail = build_audit(desk.settings, SystemClock())
    now = SystemClock().now()
    for name, organisation in (("one", "X26"), ("two", "Y01"), ("=cmd()", "X26")):
        intent, ending = exchange(name, now, organisation=organisation)
        if name == "two":
            patient = PatientFacts(OTHER_NUMBER, superseded=True)
            ending = replace(ending, response_code=ResponseCode.SUPERSEDED, wire_code="DEMOG-0017", patient=patient)
        trail.open_intent(intent)
        trail.close(ending)
    trail.close_session()
    return desk


@pytest.fixture
def desk(prepared: Desk) -> Desk:
    return prepared


@pytest.fixture
def smsp(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Smsp:
    def run(*arguments: object) -> Done:
        return run_main(monkeypatch, capsys, *arguments, "--config", desk.config)

    return run


def _rows(done: Done) -> list[dict[str, str]]:
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-IG-001")
def test_an_auditor_sees_exchanges_without_their_patients(desk: Desk, smsp: Smsp) -> None:
    desk.sit_down(AUDITOR)
    rows = _rows(smsp("audit", "search", "--kind", "exchange", "--json"))
    assert [row["exchange"] for row in rows] == ["=cmd()", "two", "one"]
    assert rows[1] | {"asked": "[masked]", "returned": "[masked]", "outcome": "DEMOG-0017"} == rows[1]
    whole = smsp("audit", "search", "--kind", "exchange").out + smsp("audit", "search", "--csv").out
    for number in (NUMBER, OTHER_NUMBER):
        assert number.digits not in whole + json.dumps(rows)


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-IG-001", "SMSP-AUDIT-009")
@pytest.mark.parametrize("asked", [("--nhs-number", NUMBER.digits), ("--patients",)], ids=["by number", "shown"])
def test_an_auditor_who_asks_for_patients_is_refused_and_that_is_on_record(
    desk: Desk, smsp: Smsp, asked: tuple[str, ...]
) -> None:
    desk.sit_down(AUDITOR)
    done = smsp("audit", "search", *asked)
    assert (done.code, done.out) == (6, "")
    assert NUMBER.digits not in done.err
    *_, act = desk.acts()
    assert (act.kind, act.operator) == (OperatorActKind.COMMAND_REFUSED, "bob.blue")


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-AUDIT-008", "SMSP-AUDIT-009")
def test_a_privacy_officer_finds_by_number_and_the_search_is_on_record_with_it(desk: Desk, smsp: Smsp) -> None:
    desk.sit_down(OFFICER)
    rows = _rows(smsp("audit", "search", "--nhs-number", OTHER_NUMBER.digits, "--client", "ward-system", "--json"))
    assert [(row["exchange"], row["asked"], row["returned"]) for row in rows] == [
        ("two", NUMBER.digits, OTHER_NUMBER.digits)
    ]
    *_, act = desk.acts()
    assert act.kind is OperatorActKind.AUDIT_SEARCHED
    assert (act.operator, act.nhs_number, act.detail) == ("ann.grey", OTHER_NUMBER, "audit search client=ward-system")


@pytest.mark.rule("SMSP-AUDIT-009", "SMSP-IG-001")
def test_the_patient_of_somebody_elses_search_is_masked_too(desk: Desk, smsp: Smsp) -> None:
    desk.sit_down(OFFICER)
    smsp("audit", "search", "--nhs-number", NUMBER.digits, "--user", OTHER_NUMBER.digits)
    desk.sit_down(AUDITOR)
    done = smsp("audit", "search", "--kind", "audit-searched", "--operator", "ann.grey", "--json")
    row = _rows(done)[0]
    assert (row["asked"], row["detail"]) == ("[masked]", "audit search user=[masked]")
    assert NUMBER.digits not in done.out


@pytest.mark.rule("SMSP-IG-001")
def test_who_may_not_look_sees_nothing(desk: Desk, smsp: Smsp, tmp_path: Path) -> None:
    desk.sit_down(CLIENT_MANAGER)
    page = tmp_path / "report.html"
    for command in (("search",), ("report", NUMBER.digits, "--output", page), ("reindex",)):
        done = smsp("audit", *command)
        assert (done.code, done.out) == (6, "")
    assert not page.exists()


@pytest.mark.rule("SMSP-IG-001")
def test_a_scope_holds_for_search_place_and_report(desk: Desk, smsp: Smsp, tmp_path: Path) -> None:
    desk.sit_down(AUDITOR)
    places = {row["exchange"]: row["record"] for row in _rows(smsp("audit", "search", "--kind", "exchange", "--json"))}
    desk.sit_down(LOCAL_AUDITOR)
    assert [row["exchange"] for row in _rows(smsp("audit", "search", "--json"))] == ["two"]
    assert smsp("audit", "search", "--organisation", "X26").code == 1
    assert smsp("audit", "search", "--sequence", places["one"]).code == 1
    assert _rows(smsp("audit", "search", "--sequence", places["two"], "--json"))[0]["exchange"] == "two"
    desk.sit_down(LOCAL_OFFICER)
    page = tmp_path / "report.html"
    assert smsp("audit", "report", NUMBER.digits, "--output", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "exchange two" in text
    assert "exchange one" not in text
    assert "X26" not in text
    desk.sit_down(replace(OFFICER, scope=EVERYTHING))
    desk.sit_down(replace(AUDITOR, scope=EVERYTHING))


@pytest.mark.rule("SMSP-AUDIT-007")
def test_pages_follow_each_other(desk: Desk, smsp: Smsp) -> None:
    desk.sit_down(AUDITOR)
    seen = []
    after: tuple[str, ...] = ()
    for _ in range(3):
        done = smsp("audit", "search", "--kind", "exchange", "--limit", 1, "--oldest-first", "--json", *after)
        seen += [row["exchange"] for row in _rows(done)]
        after = ("--after", done.err.split()[-1]) if "--after" in done.err else ()
    assert (seen, after) == (["one", "two", "=cmd()"], ())


@pytest.mark.rule("SMSP-AUDIT-007")
def test_a_spreadsheet_gets_text_and_no_formulas(desk: Desk, smsp: Smsp) -> None:
    desk.sit_down(AUDITOR)
    done = smsp("audit", "search", "--message-id", "=cmd()-message", "--csv")
    (row,) = csv.DictReader(io.StringIO(done.out))
    assert row["exchange"] == "'=cmd()"
    assert row["message_id"] == "'=cmd()-message"


@pytest.mark.rule("SMSP-AUDIT-007")
def test_a_table_fits_a_terminal_of_120_columns(desk: Desk, smsp: Smsp) -> None:
    desk.sit_down(AUDITOR)
    for done in (smsp("audit", "search"), smsp("audit", "search", "--message-id", "one-message")):
        assert done.code == 0
        assert max(map(len, done.out.splitlines())) <= 120


@pytest.mark.parametrize(
    "arguments",
    [
        ("--sequence", "nonsense"),
        ("--sequence", "1:2", "--user", "x"),
        ("--after", "nonsense"),
        ("--after", "20269999.1.1.1"),
        ("--nhs-number", "1234567890"),
        ("--limit", "0"),
        ("--since", "2026-03-05", "--until", "2026-03-04"),
    ],
    ids=["no place", "place and user", "no cursor", "no day", "no number", "no page", "no time"],
)
def test_what_cannot_be_asked_is_a_mistake_of_the_command_line(
    desk: Desk, smsp: Smsp, arguments: tuple[str, ...]
) -> None:
    desk.sit_down(OFFICER)
    done = smsp("audit", "search", *arguments)
    assert done.code == 2
    assert "1234567890" not in done.err


@pytest.mark.rule("SMSP-AUDIT-007")
@pytest.mark.parametrize(
    ("mode", "content"),
    [
        pytest.param(0o755, b"", id="in a directory that is open to others"),
        pytest.param(0o700, b"nonsense", id="no trail"),
    ],
)
def test_a_restored_trail_that_cannot_be_used_is_told_of(
    desk: Desk, smsp: Smsp, tmp_path: Path, mode: int, content: bytes
) -> None:
    desk.sit_down(OFFICER)
    file = tmp_path / "restored" / "audit.db"
    file.parent.mkdir()
    file.parent.chmod(mode)
    file.write_bytes(content)
    done = smsp("audit", "search", "--database", file)
    assert (done.code, done.out) == (3, "")
    assert str(file) in done.err


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-AUDIT-008")
def test_a_report_is_a_marked_private_page_that_is_never_overwritten(desk: Desk, smsp: Smsp, tmp_path: Path) -> None:
    desk.sit_down(OFFICER)
    page = tmp_path / "report.html"
    done = smsp("audit", "report", NUMBER.digits, "--output", page)
    assert done.code == 0
    assert NUMBER.digits not in done.out + done.err
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    text = page.read_text(encoding="utf-8")
    assert text.count("NHS Confidential: Personal Data about a patient") >= 3
    for digits in (NUMBER.digits, OTHER_NUMBER.digits):
        assert f"{digits[:3]} {digits[3:6]} {digits[6:]}" in text
    assert "http" not in text
    assert "<script" not in text
    *_, act = desk.acts()
    assert (act.kind, act.nhs_number) == (OperatorActKind.PATIENT_REPORTED, NUMBER)
    again = smsp("audit", "report", NUMBER.digits, "--output", page)
    assert again.code == 3
    assert page.read_text(encoding="utf-8") == text


@pytest.mark.rule("SMSP-AUDIT-007")
def test_an_index_that_is_gone_or_made_anew_changes_nothing_of_what_is_found(desk: Desk, smsp: Smsp) -> None:
    desk.sit_down(AUDITOR)
    before = _rows(smsp("audit", "search", "--kind", "exchange", "--json"))
    for file in desk.settings.audit.database.parent.glob("audit-index.db*"):
        file.unlink()
    assert _rows(smsp("audit", "search", "--kind", "exchange", "--json")) == before
    done = smsp("audit", "reindex")
    assert done.code == 0
    assert "records of 1 days" in done.out
    assert _rows(smsp("audit", "search", "--kind", "exchange", "--json")) == before
    desk.settings.audit.database.with_name("audit-index.db").write_bytes(b"no index at all" * 100)
    broken = smsp("audit", "search")
    assert broken.code == 3
    assert "audit-index.db" in broken.err
    for file in desk.settings.audit.database.parent.glob("audit-index.db*"):
        file.unlink()


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_verification_with_the_index_finds_what_the_index_hides(desk: Desk, smsp: Smsp) -> None:
    desk.sit_down(AUDITOR)
    hides = "the search index hides a term of this record"
    smsp("audit", "search")
    assert hides not in smsp("audit", "verify", "--index").out
    file = desk.settings.audit.database.with_name("audit-index.db")
    with closing(sqlite3.connect(file)) as index, index:
        (table,) = index.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'term_%'").fetchone()
        index.execute(f"DELETE FROM {table} WHERE n = 2")  # noqa: S608 - the file's own name
    done = smsp("audit", "verify", "--index")
    assert done.code == 1
    assert hides in done.out
    assert smsp("audit", "verify", "--index", "--database", desk.settings.audit.database).code == 2
    assert smsp("audit", "reindex").code == 0
