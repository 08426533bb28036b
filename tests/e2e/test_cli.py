"""`smsp call` and the drive, in this process, against the real provider of a running sandbox."""

import csv
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from command_line import Done, run_main
from free_ports import free_port
from sandbox_process import RunningSandbox, any_ports, run_smsp, running_sandbox
from smsp_provider.cli.drive import drive
from smsp_provider.cli.expectations import expectations, read_rows
from smsp_provider.cli.itk_client import ClientTLSFiles, ITKClient
from smsp_provider.cli.itk_request import CallerIdentity
from smsp_provider.simulator.loader import COLUMNS
from smsp_provider.simulator.numbers import GENERATED, number_at

PERSON = ("--nhs-number", "9990000034", "--dob", "19791103")
SEARCH = ("--family", "CORRIEHILL", "--given", "TAMSIN", "--gender", "2", "--dob", "19791103")


def patient(serial: int, family: str, given: str, **changes: str) -> dict[str, str]:
    """A line of a patient file about somebody who does not exist."""
    plain = {
        "NHS_NUMBER": number_at(GENERATED, serial),
        "DATE_OF_BIRTH": f"1980{serial % 12 + 1:02d}09",
        "FAMILY_NAME": family,
        "GIVEN_NAME": given,
        "GENDER": "Female",
        "ADDRESS_LINE_2": f"{serial} ANY ROAD",
        "ADDRESS_LINE_4": "ANYTOWN",
        "PRIMARY_CARE_CODE": f"Z7{serial:04d}",
        "POST_CODE": f"ZZ9 {serial % 10}ZZ",
    }
    return {**plain, **changes}


# One of each kind, and two pairs: the first differs in its forenames, the second in nothing.
PATIENTS = (
    patient(1, "PLAINLY", "ADA"),
    patient(2, "HIDDENLY", "BEA", SENSITIVE_FLAG="S"),
    patient(3, "GONEBY", "CYD", SENSITIVE_FLAG="I"),
    patient(4, "OLDLY", "DOT", Notes="Superseded", DATE_OF_BIRTH="19800101", POST_CODE="ZZ9 4ZZ"),
    patient(5, "OLDLY", "DOT", DATE_OF_BIRTH="19800101", POST_CODE="ZZ9 4ZZ"),
    patient(6, "NG", "EVE"),
    patient(7, "PAIRLY", "FAY", DATE_OF_BIRTH="19800202"),
    patient(8, "PAIRLY", "GAY", DATE_OF_BIRTH="19800202"),
    patient(9, "TWINLY", "HOPE", DATE_OF_BIRTH="19800303", POST_CODE="ZZ9 9ZZ"),
    patient(10, "TWINLY", "HOPE", DATE_OF_BIRTH="19800303", POST_CODE="ZZ9 9ZZ"),
    patient(11, "ODDLY", "INA", POST_CODE="ZZ91ZZ", Notes="No space in Postcode"),
    patient(12, "PARTLY", "JOY", DATE_OF_BIRTH="198004", Notes="DoB - Too small"),
    patient(13, "HOMELESSLY", "KAY", POST_CODE="", ADDRESS_LINE_2="", ADDRESS_LINE_4=""),
)


def write_patients(file: Path, *patients: dict[str, str]) -> Path:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(patients)
    return file


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("patients") / "patients.csv", *PATIENTS)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, patients: Path) -> Iterator[RunningSandbox]:
    state = tmp_path_factory.mktemp("sandbox") / "state"
    with running_sandbox(state, "--patients", str(patients)) as running:
        yield running


class Caller(Protocol):
    """`smsp call` in this process, on the sandbox's provider or another ``url``."""

    def __call__(self, *arguments: str, scheme: str = "http", url: str | None = None) -> Done: ...


