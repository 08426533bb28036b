"""The harness against our own service over plain HTTP and mutual TLS, and against servers that get things wrong."""

import json
import re
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import urllib3
from lxml import etree

from broken_servers import SPOILERS, BrokenServer, Reply, Sent, meagre, overdone
from free_ports import free_port
from kept_output import keep_file
from sandbox_process import COMMAND, RunningSandbox, environment, run_smsp, running_sandbox
from smsp_provider.conformance.cases import Case, packaged_cases
from smsp_provider.conformance.compare import differences
from smsp_provider.conformance.evidence import Result, Run, Verdict, read_run, write_run
from smsp_provider.conformance.expectations import Judge
from smsp_provider.conformance.message import Caller, new_request
from smsp_provider.conformance.population import Population, read_population
from smsp_provider.conformance.runner import Runner
from smsp_provider.conformance.services import SERVICES
from smsp_provider.conformance.transport import Target, Transport
from smsp_provider.xmlcore.schemas import Schemas
from tls_fixtures import make_pki

pytestmark = pytest.mark.slow

POPULATION = read_population()
CASES = packaged_cases()
RULES = sorted({rule for case in CASES if not case.needs for rule in case.requirements})
"""The requirements with cases that every system can be asked."""
SLOW = ("SM_VER_205",)
"""Cases that wait on purpose: once is enough."""


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(Schemas())


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running_sandbox(tmp_path_factory.mktemp("conformance") / "state") as running:
        yield running


@pytest.fixture(scope="module")
def good(sandbox: RunningSandbox, judge: Judge) -> Mapping[str, Result]:
    """The run against the service itself, over plain HTTP."""
    return results(sandbox.url("http"), judge, CASES)


def results(
    url: str, judge: Judge, cases: tuple[Case, ...] | list[Case], population: Population = POPULATION
) -> Mapping[str, Result]:
    transport = Transport(Target(url, timeout_seconds=60))
    runner = Runner(transport, judge, population, population.username)
    found = {result.id: result for result in runner.run(cases)}
    transport.close()
    return found


@pytest.mark.rule("SMSP-GEN-001")
def test_every_applicable_case_passes_over_plain_http(good: Mapping[str, Result]) -> None:
    assert [f"{result.id}: {result.reason}" for result in good.values() if result.verdict is Verdict.FAILED] == []
    assert sum(1 for result in good.values() if result.verdict is Verdict.PASSED) > 400


@pytest.mark.parametrize("rule", [pytest.param(rule, marks=pytest.mark.rule(rule)) for rule in RULES])
def test_the_cases_of_a_requirement_pass(rule: str, good: Mapping[str, Result]) -> None:
    verdicts = [result.verdict for result in good.values() if rule in result.requirements]
    assert Verdict.PASSED in verdicts
    assert Verdict.FAILED not in verdicts


