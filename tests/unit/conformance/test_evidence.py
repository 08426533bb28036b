"""Reports, JUnit XML, comparison of runs, and the requirement table."""

import csv
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from command_line import run_main
from reference import shared_file
from smsp_provider.conformance.compare import changed_facts, differences
from smsp_provider.conformance.evidence import Result, Run, UnreadableRun, Verdict, form_hash, read_run, write_run
from smsp_provider.conformance.expectations import Finding
from smsp_provider.conformance.report import html_report
from smsp_provider.conformance.requirements import InvalidCatalogue, read_catalogue, table_of
from smsp_provider.conformance.transport import Answer, Exchange

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = ROOT / "docs" / "reference" / "requirements.toml"
HOSTILE = b"</pre><script>alert(1)</script>\x00\xff&amp;"

EXCHANGE = Exchange(
    "POST /smsp/pds HTTP/1.1",
    (("X", "<script>"),),
    HOSTILE,
    Answer(200, (("Content-Type", "text/xml"),), HOSTILE),
    "",
    0.012,
)
GOOD = Result("SM_1", "a purpose", ("WS-ADR-01",), Verdict.PASSED, "", (Finding("A", "says", holds=True),), EXCHANGE)
BAD = Result(
    "DE_1",
    "<b>bold</b>",
    (),
    Verdict.FAILED,
    "why <script>",
    (Finding("B", "says <i>", holds=False, reason="</td>"), Finding("C", "unseen", None, "not there")),
    replace(EXCHANGE, answer=None, problem="reset"),
)
SKIPPED = Result("SO_1", "a purpose", (), Verdict.NOT_APPLICABLE, "needs tls")


def run(*results: Result) -> Run:
    return Run("A run", (("system", "http://localhost/<x>"),), results, 1.5)


def test_nothing_that_came_over_the_wire_is_markup_in_the_report() -> None:
    page = html_report(run(GOOD, BAD, SKIPPED))
    assert "<script" not in page
    assert "<b>bold" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "src=" not in page, "the page needs nothing beside it"
    assert 'href="http' not in page


def test_the_report_shows_each_case_with_its_verdict_and_both_messages() -> None:
    page = etree.fromstring(html_report(run(GOOD, BAD, SKIPPED)).encode(), etree.HTMLParser())
    assert page.xpath("//details/@id") == ["SM_1", "DE_1", "SO_1"]
    assert page.xpath("string(//details[@id='DE_1']//span[contains(@class, 'verdict')])") == "failed"
    assert "no answer: reset" in str(page.xpath("string(//details[@id='DE_1'])"))
    assert "not run: not there" in str(page.xpath("string(//details[@id='DE_1'])"))
    assert page.xpath("count(//details[@open])") == 1.0


def test_long_messages_are_cut_in_the_page_and_whole_in_the_folder(tmp_path: Path) -> None:
    long = replace(GOOD, exchange=replace(EXCHANGE, request=b"x" * 50_000))
    page = html_report(run(long))
    assert "38000 bytes more" in page
    write_run(run(long), tmp_path, page)
    assert (tmp_path / "messages" / "SM_1.request.http").read_bytes().endswith(b"\r\n\r\n" + b"x" * 50_000)


def test_the_evidence_says_the_same_in_every_form(tmp_path: Path) -> None:
    write_run(run(GOOD, BAD, SKIPPED), tmp_path, "page")
    suite = etree.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert suite.xpath("testcase[1]/properties/property[@name='rule']/@value") == ["WS-ADR-01"]
    rows = json.loads((tmp_path / "run.json").read_text())["results"]
    assert [row["verdict"] for row in rows] == ["passed", "failed", "not applicable"]
    assert rows[0]["milliseconds"] == 12.0
    assert len(rows[0]["answer_sha256"]) == 64
    assert not (tmp_path / "messages" / "DE_1.answer.http").exists()


def test_a_run_of_nothing_has_not_passed() -> None:
    assert not run(SKIPPED).passed
    assert run(GOOD, SKIPPED).passed
    assert not run(GOOD, BAD).passed


