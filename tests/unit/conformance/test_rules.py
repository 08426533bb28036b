"""The rule language, rule by rule, and captures of every shape."""

import gzip
from base64 import b64encode
from pathlib import Path

import pytest

from smsp_provider.conformance.captures import Message, Unreadable, messages_in
from smsp_provider.conformance.rules_language import PathMap, read_rules
from smsp_provider.conformance.rules_run import Outcome, RuleRunner, RuleVerdict

HL7 = b'<TEST_IN000001UK01 xmlns="urn:hl7-org:v3"><id root="A"/><part n="1"/><part n="2"/></TEST_IN000001UK01>'
SOAP = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header/><s:Body>'
    + HL7
    + b"</s:Body></s:Envelope>"
)
PASSED, FAILED, NOT_RUN = RuleVerdict.PASSED, RuleVerdict.FAILED, RuleVerdict.NOT_RUN


def message(content: bytes = SOAP) -> Message:
    (found,) = messages_in("a file", content)
    return found


def outcomes(folder: Path, rules: str, content: bytes = SOAP, paths: PathMap | None = None) -> list[Outcome]:
    file = folder / "rules.conf"
    file.write_text(rules)
    used = paths or PathMap()
    return RuleRunner([read_rules(file, used)], used).outcomes(message(content))


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        pytest.param("hl7_xpathexists /*/hl7:id", PASSED, id="exists"),
        pytest.param("hl7_xpathexists /*/hl7:name", FAILED, id="exists-not"),
        pytest.param("hl7_xpathnotexists /*/hl7:name", PASSED, id="not-there"),
        pytest.param("hl7_xpathnotexists /*/hl7:id", FAILED, id="there-after-all"),
        pytest.param("hl7_xpathequals /*/hl7:id/@root A", PASSED, id="equal"),
        pytest.param("hl7_xpathequals /*/hl7:id/@root B", FAILED, id="another-value"),
        pytest.param("hl7_xpathequals /*/hl7:name B", FAILED, id="no-value"),
        pytest.param("hl7_xpathmatches /*/hl7:id/@root [A-Z]", PASSED, id="matches"),
        pytest.param("hl7_xpathmatches /*/hl7:part[@n = 2]/@n [0-9]", PASSED, id="blanks-in-a-predicate"),
        pytest.param("hl7_xpathmatches /*/hl7:id/@root [A-Z]{2}", FAILED, id="the-whole-value-must-match"),
        pytest.param("hl7_xpathexists *//hl7:part", PASSED, id="relative-paths-begin-at-the-document"),
        pytest.param("hl7_xpathexists hl7:part", FAILED, id="and-not-at-the-root-element"),
        pytest.param("soap_xpathexists /SOAP-ENV:Envelope/SOAP:Body/hl7:*", PASSED, id="the-envelope"),
        pytest.param("ebxml_xpathnotexists //eb:MessageHeader", PASSED, id="no-ebxml"),
        pytest.param("xpathexists /SOAP:Envelope", PASSED, id="the-whole-document"),
        pytest.param("itk_xpathexists /itk:DistributionEnvelope", NOT_RUN, id="a-part-that-is-not-there"),
        pytest.param("hl7_frobnicate /*", NOT_RUN, id="unknown-type"),
        pytest.param("cda_renderer /*", NOT_RUN, id="another-unknown-type"),
        pytest.param("hl7_xpathexists /*[", NOT_RUN, id="a-path-that-is-none"),
        pytest.param("hl7_xpathexists /*/nobody:id", NOT_RUN, id="an-unknown-prefix"),
        pytest.param("hl7_xpathmatches /*/hl7:id/@root [A-Z", NOT_RUN, id="a-pattern-that-is-none"),
        pytest.param("schema somewhere/a.xsd", NOT_RUN, id="a-schema-that-is-not-there"),
        pytest.param("hl7_xslt somewhere/a.xslt ERROR", NOT_RUN, id="a-stylesheet-that-is-not-there"),
    ],
)
def test_each_check_gives_its_verdict(tmp_path: Path, check: str, verdict: RuleVerdict) -> None:
    (outcome,) = outcomes(tmp_path, f"VALIDATE TEST_IN000001UK01\nCHECK {check}\nANNOTATION <b>why</b> it is")
    assert (outcome.verdict, outcome.says) == (verdict, "why it is")
    assert bool(outcome.reason) == (verdict is not PASSED)


def test_rules_of_other_messages_are_left_alone(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "VALIDATE OTHER_IN000001UK01\nCHECK hl7_xpathexists /nothing") == []


