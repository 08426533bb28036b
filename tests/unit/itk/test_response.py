"""Responses as built, and as read back before they leave."""

from dataclasses import replace

import pytest
from lxml import etree

from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import OID, LocalIdentifier
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Outcome, PatientDetails, ResponseAddress, ResponseName, ResponseTelecom
from smsp_provider.domain.response_codes import ResponseCode, Vocabulary
from smsp_provider.domain.service import Service
from smsp_provider.itk.read_back import ResponseFacts, read_back
from smsp_provider.itk.response import ResponseIds, build_response
from smsp_provider.itk.services import SERVICES
from smsp_provider.xmlcore.parse import parse
from smsp_provider.xmlcore.schemas import Schemas

NS = {
    "soap": "http://schemas.xmlsoap.org/soap/envelope/",
    "wsa": "http://www.w3.org/2005/08/addressing",
    "itk": "urn:nhs-itk:ns:201005",
    "hl7": "urn:hl7-org:v3",
}
IDS = ResponseIds(
    "C2A4E6D8-1B3D-4F5A-8C7E-9D0B2F4A6C8E",
    "2B7D9A36-0C1F-4E0C-AE7B-6F6D5A1E93C8",
    "7A0D8E3C-93C5-4A9F-9D36-5D60D5F8B1A2",
)
REQUEST_ID = "urn:uuid:9c41f6be-6e0b-4c7b-8c55-30ad0cf0b7e4"
VOCABULARY = Vocabulary({code: f"TEST-{code.value}" for code in ResponseCode}, dict.fromkeys(ResponseCode, "x"))
NUMBER = NHSNumber("9990000018")
LOCAL = LocalIdentifier("2.16.840.1.113883.2.1.3.2.4.18.24", 'A&B "1"\n<2>')
DETAILS = PatientDetails(
    NUMBER,
    ResponseName("Ms", ("Orla", "Bea Cee"), "Quill & Feather"),
    (
        ResponseAddress("H", ("1 A Street", "", "Bee", "", "Leeds"), "LS1 4XX"),
        ResponseAddress("TMP", ("", "", "", "", ""), ""),
        ResponseAddress("PST", ("x", "y", "z", "", ""), None),
    ),
    (ResponseTelecom("H", "tel:0113 496"), ResponseTelecom(None, "mailto:o@example.org")),
    "2",
    HL7Date("19710523"),
    HL7Date("2020"),
    "B12345",
)
DETAIL_SERVICES = [service for service in Service if SERVICES[service].response_root.startswith("getPatientDetails")]


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    return Schemas()


def built(
    service: Service, outcome: Outcome, local_identifier: LocalIdentifier | None = None, relates_to: str = REQUEST_ID
) -> bytes:
    return build_response(
        service,
        outcome,
        ids=IDS,
        relates_to=relates_to,
        vocabulary=VOCABULARY,
        local_identifier=local_identifier,
    )


def answer_of(service: Service, code: ResponseCode = ResponseCode.SUCCESS) -> Outcome:
    return Outcome(code, NUMBER, DETAILS if service in DETAIL_SERVICES else None)


def payload_of(document: bytes) -> etree._Element:
    (payload,) = parse(document).findall("soap:Body/itk:DistributionEnvelope/itk:payloads/itk:payload/*", NS)
    return payload


def names(element: etree._Element) -> list[str]:
    return [str(child.tag).rpartition("}")[2] for child in element]


def texts(element: etree._Element | None, path: str) -> list[str]:
    assert element is not None
    return [found.text or "" for found in element.findall(path, NS)]