@pytest.fixture
def call(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    def run(*arguments: str, scheme: str = "http", url: str | None = None) -> Done:
        return run_main(monkeypatch, capsys, "call", *arguments, "--url", url or sandbox.url(scheme))

    return run


@pytest.fixture
def certificate(sandbox: RunningSandbox) -> tuple[str, ...]:
    keys = sandbox.state / "keys" / "client-sandbox-client"
    return "--cert", f"{keys}.crt", "--key", f"{keys}.key", "--ca", str(sandbox.state / "keys" / "ca.crt")


def table(text: str) -> dict[str, str]:
    """The rows of the answer's table: what, and its value."""
    rows = (re.split(r"\s{2,}", line, maxsplit=1) for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


class TestCall:
    def test_a_verified_number_is_exit_code_0(self, call: Caller) -> None:
        done = call("verifyNHSNumber", *PERSON)
        assert done.code == 0, done.err
        assert table(done.out)["response code"].split() == ["SMSP-0000", "Success"]
        assert table(done.out)["NHS number"] == "9990000034"

    def test_details_over_mutual_tls_with_the_local_identifier_reflected(
        self, call: Caller, certificate: tuple[str, ...]
    ) -> None:
        done = call(
            *("getPatientDetails", *SEARCH, "--local-id", "A-1", "--username", "sandbox-client"),
            *certificate,
            scheme="https",
        )
        assert done.code == 0, done.out + done.err
        rows = table(done.out)
        assert rows["name"] == "MS TAMSIN CORRIEHILL"
        assert rows["local identifier"] == "A-1"
        assert rows["date of birth"] == "19791103"
        assert rows["practice"] == "Z90003"

    def test_another_response_code_is_exit_code_1(self, call: Caller) -> None:
        done = call("verifyNHSNumber", "--nhs-number", "9990000034", "--dob", "19010101")
        assert done.code == 1
        assert table(done.out)["response code"].split()[0] == "DEMOG-0040"
        assert "NHS number" not in table(done.out)

    def test_a_fault_is_exit_code_4_and_tells_what_is_wrong(self, call: Caller, certificate: tuple[str, ...]) -> None:
        done = call("verifyNHSNumber", *PERSON, "--username", "somebody-else", *certificate, scheme="https")
        assert done.code == 4
        assert table(done.out)["error code"] == "3000"
        assert "wsse:Username" in table(done.out)["error text"]

    def test_a_request_in_nobody_s_name_is_answered_as_the_rules_say(self, call: Caller) -> None:
        done = call("verifyNHSNumber", *PERSON, "--ods", "")
        assert done.code == 1
        assert table(done.out)["response code"].split()[0] == "SMSP-0001"

    def test_an_asid_is_sent_and_one_that_is_not_the_organisation_s_is_refused(self, call: Caller) -> None:
        assert call("verifyNHSNumber", *PERSON, "--asid", "200000000205").code == 0
        assert call("verifyNHSNumber", *PERSON, "--ods", "", "--asid", "200000000205").code == 0
        done = call("verifyNHSNumber", *PERSON, "--asid", "200000000999")
        assert done.code == 4
        assert table(done.out)["error code"] == "3000"

    def test_what_xml_cannot_carry_is_not_sent(self, call: Caller) -> None:
        done = call("verifyNHSNumber", "--nhs-number", "999\x01", "--dob", "19791103")
        assert done.code == 2
        assert "a character that XML cannot carry" in done.err

    def test_raw_shows_both_messages(self, call: Caller) -> None:
        done = call("getNHSNumber", *SEARCH, "--raw", "--packaged-wsdl")
        request, response = done.out.split("--- response")
        assert "getNHSNumberRequest-v1-0" in request
        assert "<family>CORRIEHILL</family>" in request
        assert "UsernameToken" in request
        assert "getNHSNumberResponse-v1-0" in response
        assert 'extension="9990000034"' in response

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("wsdl", [(), ("--packaged-wsdl",)])
    def test_nobody_there_is_exit_code_5(self, call: Caller, scheme: str, wsdl: tuple[str, ...]) -> None:
        done = call("verifyNHSNumber", *PERSON, *wsdl, url=f"{scheme}://127.0.0.1:{free_port()}/smsp/pds")
        assert done.code == 5
        assert "no answer (connection refused)" in done.err

    def test_somebody_who_never_answers_is_exit_code_5(self, call: Caller) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/smsp/pds"
            done = call("verifyNHSNumber", *PERSON, "--timeout", "0.3", "--packaged-wsdl", url=url)
        assert done.code == 5
        assert "no answer in time" in done.err

    def test_a_server_that_is_not_trusted_gets_no_request(self, call: Caller) -> None:
        done = call("verifyNHSNumber", *PERSON, "--packaged-wsdl", scheme="https")
        assert done.code == 5
        assert "TLS failed (self-signed certificate in certificate chain)" in done.err

    def test_a_client_without_a_certificate_gets_no_answer(self, call: Caller, certificate: tuple[str, ...]) -> None:
        done = call("verifyNHSNumber", *PERSON, *certificate[-2:], "--packaged-wsdl", scheme="https")
        assert done.code == 5
        assert done.out == ""

    @pytest.mark.parametrize("wsdl", [(), ("--packaged-wsdl",)])
    def test_what_is_no_service_is_exit_code_5(
        self, call: Caller, sandbox: RunningSandbox, wsdl: tuple[str, ...]
    ) -> None:
        done = call("verifyNHSNumber", *PERSON, *wsdl, url=sandbox.url("http") + "/nothing")
        assert done.code == 5
        assert "HTTP status 404" in done.err

    @pytest.mark.parametrize("url", ["ftp://127.0.0.1/smsp/pds", "nonsense"])
    def test_what_is_no_url_is_exit_code_5(self, call: Caller, url: str) -> None:
        done = call("verifyNHSNumber", *PERSON, "--packaged-wsdl", url=url)
        assert done.code == 5
        assert "the URL is not an http(s) URL" in done.err


class TestDrive:
    def test_every_kind_of_row_comes_out_as_expected(self, sandbox: RunningSandbox, patients: Path) -> None:
        keys = sandbox.state / "keys"
        tls = ClientTLSFiles(keys / "ca.crt", keys / "client-sandbox-client.crt", keys / "client-sandbox-client.key")
        rows = read_rows(patients)
        calls = list(expectations(rows))

        def client() -> ITKClient:
            return ITKClient(sandbox.url("https"), CallerIdentity("sandbox-client", "X26"), tls=tls)

        report = drive(calls, client, (row.nhs_number for row in rows))
        assert [judgement.problems for judgement in report.unexpected] == []
        assert report.naming_others == 0
        found = Counter(judgement.code for judgement in report.judgements)
        assert found["DEMOG-0017"] == 2
        assert found["DEMOG-0022"] == 2
        # The pair that differs in forenames collides twice each, the one that differs in nothing six times each.
        assert found["DEMOG-0007"] == 2 * 2 + 2 * 6
        assert len(report.judgements) == 8 * len(PATIENTS) + 1 + 4

    def test_a_provider_that_cannot_be_reached_is_no_answer_not_a_crash(self, patients: Path) -> None:
        calls = list(expectations(read_rows(patients)))[:3]
        identity = CallerIdentity("sandbox-client", "X26")
        url = f"http://127.0.0.1:{free_port()}/smsp/pds"
        report = drive(calls, lambda: ITKClient(url, identity, served_wsdl=False), ())
        assert [judgement.code for judgement in report.judgements] == ["no answer"] * 3
        assert len(report.unexpected) == 3

    def test_the_sandbox_tells_an_outcome_that_is_not_the_expected_one(self, tmp_path: Path) -> None:
        state = tmp_path / "state"
        # Somebody else with the same details, who is in the Spine and not in the file that is driven.
        double = write_patients(tmp_path / "double.csv", {**PATIENTS[0], "NHS_NUMBER": number_at(GENERATED, 99)})
        assert run_smsp("sandbox", "--once", *any_ports(), "--state", state, "--patients", double).returncode == 0
        driven = write_patients(tmp_path / "driven.csv", PATIENTS[0])
        done = run_smsp("sandbox", "--drive", *any_ports(), "--state", state, "--patients", driven)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "2 as expected, 6 not." in done.stdout
        assert "DEMOG-0007 instead of SMSP-0000" in done.stdout
        assert "other than the one asked for: 0." in done.stdout
