"""The simulator for client developers, called by real clients, and what it says about what they sent."""

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from sandbox_process import COMMAND, environment, run_smsp
from smsp_provider.conformance.cases import Case, packaged_cases
from smsp_provider.conformance.client_simulator import ClientSimulator, SimulatorPolicy
from smsp_provider.conformance.evidence import Result, Verdict
from smsp_provider.conformance.expectations import Judge
from smsp_provider.conformance.message import Caller, new_request
from smsp_provider.conformance.population import read_population
from smsp_provider.conformance.rules_language import PathMap
from smsp_provider.conformance.rules_run import RuleRunner
from smsp_provider.conformance.runner import Runner
from smsp_provider.conformance.scripts import Rule, read_script
from smsp_provider.conformance.services import SERVICES
from smsp_provider.conformance.transport import Answer, Exchange, Target, Transport
from smsp_provider.conformance.validate import Validator, packaged_rules
from smsp_provider.xmlcore.schemas import Schemas
from tls_fixtures import make_pki

SOAP_11, SOAP_12 = b"http://schemas.xmlsoap.org/soap/envelope/", b"http://www.w3.org/2003/05/soap-envelope"
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = read_script()
SCHEMAS = Schemas()
VALIDATOR = Validator(SCHEMAS, RuleRunner(packaged_rules(), PathMap()))
UNNOTICED = {
    # Only a provider knows its sessions, its limits, its paths, and whose organisations are registered for whom.
    *("DE_AUD_015", "ER_SIZ_001", "SO_ACT_012", "SO_ORG_001", "SO_ORG_002"),
    # Right requests, which PDS itself calls wrong.
    *("SM_VER_230", "SM_GET_230", "SM_VER_231"),
}
ANSWERED_AND_NOTICED = {"SM_VER_167"}
"""A schema location: a message should have none, and a provider answers it all the same."""


@pytest.fixture
def simulator() -> Iterator[ClientSimulator]:
    with ClientSimulator(SCRIPT, VALIDATOR, lambda _url, _asked: None) as running:
        yield running


def requests_of(simulator: ClientSimulator) -> list[Result]:
    return [result for result in simulator.results() if result.id.startswith("RQ_")]


def is_broken(case: Case) -> bool:
    return case.code in ("SMSP-0001", "SMSP-0005") or any(
        name.startswith(("client", "server", "must", "version", "wrong-media", "too")) for name in case.expect
    )


def test_what_a_client_does_wrong_is_noticed_and_what_is_right_is_not(simulator: ClientSimulator) -> None:
    population = read_population()
    runner = Runner(Transport(Target(simulator.url)), Judge(SCHEMAS), population, population.username)
    unnoticed, wrongly = set(), set()
    cases = [case for case in packaged_cases() if case.http.method == "POST" and not case.repeat]
    for case in cases:
        before = len(requests_of(simulator))
        runner.run_case(case)
        seen = requests_of(simulator)
        if len(seen) > before:
            noticed = seen[-1].verdict is Verdict.FAILED
            unnoticed |= {case.id} if is_broken(case) and not noticed else set()
            wrongly |= {case.id} if noticed and not is_broken(case) else set()
    assert unnoticed == UNNOTICED
    assert wrongly == ANSWERED_AND_NOTICED


def ask(simulator: ClientSimulator, rule: Rule, *, by_number: bool = True, seconds: float = 60) -> Exchange:
    service = SERVICES["GETPDNHS" if by_number else "GETPDSRCH"]
    value = next(trigger for trigger in rule.triggers if (len(trigger) == 10) is by_number)
    fields = (
        {"nhs_number": value, "date_of_birth": "19480229"}
        if by_number
        else {"date_of_birth": value, "family": "MARCHBANKS", "given": "ISOLDE", "gender": "2"}
    )
    request = new_request(service, Caller("client", simulator.url, (("", "urn:nhs-uk:identity:ods:X26"),)), fields)
    headers = {"Content-Type": "text/xml", "SOAPAction": service.action}
    return Transport(Target(simulator.url, timeout_seconds=seconds)).send(request.body, headers)


WAITING = ("slow", "stuck")
TRIGGERED = [rule for rule in SCRIPT.rules if rule.triggers and rule.name not in WAITING]


@pytest.mark.parametrize("rule", TRIGGERED, ids=lambda rule: rule.name)
def test_a_number_and_a_date_of_birth_trigger_the_same_answer(simulator: ClientSimulator, rule: Rule) -> None:
    for by_number in (True, False):
        exchange = ask(simulator, rule, by_number=by_number)
        last = requests_of(simulator)[-1]
        assert last.verdict is Verdict.PASSED, last.reason
        assert last.purpose.endswith(f"answered: {rule.name}")
        if rule.how in ("cut", "reset"):
            assert exchange.answer is None
            continue
        assert exchange.answer is not None
        if rule.how in ("", "wrong-relates-to", "wrong-patient"):
            assert (rule.code or rule.fault[1] if rule.fault else rule.code).encode() in exchange.answer.body
            assert exchange.answer.status == (500 if rule.fault else 200)
    met = {result.id: result.verdict for result in simulator.results()}
    assert met[f"CL_{rule.name.upper().replace('-', '_')}"] is Verdict.PASSED