@pytest.mark.rule("SMSP-GEN-001", "WS-SEC-01", "WS-SEC-07")
def test_every_applicable_case_passes_over_mutual_tls_and_leaves_its_evidence(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    keys = sandbox.state / "keys"
    options = ("--cert", keys / "client-sandbox-client.crt", "--key", keys / "client-sandbox-client.key")
    trust = ("--ca", keys / "ca.crt", "--to", tmp_path / "evidence")
    done = run_smsp("conformance", "run", "--url", sandbox.url("https"), *options, *trust)
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads((tmp_path / "evidence" / "run.json").read_text())
    verdicts = {row["id"]: row["verdict"] for row in run["results"]}
    assert verdicts["SO_TLS_001"] == verdicts["SO_USR_005"] == "passed", "TLS offers what plain HTTP does not"
    assert verdicts["SO_SIG_001"] == verdicts["SO_ORG_001"] == "passed", "it signs with the client's certificate"
    suite = etree.parse(tmp_path / "evidence" / "junit.xml").getroot()[0]
    assert int(suite.get("tests") or 0) == len(CASES) == len(verdicts)
    assert suite.get("failures") == "0"
    page = (tmp_path / "evidence" / "report.html").read_text()
    assert all(f'id="{case.id}"' in page for case in CASES)
    row = next(row for row in run["results"] if row["id"] == "SM_VER_001")
    raw = (tmp_path / "evidence" / "messages" / "SM_VER_001.answer.http").read_bytes()
    assert raw.startswith(b"HTTP/1.1 200\r\n")
    assert row["status"] == 200
    assert row["milliseconds"] > 0


@pytest.mark.rule("WS-ADR-01", "WS-ADR-03")
def test_a_provider_that_knows_its_addresses_and_refuses_repeats(
    sandbox: RunningSandbox, judge: Judge, tmp_path: Path
) -> None:
    """What the sandbox does not offer, a stricter provider does: its own settings, before the same Spine."""
    with stricter_provider(sandbox.state, tmp_path) as url:
        strict = replace(POPULATION, offers=POPULATION.offers | {"accepted-to", "replay-reject"})
        cases = [case for case in CASES if case.id in ("SM_VER_001", "SO_TO_004", "SO_MID_009", "SO_MID_010")]
        verdicts = {result.id: result.verdict for result in results(url, judge, cases, strict).values()}
    passed = dict.fromkeys(("SM_VER_001", "SO_MID_010", "SO_TO_004"), Verdict.PASSED)
    assert verdicts == passed | {"SO_MID_009": Verdict.NOT_APPLICABLE}


@contextmanager
def stricter_provider(state: Path, folder: Path) -> Iterator[str]:
    """`smsp serve` with the sandbox's settings, but for addresses, repeats and its own files."""
    ports = [free_port(), free_port()]
    url = f"http://127.0.0.1:{ports[0]}/smsp/pds"
    text = (state / "provider.toml").read_text().replace(str(state / "audit"), str(folder / "audit"))
    text = re.sub(r'http = "127.0.0.1:[0-9]+"', f'http = "127.0.0.1:{ports[0]}"', text)
    text = re.sub(r'bind = "127.0.0.1:[0-9]+"', f'bind = "127.0.0.1:{ports[1]}"', text)
    text += f'\n[service]\naccepted_to = ["{url}"]\nreplay_policy = "reject"\n\n[clients]\npolicy = "any"\n'
    (folder / "provider.toml").write_text(text)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--config", str(folder / "provider.toml")],
            stdout=output,
            env=environment(),
            start_new_session=True,
        )
    try:
        wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(60)
        keep_file("log", log)


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    pool = urllib3.PoolManager(retries=False, timeout=60)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended"
        with suppress(urllib3.exceptions.HTTPError):
            if pool.request("GET", url.replace("/smsp/pds", "/readyz")).status == 200:
                return
        time.sleep(0.1)
    pytest.fail("it is not ready in time")


def test_two_runs_of_the_same_service_do_not_differ(
    sandbox: RunningSandbox, good: Mapping[str, Result], judge: Judge, tmp_path: Path
) -> None:
    cases = [case for case in CASES if case.id.startswith("DE_") or case.id.endswith("_001")]
    again = results(sandbox.url("http"), judge, cases)
    for name, found in (("first", [good[case.id] for case in cases]), ("second", list(again.values()))):
        write_run(Run("a run", (), tuple(found), 1.0), tmp_path / name, "")
    assert list(differences(read_run(tmp_path / "first"), read_run(tmp_path / "second"))) == []


def first_with(check: str, judge: Judge) -> Case:
    """The first case that has this expectation."""
    return next(
        case
        for case in CASES
        if all(need.startswith("not-") for need in case.needs)
        and not case.repeat
        and (check != "F_NO_PATIENT" or case.id == "DE_MAN_003")
        and check in {one.id for one in judge.checks_of(case)}
    )


def test_there_is_a_server_that_gets_it_wrong_for_each_expectation(judge: Judge) -> None:
    assert set(SPOILERS) | {"NO_CONNECTION"} == set(judge.checks)


@pytest.mark.parametrize("check", SPOILERS)
def test_an_answer_that_breaks_one_expectation_fails_it(check: str, sandbox: RunningSandbox, judge: Judge) -> None:
    case = first_with(check, judge)
    with BrokenServer(sandbox.url("http"), SPOILERS[check]) as server:
        (result,) = results(server.url, judge, [case]).values()
    assert result.verdict is Verdict.FAILED
    assert check in {finding.check for finding in result.findings if not finding.holds}