@pytest.mark.rule("COR-DEH-01", "COR-DEH-02", "COR-DEH-05", "COR-DEH-06", "COR-DEH-07", "COR-DEP-01", "COR-DEP-02")
@pytest.mark.parametrize("service", Service)
def test_the_frame_of_a_response(service: Service) -> None:
    entry = SERVICES[service]
    document = built(service, answer_of(service))
    root = parse(document)
    header = root.find("soap:Header", NS)
    assert header is not None
    assert names(header) == ["Action", "MessageID", "RelatesTo"]
    assert [block.text for block in header] == [entry.response_action, IDS.message_id, REQUEST_ID]
    envelope = root.find("soap:Body/itk:DistributionEnvelope", NS)
    assert envelope is not None
    itk_header, item = envelope.find("itk:header", NS), envelope.find("itk:header/itk:manifest/itk:manifestitem", NS)
    payloads, payload = envelope.find("itk:payloads", NS), envelope.find("itk:payloads/itk:payload", NS)
    assert itk_header is not None
    assert dict(itk_header.attrib) == {"service": entry.response_action, "trackingid": IDS.tracking_id}
    assert item is not None
    assert dict(item.attrib) == {
        "id": f"uuid_{IDS.payload_id}",
        "mimetype": "text/xml",
        "profileid": entry.response_profile,
    }
    assert payloads is not None
    assert payloads.get("count") == "1"
    assert payload is not None
    assert dict(payload.attrib) == {"id": f"uuid_{IDS.payload_id}"}
    content = payload_of(document)
    assert content.tag == f"{{urn:hl7-org:v3}}{entry.response_root}"
    assert (content.get("classCode"), content.get("moodCode")) == ("OBS", "EVN")


@pytest.mark.rule("WS-STD-01", "WS-STD-04")
@pytest.mark.parametrize("service", Service)
def test_a_response_is_utf_8_and_points_to_no_schema(service: Service) -> None:
    document = built(service, answer_of(service))
    assert document.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert b"schemaLocation" not in document


@pytest.mark.rule("SMSP-ERR-002", "SMSP-CONF-001", "SMSP-ERR-005")
@pytest.mark.parametrize("service", Service)
@pytest.mark.parametrize("code", ResponseCode)
def test_an_answer_without_data_has_id_code_and_value_only(
    service: Service, code: ResponseCode, schemas: Schemas
) -> None:
    document = built(service, Outcome.without_data(code), LOCAL)
    content = payload_of(document)
    assert names(content) == ["id", "code", "value"]
    assert content[0].get("root") == IDS.payload_id
    assert content[1].get("code") == SERVICES[service].response_root
    assert dict(content[2].attrib) == {"code": VOCABULARY.codes[code], "codeSystem": OID.RESPONSE_CODE}
    assert read_back(document, service, schemas) == ResponseFacts(
        valid=True, findings=(), relates_to=REQUEST_ID, code=VOCABULARY.codes[code]
    )


@pytest.mark.rule("SMSP-ERR-005")
@pytest.mark.parametrize("code", [ResponseCode.SUCCESS, ResponseCode.SUPERSEDED])
def test_a_verification_carries_the_valid_identifier(code: ResponseCode, schemas: Schemas) -> None:
    document = built(Service.VERIFY_NHS_NUMBER, Outcome(code, NUMBER), LOCAL)
    content = payload_of(document)
    assert names(content) == ["id", "code", "value", "component"]
    validity = content.find("hl7:component/hl7:validIdentifier", NS)
    assert validity is not None
    assert [dict(child.attrib) for child in validity[:2]] == [
        {"code": "VI", "codeSystem": OID.IDENTIFIER_VALIDITY},
        {"value": "true"},
    ]
    ids = validity.findall("hl7:subject/hl7:patient/hl7:id", NS)
    assert [dict(item.attrib) for item in ids] == [{"root": OID.NHS_NUMBER, "extension": NUMBER.digits}]
    facts = read_back(document, Service.VERIFY_NHS_NUMBER, schemas)
    assert (facts.valid, facts.nhs_numbers, facts.local_identifier) == (True, (NUMBER.digits,), None)


@pytest.mark.rule("SMSP-PDS-009")
@pytest.mark.parametrize("service", [service for service in Service if service is not Service.VERIFY_NHS_NUMBER])
def test_the_local_identifier_stands_behind_the_nhs_number(service: Service, schemas: Schemas) -> None:
    document = built(service, answer_of(service), LOCAL)
    ids = payload_of(document).findall("hl7:subject/hl7:patient/hl7:id", NS)
    assert [(item.get("root"), item.get("extension")) for item in ids] == [
        (OID.NHS_NUMBER, NUMBER.digits),
        (LOCAL.root, LOCAL.extension),
    ]
    facts = read_back(document, service, schemas)
    assert (facts.valid, facts.nhs_numbers, facts.local_identifier) == (True, (NUMBER.digits,), LOCAL)