def test_ids_times_and_addresses_do_not_make_two_answers_differ() -> None:
    one = b"<a>5D2F1C80-7B1E-4B5C-9C0A-1E6A52F4A7D1 2026-03-02T09:30:00.5Z http://one:80/x SMSP-0000</a>"
    other = b"<a>6d2f1c80-7b1e-4b5c-9c0a-1e6a52f4a7d2 2027-03-02T09:30:00Z https://two/x SMSP-0000</a>"
    assert form_hash(one) == form_hash(other)
    assert form_hash(one) != form_hash(one.replace(b"SMSP-0000", b"SMSP-0001"))


def found(first: Run, second: Run, folder: Path) -> list[tuple[str, bool]]:
    for name, one in (("first", first), ("second", second)):
        write_run(one, folder / name, "")
    pairs = differences(read_run(folder / "first"), read_run(folder / "second"))
    return [(difference.text.partition(" (")[0], difference.worse) for difference in pairs]


def test_what_differs_is_told_and_what_is_worse_is_marked(tmp_path: Path) -> None:
    failed = replace(GOOD, verdict=Verdict.FAILED, reason="why")
    other = replace(GOOD, exchange=replace(EXCHANGE, answer=Answer(200, (), b"something else")))
    status = replace(GOOD, exchange=replace(EXCHANGE, answer=Answer(201, (), HOSTILE)))
    lost = replace(BAD, findings=(Finding("B", "says", holds=True), Finding("C", "unseen", holds=True)))
    assert found(run(GOOD), run(GOOD), tmp_path) == []
    assert found(run(GOOD), run(failed), tmp_path) == [("passed became failed", True)]
    assert found(run(failed), run(GOOD), tmp_path) == [("failed became passed", False)]
    assert found(run(GOOD), run(), tmp_path) == [("is not in the second run", True)]
    assert found(run(), run(GOOD), tmp_path) == [("is new: passed", False)]
    assert found(run(GOOD), run(other), tmp_path) == [("the answer says something else", False)]
    assert found(run(GOOD), run(status), tmp_path) == [("HTTP 200 became 201", False)]
    assert found(run(lost), run(BAD), tmp_path) == [("no longer holds: B, C", True)]


def test_what_two_runs_were_not_alike_in_from_the_start_is_told() -> None:
    first = {"facts": {"system under test": "http://a/", "time": "1", "population": "mine"}}
    second = {"facts": {"system under test": "http://b/", "time": "2", "offered": "tls", "population": "mine"}}
    assert list(changed_facts(first, first)) == []
    assert list(changed_facts(first, second)) == [
        "system under test: http://a/ became http://b/",
        "offered: not told became tls",
    ]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRun):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(UnreadableRun):
        read_run(tmp_path)