@pytest.mark.parametrize(
    ("condition", "ran"),
    [
        pytest.param("hl7_xpathexists /*/hl7:id", "then", id="true"),
        pytest.param("hl7_xpathexists /*/hl7:name", "else", id="false"),
        pytest.param("itk_xpathexists /*", "else", id="of-a-part-that-is-not-there"),
        pytest.param("itk_xpathnotexists /*", "then", id="nothing-exists-in-a-part-that-is-not-there"),
    ],
)
def test_a_condition_chooses_one_branch(tmp_path: Path, condition: str, ran: str) -> None:
    rules = f"""VALIDATE TEST_IN000001UK01
    IF {condition}
    THEN
        CHECK hl7_xpathexists /then
        IF hl7_xpathexists /*
        THEN
        ENDIF
    ELSE
        CHECK hl7_xpathexists /else
    ENDIF
    CHECK hl7_xpathexists /*"""
    assert [outcome.what for outcome in outcomes(tmp_path, rules)] == [
        f"hl7_xpathexists /{ran}",
        "hl7_xpathexists /*",
    ]


def test_what_depends_on_an_unknown_condition_is_not_run(tmp_path: Path) -> None:
    rules = "VALIDATE TEST_IN000001UK01\nIF hl7_moon full\nTHEN\nCHECK hl7_xpathexists /*\nENDIF"
    (outcome,) = outcomes(tmp_path, rules)
    assert outcome.verdict is NOT_RUN
    assert outcome.what == "IF hl7_moon full"


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param("VALIDATE TEST_IN000001UK01\nIF hl7_xpathexists /*\nTHEN", id="if-without-an-end"),
        pytest.param("VALIDATE TEST_IN000001UK01\nPERFORM something", id="an-unknown-line"),
        pytest.param("INCLUDE nowhere.conf\nVALIDATE TEST_IN000001UK01", id="a-ruleset-that-is-not-there"),
        pytest.param("VALIDATE TEST_IN000001UK01\nINCLUDE nowhere.conf", id="rules-that-are-not-there"),
    ],
)
def test_what_cannot_be_read_is_told_of_as_not_run(tmp_path: Path, rules: str) -> None:
    (outcome,) = outcomes(tmp_path, rules)
    assert outcome.verdict is NOT_RUN


def test_includes_are_found_by_the_map_and_one_that_includes_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("CHECK hl7_xpathexists /*\nINCLUDE THERE/more.conf")
    found = outcomes(
        tmp_path,
        "VALIDATE TEST_IN000001UK01\nINCLUDE THERE/more.conf",
        paths=PathMap({"THERE/": tmp_path}),
    )
    assert {outcome.verdict for outcome in found} == {PASSED, NOT_RUN}
    assert found[-1].verdict is NOT_RUN


