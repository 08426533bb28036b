"""The commands: what they print, what they refuse by name, and how they end."""

from pathlib import Path
from typing import Any

import pytest

from broken_servers import BrokenServer, Reply
from command_line import Done, run_main
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.conformance.cases import packaged_cases
from smsp_provider.conformance.datafiles import data_text
from smsp_provider.conformance.message import Caller, new_request
from smsp_provider.conformance.services import SERVICES

NOWHERE = "http://127.0.0.1:9/smsp/pds"


@pytest.fixture
def smsp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> Done:
        return run_main(monkeypatch, capsys, "conformance", *arguments)

    return run


def test_the_cases_are_listed(smsp: Any) -> None:
    done = smsp("list")
    assert done.code == ExitCode.OK
    assert f"{len(packaged_cases())} cases" in done.out
    assert all(case.id in done.out for case in packaged_cases())


@pytest.mark.parametrize(
    ("what", "file"),
    [
        ("population", "population.toml"),
        ("answers", "simulator/answers.toml"),
        ("expectations", "expectations.toml"),
    ],
)
def test_packaged_files_can_be_printed_to_be_copied(smsp: Any, what: str, file: str) -> None:
    assert smsp("show", what).out == data_text(file)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("run", "--url", "ftp://x/"), "ftp://x/", id="no-http-address"),
        pytest.param(("run", "--url", NOWHERE, "--only", "XX_"), "no case", id="no-such-case"),
        pytest.param(("run", "--url", NOWHERE, "--header", "nonsense"), "nonsense", id="no-header"),
        pytest.param(("run", "--url", NOWHERE, "--population", __file__), "test_commands.py", id="no-population"),
        pytest.param(("run", "--url", NOWHERE, "--offers", "practice-lokup"), "practice-lokup", id="no-capability"),
        pytest.param(("run", "--url", NOWHERE, "--cases", __file__), "test_commands.py", id="no-cases"),
        pytest.param(("run", "--url", "https://x/", "--ca", __file__), "authority", id="no-authority"),
        pytest.param(("run", "--url", NOWHERE, "--schemas", Path(__file__).parent), "--schemas", id="no-schemas"),
        pytest.param(("validate", __file__, "--map", "nonsense"), "nonsense", id="no-map"),
        pytest.param(("simulate", "--script", __file__), "test_commands.py", id="no-script"),
        pytest.param(("simulate", "--key", __file__), "--cert", id="a-key-alone"),
        pytest.param(("simulate", "--cert", __file__), "certificate", id="no-certificate"),
        pytest.param(
            ("requirements", __file__, "--catalogue", __file__, "--to", "x"), "test_commands.py", id="no-toml"
        ),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(smsp: Any, arguments: tuple[object, ...], said: str) -> None:
    done = smsp(*arguments)
    assert done.code == ExitCode.USAGE
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_provider_that_is_not_there_fails_every_case(smsp: Any) -> None:
    done = smsp("run", "--url", NOWHERE, "--only", "DE_SVC")
    assert done.code == ExitCode.UNEXPECTED
    assert "0 passed, 4 failed, 0 not applicable in" in done.out


def test_a_provider_that_answers_nonsense_fails_and_leaves_its_evidence(smsp: Any, tmp_path: Path) -> None:
    with BrokenServer(None, lambda _sent, _reply: Reply(200, {"Content-Type": "text/html"}, b"<html/>")) as server:
        for name in ("first", "second"):
            done = smsp("run", "--url", server.url, "--only", "ER_", "--to", tmp_path / name, "--header", "X-Key: 1")
            assert done.code == ExitCode.UNEXPECTED
    smsp("run", "--url", server.url, "--only", "ER_", "--to", tmp_path / "third", "--offers", "actors")
    assert smsp("compare", tmp_path / "first", tmp_path / "second").out == "0 differences, 0 of them for the worse\n"
    assert "other offered: " in smsp("compare", tmp_path / "first", tmp_path / "third").out
    raw = (tmp_path / "first" / "messages" / "ER_XML_001.request.http").read_bytes()
    assert b"\r\nX-Key: 1\r\n" in raw


def test_what_tells_most_of_a_failure_is_told_first_and_once(smsp: Any) -> None:
    done = smsp("run", "--url", NOWHERE, "--only", "SM_VER_001")
    assert done.out.count("no answer came") == 1
    with BrokenServer(None, lambda _sent, _reply: Reply(404, {"Content-Type": "text/plain"}, b"no")) as server:
        done = smsp("run", "--url", server.url, "--only", "SM_VER_001")
    assert "       the HTTP status is 200: HTTP 404; the content type is text/xml" in done.out


def test_what_is_secret_of_the_tester_is_not_in_the_evidence(smsp: Any, tmp_path: Path) -> None:
    smsp("run", "--url", NOWHERE, "--only", "DE_SVC_001", "--to", tmp_path, "--header", "Authorization: Bearer s3cret")
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"s3cret" in file.read_bytes()]


def test_only_a_run_can_be_compared(smsp: Any, tmp_path: Path) -> None:
    done = smsp("compare", tmp_path, tmp_path)
    assert done.code == ExitCode.CANNOT_START
    assert "run.json" in done.err


def test_messages_are_validated_and_what_was_not_run_is_told(smsp: Any, tmp_path: Path) -> None:
    caller = Caller("client", "http://x/", (("", "urn:nhs-uk:identity:ods:X26"),))
    request = new_request(SERVICES["VER"], caller, {"nhs_number": "9990000018", "date_of_birth": "19480229"})
    good, bad = tmp_path / "good.xml", tmp_path / "bad.xml"
    good.write_bytes(request.body)
    bad.write_bytes(request.body.replace(b'manifest count="1"', b'manifest count="2"'))
    done = smsp("validate", good, "--to", tmp_path / "evidence")
    assert (done.code, "passed good.xml" in done.out) == (ExitCode.OK, True)
    assert (tmp_path / "evidence" / "report.html").exists()
    done = smsp("validate", good, bad)
    assert done.code == ExitCode.UNEXPECTED
    assert "FAILED  manifest count is the number of items (COR-DEH-05)" in done.out
    rules = tmp_path / "more.conf"
    rules.write_text("VALIDATE verifyNHSNumberRequest-v1-0\nCHECK hl7_moonphase full")
    done = smsp("validate", good, "--rules", rules)
    assert done.code == ExitCode.OK
    assert "1 checks were not run" in done.out
    assert "not run hl7_moonphase full" in done.out
    for text in (rules.read_text(), "VALIDATE QUPA_IN000008UK02\nCHECK xpathexists /x"):
        rules.write_text(text)
        done = smsp("validate", good, "--rules", rules, "--only-rules")
        assert (done.code, "failed good.xml: no rule was run" in done.out) == (ExitCode.UNEXPECTED, True)


def test_a_file_of_which_nothing_is_known_fails(smsp: Any, tmp_path: Path) -> None:
    (tmp_path / "other.xml").write_text("<invoice/>")
    done = smsp("validate", tmp_path / "other.xml")
    assert done.code == ExitCode.UNEXPECTED
    assert "no rule was run" in done.out
