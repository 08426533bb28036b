"""What the client writes, judged by the published formats' schemas; and what it reads."""

from datetime import UTC, datetime

import pytest
from lxml import etree

from smsp_provider.cli.itk_answer import read_fault, read_payload
from smsp_provider.cli.itk_request import CallerIdentity, OutgoingRequest, build_payload
from smsp_provider.domain.identifiers import LocalIdentifier
from smsp_provider.domain.requests import RequestFields
from smsp_provider.domain.service import Service
from smsp_provider.itk.services import SERVICES
from smsp_provider.xmlcore.names import HL7, ITK
from smsp_provider.xmlcore.schemas import Schemas

LOCAL = LocalIdentifier("2.16.840.1.113883.2.1.3.2.4.18.24", "A-1")
FIELDS = {
    Service.VERIFY_NHS_NUMBER: RequestFields("19710523", None, "9990000018", "QUILL", "ORLA"),
    Service.GET_NHS_NUMBER: RequestFields("19710523", "2", None, "QUILL", "ORLA", "ZZ9 9ZZ", LOCAL),
    Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER: RequestFields(
        "19710523", None, "9990000018", "QUILL", "ORLA", None, LOCAL
    ),
    Service.GET_PATIENT_DETAILS_BY_SEARCH: RequestFields("19710523", "2", None, "QUILL", "ORLA", "ZZ9 9ZZ", LOCAL),
    Service.GET_PATIENT_DETAILS: RequestFields("19710523", "2", "9990000018", "QUILL", "ORLA", "ZZ9 9ZZ", LOCAL),
}
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("service", list(Service))
def test_a_payload_with_every_field_is_valid(service: Service) -> None:
    payload = build_payload(service, FIELDS[service])
    assert Schemas().findings(SERVICES[service].request_schema, payload) == ()


def test_only_what_is_given_is_sent() -> None:
    payload = build_payload(Service.VERIFY_NHS_NUMBER, RequestFields(family="QUILL"))
    event = payload.find(f"{{{HL7}}}queryEvent")
    assert event is not None
    assert [etree.QName(parameter).localname for parameter in event] == ["Person.Name"]


def test_two_requests_share_no_id() -> None:
    request = OutgoingRequest(Service.VERIFY_NHS_NUMBER, RequestFields(), CallerIdentity("me"), "http://x", NOW)
    assert request.headers()[0].text != request.headers()[0].text
    assert request.envelope() != request.envelope()


def test_a_patient_is_read_with_every_number_wherever_it_stands() -> None:
    payload = etree.fromstring(
        f"""<getPatientDetailsResponse-v1-0 xmlns="{HL7}"><value code="SMSP-0000"/><subject><patient>
        <id root="2.16.840.1.113883.2.1.4.1" extension="9990000018"/><id root="1.2" extension="A-1"/>
        <name use="L"><prefix>MS</prefix><given>ORLA</given><given>X Y</given><family>QUILL</family></name>
        <addr use="H"><postalCode>ZZ9 9ZZ</postalCode><streetAddressLine/>
        <streetAddressLine>1 ROAD</streetAddressLine></addr>
        <telecom use="H" value="tel:1"/><patientPerson><administrativeGenderCode code="2"/>
        <birthTime value="19710523"/><x><id root="2.16.840.1.113883.2.1.4.1" extension="9990000026"/></x>
        </patientPerson></patient></subject></getPatientDetailsResponse-v1-0>"""
    )
    code, patient = read_payload(payload)
    assert code == "SMSP-0000"
    assert patient is not None
    assert patient.nhs_numbers == ("9990000018", "9990000026")
    assert (patient.local_identifier, patient.prefix, patient.given, patient.family) == (
        "A-1",
        "MS",
        ("ORLA", "X Y"),
        "QUILL",
    )
    assert patient.addresses[0].lines == ("", "1 ROAD")
    assert patient.telecoms == (("H", "tel:1"),)
    assert (patient.gender, patient.birth_time, patient.deceased_time) == ("2", "19710523", None)
    # Nothing of a patient shows itself in a log or a failed assertion.
    assert repr(patient) == "<PatientSeen>"


def test_a_fault_without_the_itk_detail_is_still_a_fault() -> None:
    assert read_fault("soap:Server", "broken", None).error_code == ""
    detail = etree.fromstring(
        f'<detail><t:ToolkitErrorInfo xmlns:t="{ITK}"><t:ErrorCode>1000</t:ErrorCode><t:ErrorText>no</t:ErrorText>'
        "</t:ToolkitErrorInfo></detail>"
    )
    fault = read_fault("soap:Client", "wrong", detail)
    assert (fault.error_code, fault.error_text, fault.diagnostic) == ("1000", "no", "")