def test_the_longest_entry_of_the_map_decides_and_whole_paths_may_be_mapped(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for file in (tmp_path / "a.conf", tmp_path / "inner" / "a.conf"):
        file.write_text("")
    paths = PathMap({"X/": tmp_path, "X/Y/": tmp_path / "inner", "Z/other.conf": tmp_path / "a.conf"})
    assert paths.find("X/a.conf") == tmp_path / "a.conf"
    assert paths.find("X/Y/a.conf") == tmp_path / "inner" / "a.conf"
    assert paths.find("Z/other.conf") == tmp_path / "a.conf"
    assert paths.find("X/none.conf") is None
    assert paths.find("V/a.conf") is None


SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:hl7-org:v3"
 elementFormDefault="qualified"><xs:element name="TEST_IN000001UK01"><xs:complexType><xs:sequence>
 <xs:element name="id"><xs:complexType><xs:attribute name="root" type="xs:{type}"/></xs:complexType></xs:element>
 <xs:any maxOccurs="unbounded" processContents="skip"/></xs:sequence></xs:complexType></xs:element></xs:schema>"""
STYLE = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:h="urn:hl7-org:v3">
<xsl:template match="/"><Parser><xsl:if test="//h:id[@root='{wrong}']"><Reason Type="Error">ERROR</Reason></xsl:if>
</Parser></xsl:template></xsl:stylesheet>"""


@pytest.mark.parametrize(("kind", "verdict"), [("string", PASSED), ("integer", FAILED)])
def test_a_schema_that_is_there_is_used(tmp_path: Path, kind: str, verdict: RuleVerdict) -> None:
    (tmp_path / "a.xsd").write_text(SCHEMA.replace("{type}", kind))
    paths = PathMap({"S/": tmp_path})
    (outcome,) = outcomes(tmp_path, "VALIDATE TEST_IN000001UK01\nCHECK schema S/a.xsd", paths=paths)
    assert outcome.verdict is verdict


@pytest.mark.parametrize(("wrong", "verdict"), [("B", PASSED), ("A", FAILED)])
@pytest.mark.parametrize("sign", ["error", "/Parser/Reason[@Type='Error']"])
def test_a_stylesheet_that_is_there_is_used(tmp_path: Path, wrong: str, verdict: RuleVerdict, sign: str) -> None:
    (tmp_path / "a.xslt").write_text(STYLE.replace("{wrong}", wrong))
    paths = PathMap({"S/": tmp_path})
    (outcome,) = outcomes(tmp_path, f"VALIDATE TEST_IN000001UK01\nCHECK hl7_xslt S/a.xslt {sign}", paths=paths)
    assert outcome.verdict is verdict


@pytest.mark.parametrize("name", ["a.xsd", "a.xslt"])
def test_files_that_are_no_schema_or_stylesheet_are_told_of(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("<nonsense/>" if name.endswith("xsd") else "nonsense")
    kind = "schema" if name.endswith("xsd") else "hl7_xslt"
    paths = PathMap({"S/": tmp_path})
    (outcome,) = outcomes(tmp_path, f"VALIDATE TEST_IN000001UK01\nCHECK {kind} S/{name} x", paths=paths)
    assert outcome.verdict is NOT_RUN


def test_a_stylesheet_reads_no_file_and_writes_none(tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text("<secret>ERROR</secret>")
    (tmp_path / "a.xslt").write_text(
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/">'
        f"<x><xsl:copy-of select=\"document('{secret}')\"/></x></xsl:template></xsl:stylesheet>"
    )
    paths = PathMap({"S/": tmp_path})
    (outcome,) = outcomes(tmp_path, "VALIDATE TEST_IN000001UK01\nCHECK hl7_xslt S/a.xslt ERROR", paths=paths)
    assert outcome.verdict is not FAILED, "what the file says never reached the result"


def http(body: bytes, head: bytes = b"POST /smsp/pds HTTP/1.1\r\nHost: x\r\n") -> bytes:
    return head + b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def test_a_capture_holds_request_and_answer() -> None:
    found = messages_in("capture", http(SOAP) + http(SOAP, b"HTTP/1.1 200 OK\r\n"))
    assert [one.label for one in found] == ["capture, message 1", "capture, message 2"]
    assert [one.names for one in found] == [("TEST_IN000001UK01",)] * 2


def test_chunks_are_put_together() -> None:
    chunked = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, SOAP[:9], len(SOAP) - 9, SOAP[9:])
    capture = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked
    assert messages_in("capture", capture)[0].hl7 is not None


def test_parts_of_a_multipart_message_belong_together() -> None:
    ebxml = SOAP.replace(HL7, b"")
    parts = b"--b\r\nContent-Type: text/xml\r\n\r\n%b\r\n--b\r\nContent-Type: text/xml\r\n\r\n%b\r\n--b--\r\n"
    head = b'POST /x HTTP/1.1\r\nContent-Type: multipart/related;\r\n boundary="b"\r\n'
    (found,) = messages_in("capture", http(parts % (ebxml, HL7), head))
    assert found.names == ("TEST_IN000001UK01",)
    assert found.soap is not None


PACKED = (
    b'<i:DistributionEnvelope xmlns:i="urn:nhs-itk:ns:201005"><i:header service="urn:x"><i:manifest><i:manifestitem'
    b' base64="true" compressed="%b"/></i:manifest></i:header><i:payloads><i:payload>%b</i:payload></i:payloads>'
    b"</i:DistributionEnvelope>"
)


def test_packed_payloads_are_unpacked_up_to_a_bound() -> None:
    assert message(PACKED % (b"false", b64encode(HL7))).hl7 is not None
    assert message(PACKED % (b"true", b64encode(gzip.compress(HL7)))).hl7 is not None
    assert message(PACKED % (b"true", b64encode(gzip.compress(b" " * 9_000_000)))).hl7 is None
    assert message(PACKED % (b"true", b64encode(gzip.compress(HL7)[:-9]))).hl7 is None
    assert message(PACKED % (b"false", b"!")).hl7 is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"ISA*00*", id="no-xml"),
        pytest.param(SOAP[:-1], id="cut"),
        pytest.param(b"<!DOCTYPE a>" + SOAP, id="a-document-type"),
        pytest.param(SOAP.decode().encode("utf-16"), id="another-encoding"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="http-without-a-body"),
    ],
)
def test_what_is_no_message_is_refused_without_its_content(content: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        messages_in("a file", content)
    assert "a file" in str(refused.value)
    assert "ISA" not in str(refused.value)