def test_a_server_that_lets_everybody_in_fails_the_case_about_certificates(
    sandbox: RunningSandbox, judge: Judge, tmp_path: Path
) -> None:
    pki = make_pki(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    case = next(case for case in CASES if case.id == "SO_TLS_001")
    with BrokenServer(sandbox.url("http"), lambda _sent, reply: reply, context) as server:
        target = Target(server.url, pki.ca, pki.client.certificate, pki.client.key)
        result = Runner(Transport(target), judge, POPULATION, "client").run_case(case)
    assert result.verdict is Verdict.FAILED
    assert "an answer came" in result.reason


def test_every_expectation_of_one_case_alone_can_fail(sandbox: RunningSandbox, judge: Judge) -> None:
    cases = [case for case in CASES if case.checks and not case.needs]
    wanted = {f"{case.id}.{number}" for case in cases for number, _ in enumerate(case.checks, 1)}
    failed: set[str] = set()
    for spoiler in (meagre, overdone, swapped):
        with BrokenServer(sandbox.url("http"), spoiler) as server:
            for result in results(server.url, judge, cases).values():
                failed |= {finding.check for finding in result.findings if not finding.holds}
    assert wanted - failed == set()


def swapped(_sent: Sent, reply: Reply) -> Reply:
    """The names of details, changed: a surname, a forename, a postcode, a practice, a kind of address."""
    for old, new in (
        (b"<family>", b"<family>X"),
        (b"<given>", b"<given>X"),
        (b"<postalCode>", b"<postalCode>X"),
        (b"2.16.840.1.113883.2.1.3.2.4.19.2", b"1.2.3"),
        (b"<streetAddressLine/>", b""),
    ):
        reply = replace(reply, body=reply.body.replace(old, new))
    return reply


def passed_of(found: Mapping[str, Result]) -> list[str]:
    return [result.id for result in found.values() if result.verdict is Verdict.PASSED]


def test_a_server_that_finds_everybody_fails_every_case_that_expects_something_else(
    sandbox: RunningSandbox, good: Mapping[str, Result], judge: Judge
) -> None:
    caller = Caller(POPULATION.username, sandbox.url("http"), POPULATION.audit_ids)
    fields = POPULATION.patients["found"].fields
    service = SERVICES["VER"]
    transport = Transport(Target(sandbox.url("http")))

    def found(_sent: Sent, _reply: Reply) -> Reply:
        request = new_request(service, caller, {name: fields[name] for name in service.sends})
        answer = transport.send(request.body, {"Content-Type": "text/xml"}).answer
        assert answer is not None
        return Reply(200, dict(answer.headers), answer.body)

    cases = [
        case
        for case in CASES
        if "with-patient" not in case.expect and good[case.id].verdict is Verdict.PASSED and case.expect != ("answer",)
    ]
    with BrokenServer(None, found) as server:
        passed = passed_of(results(server.url, judge, cases))
    assert len(cases) > 200
    assert passed == []


def test_a_server_that_refuses_everybody_fails_every_case_that_expects_an_answer(
    good: Mapping[str, Result], judge: Judge
) -> None:
    refusal = good["SO_TO_001"].exchange
    assert refusal is not None
    assert refusal.answer is not None
    body, headers = refusal.answer.body, dict(refusal.answer.headers)
    cases = [case for case in CASES if case.code and good[case.id].verdict is Verdict.PASSED and case.id not in SLOW]
    with BrokenServer(None, lambda _sent, _reply: Reply(500, headers, body)) as server:
        passed = passed_of(results(server.url, judge, cases))
    assert len(cases) > 200
    assert passed == []


def test_a_server_that_nobody_reaches_fails_every_case(judge: Judge) -> None:
    found = results("http://127.0.0.1:9/smsp/pds", judge, [case for case in CASES if not case.needs])
    assert {result.verdict for result in found.values()} == {Verdict.FAILED}
    assert all("no answer came" in result.reason for result in found.values())