class TestTheCatalogue:
    @pytest.mark.shared
    def test_it_holds_every_published_id_with_its_level_and_area(self) -> None:
        with shared_file("spec/itk/requirements.csv").open(encoding="utf-8", newline="") as rows:
            published = [(row["id"], row["level"], row["area"]) for row in csv.DictReader(rows)]
        ours = [(row.id, row.level, row.area) for row in read_catalogue(CATALOGUE, ROOT).requirements]
        assert ours == published
        assert len(ours) == 100

    @pytest.mark.shared
    def test_its_words_are_our_own(self) -> None:
        with shared_file("spec/itk/requirements.csv").open(encoding="utf-8", newline="") as rows:
            theirs = {row["summary"].rstrip(".").lower() for row in csv.DictReader(rows)}
        assert not [
            row.id for row in read_catalogue(CATALOGUE, ROOT).requirements if row.says.rstrip(".").lower() in theirs
        ]

    def test_every_setting_it_names_is_a_setting(self) -> None:
        page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
        for row in read_catalogue(CATALOGUE, ROOT).requirements:
            for setting in row.settings:
                variable = f"SMSP_{setting.replace('.', '__')}".upper()
                assert f"`{variable}`" in page, f"{row.id} names {setting}"

    def test_every_mark_of_a_test_is_an_id_of_it(self) -> None:
        known = {row.id for row in read_catalogue(CATALOGUE, ROOT).requirements}
        marks = re.compile(r'mark\.rule\(\s*((?:"[^"]+"[,\s]*)+)\)')
        for file in (ROOT / "tests").rglob("test_*.py"):
            for found in marks.findall(file.read_text(encoding="utf-8")):
                assert set(re.findall(r'"([^"]+)"', found)) <= known, file


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.one" name="test_a[x]"><properties><property name="rule" value="R-1"/></properties></testcase>
<testcase classname="tests.one" name="test_a[y]"><properties><property name="rule" value="R-1"/></properties></testcase>
<testcase classname="tests.one" name="test_b"><properties><property name="rule" value="R-2"/></properties>
{failure}</testcase>
<testcase classname="tests.one" name="test_c"><properties><property name="rule" value="R-3"/></properties><skipped/>
</testcase></testsuite></testsuites>"""
ROW = '[[requirement]]\nid = "{id}"\nlevel = "MUST"\narea = "a"\nsays = "s"\nstatus = "{status}"\nhow = "h"\n'


def catalogue(folder: Path, *rows: str) -> Path:
    file = folder / "catalogue.toml"
    file.write_text("\n".join(rows))
    return file


def test_the_table_tells_gaps_from_proof_and_from_documented_reasons(tmp_path: Path) -> None:
    file = catalogue(
        tmp_path,
        *(ROW.format(id=f"R-{number}", status="met") for number in (1, 2, 3)),
        ROW.format(id="R-4", status="not yet") + 'reason = "not built yet"\n',
        ROW.format(id="R-5", status="met").replace("MUST", "SHOULD"),
    )
    results = tmp_path / "results.xml"
    results.write_text(JUNIT.replace("{failure}", "<failure/>"))
    table = table_of(read_catalogue(file, tmp_path), [results])
    assert list(table.gaps()) == ["R-2: 1 tests failed", "R-3: neither a passing test nor a documented reason"]
    assert table.rows[0].passed == ("tests.one.test_a",), "a parametrised test is one test"
    rows = list(csv.DictReader(table.csv().splitlines()))
    assert [row["status"] for row in rows] == ["met", "met", "met", "not yet", "met"]
    assert rows[3]["tests"] == "not built yet"
    assert "not built yet" in table.html()


def test_a_row_that_denies_what_tests_prove_is_a_gap(tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    results.write_text(JUNIT.replace("{failure}", ""))
    row = ROW.format(id="R-1", status="not yet") + 'reason = "not built yet"\n'
    file = catalogue(tmp_path, row, ROW.format(id="R-2", status="met"))
    gaps = list(table_of(read_catalogue(file, tmp_path), [results]).gaps())
    assert gaps == ["R-1: tests prove it, and the catalogue says not yet: bring the row up to date"]


def test_an_id_that_only_tests_know_is_a_gap(tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    results.write_text(JUNIT.replace("{failure}", ""))
    file = catalogue(tmp_path, *(ROW.format(id=f"R-{number}", status="met") for number in (1,)))
    gaps = list(table_of(read_catalogue(file, tmp_path), [results]).gaps())
    assert gaps == ["R-2: tests name it, the catalogue does not"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[", id="no-toml"),
        pytest.param(ROW.format(id="R", status="perhaps"), id="no-such-status"),
        pytest.param(ROW.format(id="R", status="not yet"), id="not-yet-without-a-reason"),
        pytest.param(ROW.format(id="R", status="met") * 2, id="twice"),
        pytest.param(ROW.format(id="R", status="met") + 'documents = ["none.md"]', id="no-such-document"),
        pytest.param(ROW.format(id="R", status="met") + 'colour = "red"', id="an-unknown-key"),
    ],
)
def test_a_catalogue_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidCatalogue):
        read_catalogue(catalogue(tmp_path, text), tmp_path)


def test_results_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.xml").write_text("no XML")
    with pytest.raises(InvalidCatalogue):
        table_of(read_catalogue(CATALOGUE, ROOT), [tmp_path / "results.xml"])


def test_the_command_writes_the_table_and_ends_with_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results = tmp_path / "results.xml"
    results.write_text(JUNIT.replace("{failure}", ""))
    rows = [ROW.format(id=f"R-{number}", status="met") for number in (1, 2)]
    file = catalogue(tmp_path, *rows, ROW.format(id="R-3", status="met"))
    options = (results, "--catalogue", file, "--root", tmp_path, "--to", tmp_path / "out")
    done = run_main(monkeypatch, capsys, "conformance", "requirements", *options)
    assert done.code == 1
    assert "GAP R-3" in done.out
    assert (tmp_path / "out" / "requirements.html").exists()
    assert len((tmp_path / "out" / "requirements.csv").read_text().splitlines()) == 4
    assert len(tomllib.loads(file.read_text())["requirement"]) == 3