@pytest.mark.rule("SMSP-PDS-006", "SMSP-PDS-007")
@pytest.mark.parametrize("service", DETAIL_SERVICES)
def test_all_details_are_written_in_their_places(service: Service, schemas: Schemas) -> None:
    document = built(service, answer_of(service))
    patient = payload_of(document).find("hl7:subject/hl7:patient", NS)
    assert patient is not None
    assert names(patient) == ["id", "name", "addr", "addr", "addr", "telecom", "telecom", "patientPerson"]
    name = patient.find("hl7:name", NS)
    assert name is not None
    assert name.get("use") == "L"
    assert names(name) == ["prefix", "given", "given", "family"]
    assert texts(patient, "hl7:name/*") == ["Ms", "Orla", "Bea Cee", "Quill & Feather"]
    assert [addr.get("use") for addr in patient.findall("hl7:addr", NS)] == ["H", "TMP", "PST"]
    addresses = [texts(addr, "*") for addr in patient.findall("hl7:addr", NS)]
    assert addresses == [
        ["LS1 4XX", "1 A Street", "", "Bee", "", "Leeds"],
        ["", "", "", "", "", ""],
        ["x", "y", "z", "", ""],
    ]
    assert [names(addr)[0] for addr in patient.findall("hl7:addr", NS)] == [
        "postalCode",
        "postalCode",
        "streetAddressLine",
    ]
    assert [dict(telecom.attrib) for telecom in patient.findall("hl7:telecom", NS)] == [
        {"use": "H", "value": "tel:0113 496"},
        {"value": "mailto:o@example.org"},
    ]
    person = patient.find("hl7:patientPerson", NS)
    assert person is not None
    assert names(person) == ["administrativeGenderCode", "birthTime", "deceasedTime", "gPPractice"]
    assert dict(person[0].attrib) == {"code": "2", "codeSystem": OID.GENDER}
    assert [person[1].get("value"), person[2].get("value")] == ["19710523", "2020"]
    practice = person.find("hl7:gPPractice/hl7:locationOrganization", NS)
    assert practice is not None
    assert [dict(child.attrib) for child in practice] == [{"root": OID.PRACTICE, "extension": "B12345"}]
    facts = read_back(document, service, schemas)
    assert (facts.valid, facts.date_of_birth) == (True, "19710523")


@pytest.mark.rule("SMSP-PDS-006")
def test_what_pds_is_silent_about_is_left_out(schemas: Schemas) -> None:
    outcome = Outcome(ResponseCode.SUCCESS, NUMBER, PatientDetails(NUMBER))
    document = built(Service.GET_PATIENT_DETAILS, outcome)
    patient = payload_of(document).find("hl7:subject/hl7:patient", NS)
    assert patient is not None
    assert names(patient) == ["id"]
    assert read_back(document, Service.GET_PATIENT_DETAILS, schemas).valid


@pytest.mark.rule("SMSP-PDS-006")
def test_a_blank_name_is_written_blank(schemas: Schemas) -> None:
    details = PatientDetails(NUMBER, ResponseName(None, ("",), ""))
    document = built(Service.GET_PATIENT_DETAILS, Outcome(ResponseCode.SUCCESS, NUMBER, details))
    name = payload_of(document).find("hl7:subject/hl7:patient/hl7:name", NS)
    assert name is not None
    assert name.get("use") == "L"
    assert (names(name), texts(name, "*")) == (["given", "family"], ["", ""])
    assert read_back(document, Service.GET_PATIENT_DETAILS, schemas).valid


def test_the_number_of_the_details_is_the_one_that_shows(schemas: Schemas) -> None:
    other = NHSNumber("9991234055")
    document = built(Service.GET_PATIENT_DETAILS, Outcome(ResponseCode.SUCCESS, other, DETAILS))
    assert read_back(document, Service.GET_PATIENT_DETAILS, schemas).nhs_numbers == (NUMBER.digits,)