VALID = [rule for rule in TRIGGERED if not rule.how and rule.code != "SMSP-4711"]


@pytest.mark.parametrize("rule", VALID, ids=lambda rule: rule.name)
def test_answers_that_are_not_spoiled_keep_the_schemas_and_the_rules(simulator: ClientSimulator, rule: Rule) -> None:
    from smsp_provider.conformance.captures import messages_in

    answer = ask(simulator, rule).answer
    assert answer is not None
    (message,) = messages_in("answer", answer.body)
    assert [finding for finding in VALIDATOR.findings(message) if finding.holds is False] == []


def answer_of(simulator: ClientSimulator, name: str) -> Answer:
    answer = ask(simulator, next(rule for rule in SCRIPT.rules if rule.name == name)).answer
    assert answer is not None
    return answer


def test_each_spoiled_answer_is_spoiled_as_it_says(simulator: ClientSimulator) -> None:
    assert answer_of(simulator, "empty").body == b""
    assert answer_of(simulator, "html").status == 502
    assert not answer_of(simulator, "not-xml").body.endswith(b"Envelope>\n")
    assert answer_of(simulator, "wrong-charset").body.startswith((b"\xff\xfe", b"\xfe\xff"))
    assert b"9993000450" in answer_of(simulator, "wrong-patient").body
    assert (
        b"<remark" in answer_of(simulator, "invalid-payload").body
        or b":remark" in answer_of(simulator, "invalid-payload").body
    )
    assert b'count="2"' in answer_of(simulator, "invalid-envelope").body
    assert b"verifyNHSNumberResponse" in answer_of(simulator, "wrong-service").body
    assert answer_of(simulator, "mixed").status == 200
    assert answer_of(simulator, "answer-with-500").status == 500


def test_a_client_that_does_not_wait_gets_nothing_from_the_one_that_is_stuck(simulator: ClientSimulator) -> None:
    exchange = ask(simulator, next(rule for rule in SCRIPT.rules if rule.name == "stuck"), seconds=1)
    assert exchange.answer is None
    assert "ReadTimeout" in exchange.problem


def test_the_same_message_again_is_a_retry_and_another_under_its_id_is_a_mistake(simulator: ClientSimulator) -> None:
    caller = Caller("client", simulator.url, (("", "urn:nhs-uk:identity:ods:X26"),))
    request = new_request(SERVICES["VER"], caller, {"nhs_number": "9993000019", "date_of_birth": "19480229"})
    transport = Transport(Target(simulator.url))
    for body in (request.body, request.body, request.body.replace(b"19480229", b"19480228")):
        transport.send(body, {"Content-Type": "text/xml"})
    assert [result.verdict for result in requests_of(simulator)] == [Verdict.PASSED, Verdict.PASSED, Verdict.FAILED]


UNREADABLE: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "no XML": (lambda _body: b"hello", "text/xml", "the body is XML"),
    "UTF-16": (lambda body: body.decode().encode("utf-16"), "text/xml", "the body is XML"),
    "SOAP 1.2": (lambda body: body.replace(SOAP_11, SOAP_12), "text/xml", "the message is SOAP 1.1 (WS-FLT-01)"),
    "type of SOAP 1.2": (lambda body: body, "application/soap+xml", "the message is SOAP 1.1 (WS-FLT-01)"),
    "bare payload": (lambda _body: b'<m xmlns="urn:hl7-org:v3"/>', "text/xml", "the message is a SOAP envelope"),
    "other XML": (lambda _body: b"<m/>", "text/xml", "the message is a SOAP envelope"),
}
"""What is done to a right request, its content type, and the first thing that the client developer has to be told."""


@pytest.mark.rule("WS-FLT-01")
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_soap_is_told_to_be_that_and_blamed_for_nothing_else(simulator: ClientSimulator, kind: str) -> None:
    spoil, media_type, said = UNREADABLE[kind]
    caller = Caller("client", simulator.url, (("", "urn:nhs-uk:identity:ods:X26"),))
    transport = Transport(Target(simulator.url))
    for birth in ("19480229", "19480228"):
        request = new_request(SERVICES["VER"], caller, {"nhs_number": "9993000019", "date_of_birth": birth})
        headers = {"Content-Type": media_type, "SOAPAction": SERVICES["VER"].action}
        answer = transport.send(spoil(request.body), headers).answer
        assert answer is not None
        assert answer.status == 500
        assert (b"soap:VersionMismatch" in answer.body) is ("WS-FLT-01" in said)
        assert requests_of(simulator)[-1].reason.startswith(said)
        broken = [finding.says for finding in requests_of(simulator)[-1].findings if finding.holds is False]
        assert len(broken) == 1
        assert f"Not met: {broken[0]}".encode() in answer.body


