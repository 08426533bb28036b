"""Breakages: every operation, what cannot be done, and signatures that foreign software verifies."""

import gzip
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest
from lxml import etree

from smsp_provider.conformance.message import Caller, Request, new_request
from smsp_provider.conformance.mutations import OPERATIONS, BadStep, broken
from smsp_provider.conformance.names import NAMESPACES
from smsp_provider.conformance.services import SERVICES
from tls_fixtures import make_pki

FIELDS = {"nhs_number": "9990000018", "date_of_birth": "19480229", "family": "O'NIB & <SON>"}


@pytest.fixture
def request_() -> Request:
    caller = Caller("user", "http://localhost/smsp/pds", (("", "urn:nhs-uk:identity:ods:X26"),), {"many": "7"})
    return new_request(SERVICES["VER"], caller, FIELDS)


def value(body: bytes, path: str) -> str:
    return str(etree.fromstring(body).xpath(f"string({path})", namespaces=NAMESPACES))


def test_the_plain_request_says_what_it_was_given(request_: Request) -> None:
    assert value(request_.body, "//hl7:family") == FIELDS["family"]
    assert value(request_.body, "//wsa:MessageID") == request_.values["message_id"]
    assert value(request_.body, "//itk:auditIdentity/itk:id/@uri") == "urn:nhs-uk:identity:ods:X26"


STEPS: dict[str, tuple[dict[str, object], str, str]] = {
    "remove": ({"remove": "//wsa:To"}, "count(//wsa:To)", "0"),
    "set": ({"set": "//itk:manifest/@count", "to": "{{ 1 + 1 }}"}, "//itk:manifest/@count", "2"),
    "attribute": ({"attribute": "soap:actor", "of": "//wsa:To", "to": "x"}, "//wsa:To/@soap:actor", "x"),
    "repeat": ({"repeat": "//wsa:To", "times": 2}, "count(//wsa:To)", "3"),
    "add": ({"add": "<wsa:From/>", "before": "//wsa:To"}, "name(//wsa:To/preceding-sibling::*[1])", "wsa:From"),
    "rename": ({"rename": "//wsa:To", "to": "itk:to"}, "count(//itk:to)", "1"),
    "move": ({"move": "//wsa:To", "into": "//wsse:Security"}, "count(//wsse:Security/wsa:To)", "1"),
    "nest": ({"nest": 5, "into": "//soap:Header"}, "count(//soap:Header//x)", "5"),
    "replace": ({"replace": "9990000018", "by": "1"}, "//hl7:Person.NHSNumber/hl7:value/@extension", "1"),
    "pack": ({"pack": "base64"}, "count(//itk:payload/*)", "0"),
    "only": ({"only": "//itk:payloads"}, "local-name(/*)", "payloads"),
    "prefix": ({"prefix": "<!-- x -->", "declaration": False}, "count(/comment())", "1"),
    "body": ({"body": "<x/>"}, "local-name(/*)", "x"),
}


@pytest.mark.parametrize("name", STEPS)
def test_each_operation_on_the_document_does_what_it_says(request_: Request, name: str) -> None:
    step, path, expected = STEPS[name]
    assert value(broken(request_, [step]), path) == expected


def test_each_operation_on_the_bytes_does_what_it_says(request_: Request) -> None:
    assert broken(request_, [{"cut_to": 0.5}]) == request_.body[: len(request_.body) // 2]
    assert broken(request_, [{"cut_to": 1}]) == request_.body[:-1]
    assert broken(request_, [{"pad": "{{ many }}"}]) == b" " * 7 + request_.body
    assert broken(request_, [{"encode": "utf-16"}]).decode("utf-16") == request_.body.decode()
    assert b"\xff</soap:Envelope>" in broken(request_, [{"bytes": "ff", "at": "</soap:Envelope>"}])
    tested = {"cut_to", "pad", "encode", "bytes", "sign", *STEPS}
    assert tested == set(OPERATIONS)


def test_a_packed_payload_can_be_unpacked_unless_it_was_damaged(request_: Request) -> None:
    packed = b64decode(value(broken(request_, [{"pack": "gzip"}]), "//itk:payload"))
    assert b"verifyNHSNumberRequest" in gzip.decompress(packed)
    cut = b64decode(value(broken(request_, [{"pack": "gzip", "cut": 9}]), "//itk:payload"))
    with pytest.raises(EOFError):
        gzip.decompress(cut)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param({"remove": "//wsa:Nothing"}, id="nothing-there"),
        pytest.param({"remove": "/soap:Envelope"}, id="the-root"),
        pytest.param({"set": "//wsa:To/@nothing", "to": "x"}, id="no-such-attribute"),
        pytest.param({"replace": "never there", "by": ""}, id="no-such-text"),
        pytest.param({"bytes": "ff", "at": "never there"}, id="no-such-place"),
        pytest.param({"remove": "//wsa:To["}, id="no-path"),
        pytest.param({"set": "//wsa:To", "to": "{{ nobody }}"}, id="no-such-value"),
        pytest.param({"set": "//wsa:To", "to": "{{ "}, id="no-template"),
        pytest.param({"set": "//wsa:To"}, id="no-operand"),
        pytest.param({"add": "<x", "into": "//wsa:To"}, id="no-markup"),
        pytest.param({"rename": "//wsa:To", "to": "ghost:To"}, id="no-such-prefix"),
        pytest.param({"sign": "right"}, id="no-key"),
        pytest.param({"demolish": "//wsa:To"}, id="no-such-operation"),
    ],
)
def test_a_step_that_changes_nothing_is_an_error(request_: Request, step: dict[str, str]) -> None:
    with pytest.raises(BadStep):
        broken(request_, [step])


@pytest.mark.skipif(shutil.which("xmlsec1") is None, reason="xmlsec1 is not on this machine")
@pytest.mark.parametrize(("kind", "holds"), [("right", True), ("wrong value", False), ("wrong digest", False)])
def test_foreign_software_agrees_on_signatures(request_: Request, tmp_path: Path, kind: str, holds: bool) -> None:
    pki = make_pki(tmp_path)
    pem = pki.client.certificate.read_text() + pki.client.key.read_text()
    file = tmp_path / "signed.xml"
    file.write_bytes(broken(request_, [{"sign": kind}], pem))
    wsu = NAMESPACES["wsu"]
    ids = ("--id-attr:Id", f"{wsu}:Timestamp", "--id-attr:Id", f"{NAMESPACES['soap']}:Body")
    token = ("--id-attr:Id", f"{NAMESPACES['wsse']}:BinarySecurityToken")
    trust = ("--pubkey-cert-pem", str(pki.client.certificate))
    command = ["xmlsec1", "--verify", *trust, *ids, *token, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode == 0) is holds, done.stderr