class TestReadBack:
    """What a message that must not leave looks like to the gate (safety rule W10)."""

    SERVICE = Service.GET_PATIENT_DETAILS

    def facts(self, document: bytes, schemas: Schemas, service: Service = SERVICE) -> ResponseFacts:
        return read_back(document, service, schemas)

    @pytest.mark.rule("WS-VAL-01", "SMSP-VAL-004")
    @pytest.mark.parametrize(
        ("change", "place"),
        [
            ({"gender": "X"}, "administrativeGenderCode"),
            ({"practice": ""}, "locationOrganization"),
            ({"telecoms": (ResponseTelecom("H", "TEL:1"),)}, "telecom"),
            ({"telecoms": (ResponseTelecom("XX", "tel:1"),)}, "telecom"),
            ({"addresses": DETAILS.addresses * 2}, "addr"),
            ({"name": ResponseName(None, ("a", "b", "c"), "d")}, "given"),
        ],
    )
    def test_details_that_the_schema_refuses_are_found(
        self, change: dict[str, object], place: str, schemas: Schemas
    ) -> None:
        details = replace(DETAILS, **change)  # type: ignore[arg-type]  # the table above has the right types
        facts = self.facts(built(self.SERVICE, Outcome(ResponseCode.SUCCESS, NUMBER, details)), schemas)
        assert not facts.valid
        assert place in facts.findings[0]

    @pytest.mark.rule("WS-VAL-01")
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"</soap:Body>", b""),
            (b"</soap:Body>", b"<x/></soap:Body>"),
            (b"itk:DistributionEnvelope", b"itk:Envelope"),
            (b"</itk:payload>", b"<x/></itk:payload>"),
            (b"</itk:payload>", b'</itk:payload><itk:payload id="x"/>'),
            (b'trackingid="2B', b'trackingid="2b'),
            (b"itk:manifestitem ", b'itk:manifestitem x="1" '),
            (b"getPatientDetailsResponse-v1-0", b"getNHSNumberResponse-v1-0"),
            (b"<subject", b"<object"),
        ],
    )
    def test_a_broken_message_is_not_valid(self, old: bytes, new: bytes, schemas: Schemas) -> None:
        document = built(self.SERVICE, answer_of(self.SERVICE))
        assert old in document
        facts = self.facts(document.replace(old, new), schemas)
        assert not facts.valid
        assert facts.findings

    @pytest.mark.rule("WS-VAL-01")
    @pytest.mark.parametrize("service", [Service.VERIFY_NHS_NUMBER, Service.GET_NHS_NUMBER])
    def test_another_services_payload_is_not_valid(self, service: Service, schemas: Schemas) -> None:
        facts = self.facts(built(self.SERVICE, answer_of(self.SERVICE)), schemas, service)
        assert "the payload has another root" in facts.findings

    @pytest.mark.rule("SMSP-PDS-002", "WS-ADR-09")
    def test_foreign_facts_show(self, schemas: Schemas) -> None:
        document = built(self.SERVICE, answer_of(self.SERVICE), LOCAL)
        foreign = document.replace(NUMBER.digits.encode(), b"9991234055").replace(b"9c41f6be", b"9c41f6bf")
        facts = self.facts(foreign.replace(b'value="19710523"', b'value="19710524"'), schemas)
        assert facts.valid
        assert facts.nhs_numbers == ("9991234055",)
        assert facts.relates_to == REQUEST_ID.replace("9c41f6be", "9c41f6bf")
        assert facts.date_of_birth == "19710524"

    @pytest.mark.rule("SMSP-PDS-002")
    def test_two_numbers_both_show(self, schemas: Schemas) -> None:
        second = LocalIdentifier(OID.NHS_NUMBER, "9991234055")
        facts = self.facts(built(self.SERVICE, answer_of(self.SERVICE), second), schemas)
        assert facts.nhs_numbers == (NUMBER.digits, "9991234055")
        assert facts.local_identifier is None

    @pytest.mark.rule("SMSP-PDS-009")
    def test_a_third_id_is_not_valid(self, schemas: Schemas) -> None:
        document = built(self.SERVICE, answer_of(self.SERVICE), LOCAL)
        third = b'<id root="1.2.3" extension="x"/><name'
        facts = self.facts(document.replace(b"<name", third, 1), schemas)
        assert not facts.valid
        assert facts.local_identifier == LOCAL

    @pytest.mark.rule("WS-ADR-09")
    def test_a_second_relates_to_is_none(self, schemas: Schemas) -> None:
        document = built(self.SERVICE, answer_of(self.SERVICE))
        doubled = document.replace(b"</soap:Header>", b"<wsa:RelatesTo>x</wsa:RelatesTo></soap:Header>")
        assert self.facts(doubled, schemas).relates_to is None

    @pytest.mark.rule("IFC-LOG-02")
    def test_facts_and_findings_show_no_value(self, schemas: Schemas) -> None:
        details = replace(DETAILS, gender="Quill")
        facts = self.facts(built(self.SERVICE, Outcome(ResponseCode.SUCCESS, NUMBER, details)), schemas)
        assert repr(facts) == "<ResponseFacts>"
        assert "Quill" not in "".join(facts.findings)