def test_a_message_past_its_time_is_told_what_time_it_is(simulator: ClientSimulator) -> None:
    caller = Caller("client", simulator.url, (("", "urn:nhs-uk:identity:ods:X26"),))
    request = new_request(SERVICES["VER"], caller, {"nhs_number": "9993000019", "date_of_birth": "19480229"})
    expires = b"2020-01-01T00:00:00Z</wsu:Expires>"
    body = re.sub(rb"[^>]*</wsu:Expires>", expires, request.body)
    Transport(Target(simulator.url)).send(body, {"Content-Type": "text/xml"})
    assert re.match(
        r"wsu:Expires has not passed \(WS-SEC-06\): it is 2[-0-9T:]+Z here", requests_of(simulator)[0].reason
    )


def test_a_lenient_simulator_answers_what_a_strict_one_refuses() -> None:
    with ClientSimulator(SCRIPT, VALIDATOR, lambda _u, _a: None, policy=SimulatorPolicy(lenient=True)) as simulator:
        caller = Caller("client", simulator.url, ())
        request = new_request(SERVICES["VER"], caller, {"nhs_number": "9993000019", "date_of_birth": "19480229"})
        answer = Transport(Target(simulator.url)).send(request.body, {"Content-Type": "text/xml"}).answer
        assert answer is not None
        assert answer.status == 200
        assert requests_of(simulator)[0].verdict is Verdict.FAILED, "it has no audit identity"


@pytest.mark.slow
def test_the_commands_of_a_client_developer(tmp_path: Path) -> None:
    """A simulator over mutual TLS as a process, the product's own client against it, the report at the end."""
    pki = make_pki(tmp_path)
    process = subprocess.Popen(
        [
            *(*COMMAND, "conformance", "simulate", "--listen", "127.0.0.1:0", "--to", str(tmp_path / "evidence")),
            *("--cert", str(pki.server.certificate), "--key", str(pki.server.key), "--client-ca", str(pki.ca)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(",")
        tls = ("--ca", pki.ca, "--cert", pki.client.certificate, "--key", pki.client.key)
        done = run_smsp(
            "call", "verifyNHSNumber", "--url", url, *tls, "--nhs-number", "9993000086", "--dob", "19700107"
        )
        assert "DEMOG-0017" in done.stdout, done.stderr
        refused = run_smsp("call", "verifyNHSNumber", "--url", url, "--ca", pki.ca, "--nhs-number", "9993000086")
        assert refused.returncode == 5
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
    run = json.loads((tmp_path / "evidence" / "run.json").read_text())
    verdicts = {row["id"]: row["verdict"] for row in run["results"]}
    assert verdicts["RQ_0001"] == verdicts["CL_SUPERSEDED"] == "passed"
    assert verdicts["CL_NO_MATCH"] == "not applicable"
    assert b"9993000086" in (tmp_path / "evidence" / "messages" / "RQ_0001.request.http").read_bytes()


@pytest.mark.slow
def test_the_newcomers_page_as_it_is_written(tmp_path: Path) -> None:
    """Its commands in their order; only the address and the folder differ."""
    page = (ROOT / "docs" / "how-to" / "test-your-client.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    start, first, second, with_certificates = (shlex.split(block) for block in blocks)
    assert {start[0], first[0], second[0], with_certificates[0]} == {".venv/bin/smsp"}
    here = {"127.0.0.1:8090": "127.0.0.1:0", "client-evidence": str(tmp_path / "evidence")}
    process = subprocess.Popen(
        [*COMMAND, *(here.get(word, word) for word in start[1:])], stdout=subprocess.PIPE, text=True, env=environment()
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(",")
        for words, code in ((first, "SMSP-0000"), (second, "DEMOG-0017")):
            done = run_smsp(*(word.replace("http://127.0.0.1:8090/smsp/pds", url) for word in words[1:]))
            assert code in done.stdout, done.stderr
        assert process.stdout.readline() == "RQ_0001 passed: verifyNHSNumber-v1-0, answered: found\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
    assert (tmp_path / "evidence" / "report.html").exists()
    assert (tmp_path / "evidence" / "junit.xml").exists()
    triggers = {trigger for rule in SCRIPT.rules for trigger in rule.triggers}
    named = re.findall(r"^\| ([0-9]{10}) \| ([0-9]{8}) \|", page, re.MULTILINE)
    assert named
    assert {value for row in named for value in row} <= triggers


def test_requests_without_a_length_or_too_large_are_refused_and_a_slow_one_holds_up_nobody(
    simulator: ClientSimulator,
) -> None:
    pool = urllib3.PoolManager()
    assert pool.request("POST", simulator.url, body=iter([b"<x/>"]), retries=False).status == 413
    assert pool.request("POST", simulator.url, body=b" " * 1_000_001, retries=False).status == 413
    assert pool.request("GET", simulator.url, retries=False).status == 405
    assert pool.request("POST", simulator.url, body=b"not XML", retries=False).status == 500
    assert requests_of(simulator)[-1].verdict is Verdict.FAILED
