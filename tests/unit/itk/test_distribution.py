"""The distribution envelope: every check, its text, and the order of the checks."""

import base64
import gzip
from dataclasses import replace

import pytest

from itk_messages import NHS_NUMBER, Request, payload_of, request_for, with_texts
from smsp_provider.domain.audit_identity import AuditId
from smsp_provider.domain.faults import ErrorCode, FaultCode, ToolkitFault
from smsp_provider.domain.identifiers import OID
from smsp_provider.domain.requests import InputInvalid
from smsp_provider.domain.service import Service
from smsp_provider.itk.distribution import DEFAULT_PROFILES, Distribution, EnvelopePolicy, read_distribution
from smsp_provider.soap.envelope import read_soap
from smsp_provider.xmlcore.schemas import Schemas

POLICY = EnvelopePolicy()
VALID = Request()
ORGANISATION = "urn:nhs-uk:identity:ods:X26"


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    return Schemas()


def distribution_of(request: Request, schemas: Schemas, policy: EnvelopePolicy = POLICY) -> Distribution:
    return read_distribution(read_soap(request.body()).body_child, request.default_action, schemas, policy)


def fault_of(request: Request, schemas: Schemas, policy: EnvelopePolicy = POLICY) -> ToolkitFault:
    with pytest.raises(ToolkitFault) as caught:
        distribution_of(request, schemas, policy)
    return caught.value


@pytest.mark.rule("COR-DEH-01", "COR-DEH-02", "COR-DEH-06", "COR-DEH-07", "DE-PDS-01", "DE-PDS-02")
@pytest.mark.parametrize("service", Service)
def test_a_valid_envelope_is_read(service: Service, schemas: Schemas) -> None:
    request = replace(
        request_for(service),
        sender_address="urn:nhs-uk:addressing:ods:X26",
        addresses=("urn:nhs-uk:addressing:ods:Y27",),
        audit_ids=((None, f" {ORGANISATION} "), (OID.USER, "123456789012"), ("1.2.3", "x"), (OID.ROLE, "")),
    )
    read = distribution_of(request, schemas)
    assert read.service is service
    assert read.tracking_id == request.tracking_id
    assert read.sender_address == "urn:nhs-uk:addressing:ods:X26"
    assert read.audit_ids == (
        AuditId(OID.ITK_IDENTITY, ORGANISATION),
        AuditId(OID.USER, "123456789012"),
        AuditId("1.2.3", "x"),
    )
    assert str(read.require_payload().tag).startswith("{urn:hl7-org:v3}" + service.value.partition("-")[0])
    assert read.payload_problem is None
    assert repr(read) == "<Distribution>"


@pytest.mark.rule("COR-DEH-01", "COR-DEH-02", "COR-DEH-05", "COR-DEH-06", "COR-DEH-07", "COR-DEP-01", "DE-PDS-01")
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"body_markup": "<itk:Other/>"}, "The soap:Body holds no itk:DistributionEnvelope"),
        ({"header_service": None}, "service is missing"),
        ({"header_service": "urn:x"}, "header service differs from wsa:Action"),
        ({"tracking_id": None}, "trackingid is missing"),
        ({"tracking_id": "2b7d9a36-0c1f-4e0c-ae7b-6f6d5a1e93c8"}, "trackingid is not a bare upper-case UUID"),
        ({"tracking_id": "2B7D9A36-0C1F-4E0C-AE7B-6F6D5A1E93C8 "}, "trackingid is not a bare upper-case UUID"),
        ({"manifest_count": None}, "manifest count is missing"),
        ({"manifest_count": "2"}, "manifest count is not 1"),
        ({"manifest_count": "-1"}, "manifest count is not 1"),
        ({"manifest_count": "one"}, "manifest count is not 1"),
        ({"extra_manifest_markup": "<itk:manifestitem/>"}, "manifest count does not match: 2 of manifestitem"),
        ({"manifest_id": None}, "manifestitem id is missing"),
        ({"mimetype": None}, "mimetype is missing"),
        ({"mimetype": "application/xml"}, "mimetype is not text/xml"),
        ({"profile_id": None}, "profileid is missing"),
        ({"profile_id": "urn:nhs-en:profile:x"}, "profileid is not supported for this service"),
        ({"metadata": "true"}, "metadata is true"),
        ({"metadata": "1"}, "metadata is true"),
        ({"metadata": "TRUE"}, "metadata is neither true nor false"),
        ({"base64": ""}, "base64 is neither true nor false"),
        ({"payloads_count": None}, "payloads count is missing"),
        ({"payloads_count": "0"}, "payloads count is not 1"),
        ({"extra_payloads_markup": "<itk:payload/>"}, "payloads count does not match: 2 of payload"),
        ({"extra_envelope_markup": '<itk:payloads count="1"/>'}, "payloads is missing or given more than once"),
        ({"payload_id": None}, "payload id is missing"),
        ({"payload_id": "uuid_x"}, "payload id differs from manifestitem id"),
        ({"filename": "x.xml"}, "payload has a filename"),
    ],
)
def test_a_breach_is_a_client_fault_that_names_it(change: dict[str, str | None], text: str, schemas: Schemas) -> None:
    fault = fault_of(with_texts(VALID, **change), schemas)
    assert (fault.faultcode, fault.error_code, fault.text) == (FaultCode.CLIENT, ErrorCode.INVALID_MESSAGE, text)


@pytest.mark.rule("COR-DEH-05", "COR-DEP-01")
@pytest.mark.parametrize("count", ["1", " 1 ", "+1", "001"])
def test_a_count_is_an_integer_however_it_is_written(count: str, schemas: Schemas) -> None:
    request = replace(VALID, manifest_count=count, payloads_count=count)
    assert distribution_of(request, schemas).payload is not None


@pytest.mark.rule("DE-PDS-02")
def test_two_addresses_are_refused(schemas: Schemas) -> None:
    assert (
        fault_of(replace(VALID, addresses=("urn:a", "urn:b")), schemas).text
        == "addresslist holds more than one address"
    )


@pytest.mark.rule("COR-DEH-06")
def test_ids_are_compared_with_regard_to_case(schemas: Schemas) -> None:
    request = replace(VALID, payload_id=f"{VALID.payload_id}".lower())
    assert fault_of(request, schemas).text == "payload id differs from manifestitem id"


@pytest.mark.rule("COR-DEH-09")
def test_the_accepted_profiles_are_configurable(schemas: Schemas) -> None:
    local = "urn:nhs-en:profile:local-v9"
    policy = EnvelopePolicy({**DEFAULT_PROFILES, Service.VERIFY_NHS_NUMBER: frozenset({local})})
    assert distribution_of(replace(VALID, profile_id=local), schemas, policy).payload is not None
    assert "profileid" in fault_of(VALID, schemas, policy).text
    assert "profileid" in fault_of(replace(VALID, profile_id=local), schemas).text


@pytest.mark.rule("DE-PDS-03")
def test_an_encrypted_payload_is_not_supported(schemas: Schemas) -> None:
    fault = fault_of(replace(VALID, encrypted="true"), schemas)
    assert (fault.faultcode, fault.error_code) == (FaultCode.SERVER, ErrorCode.PROVIDER_FAILURE)
    assert distribution_of(replace(VALID, encrypted="false"), schemas).payload is not None


@pytest.mark.rule("WS-VAL-01", "COR-DEH-08", "IFC-LOG-02")
def test_anything_else_is_found_by_the_schema_and_named_by_its_path(schemas: Schemas) -> None:
    fault = fault_of(replace(VALID, extra_envelope_header_markup="<itk:secret9990000018/>"), schemas)
    assert fault.error_code is ErrorCode.INVALID_MESSAGE
    assert "/DistributionEnvelope/header[1]" in fault.text
    assert "secret" not in fault.text
    handling = '<itk:handlingSpecification><itk:spec key="urn:k" value="true"/></itk:handlingSpecification>'
    assert distribution_of(replace(VALID, extra_envelope_header_markup=handling), schemas).payload is not None


@pytest.mark.rule("COR-DEH-08")
def test_extension_attributes_of_the_manifest_item_are_refused(schemas: Schemas) -> None:
    body = VALID.body().replace(b"<itk:manifestitem ", b'<itk:manifestitem itk:local="x" ')
    with pytest.raises(ToolkitFault, match=r"manifestitem\[1\]"):
        read_distribution(read_soap(body).body_child, VALID.default_action, schemas, POLICY)


class TestAuditIdentity:
    """Answered with a business response, before the rest of the envelope (SMSP-AUDIT-005)."""

    @pytest.mark.rule("SMSP-AUDIT-005", "COR-DEH-03", "SMSP-AUDIT-002")
    @pytest.mark.parametrize(
        "audit_ids",
        [
            None,
            (),
            ((None, None),),
            ((None, ""),),
            ((None, " "), (OID.ASID, "\t")),
            ((OID.USER, "123456789012"),),
            (("1.2.3", "x"),),
            ((None, "urn:nhs-uk:identity:other:x"),),
        ],
    )
    @pytest.mark.parametrize("change", [{}, {"tracking_id": None}, {"encrypted": "true"}, {"profile_id": None}])
    def test_nobody_is_an_invalid_input_whatever_else_is_wrong(
        self,
        audit_ids: tuple[tuple[str | None, str | None], ...] | None,
        change: dict[str, str | None],
        schemas: Schemas,
    ) -> None:
        with pytest.raises(InputInvalid) as caught:
            distribution_of(with_texts(replace(VALID, audit_ids=audit_ids), **change), schemas)
        assert caught.value.field == "auditIdentity"

    @pytest.mark.rule("COR-DEH-01")
    def test_the_wrong_service_comes_before_it(self, schemas: Schemas) -> None:
        assert "service" in fault_of(replace(VALID, audit_ids=None, header_service="urn:x"), schemas).text

    @pytest.mark.rule("DE-PDS-02")
    def test_more_than_four_ids_are_a_fault(self, schemas: Schemas) -> None:
        four = ((None, ORGANISATION),) * 4
        assert len(distribution_of(replace(VALID, audit_ids=four), schemas).audit_ids) == 4
        assert (
            fault_of(replace(VALID, audit_ids=(*four, (None, ""))), schemas).text
            == "auditIdentity holds more than four ids"
        )

    @pytest.mark.rule("SMSP-AUDIT-002", "COR-DEH-04")
    def test_who_may_not_ask_is_decided_later(self, schemas: Schemas) -> None:
        request = replace(VALID, audit_ids=((OID.ASID, "200000000115"), (OID.SSO_TOKEN, "token")))
        assert len(distribution_of(request, schemas).audit_ids) == 2


class TestEncodedPayloads:
    """base64 and gzip (DE-PDS-03)."""

    CONTENT = payload_of(Service.VERIFY_NHS_NUMBER).encode()

    def encoded(self, content: bytes, *, packed: bool) -> Request:
        content = gzip.compress(content) if packed else content
        return replace(
            VALID,
            base64="true",
            compressed="true" if packed else None,
            payload=base64.encodebytes(content).decode(),
        )

    @pytest.mark.rule("DE-PDS-03")
    @pytest.mark.parametrize("packed", [False, True])
    def test_they_are_decoded(self, packed: bool, schemas: Schemas) -> None:
        read = distribution_of(self.encoded(self.CONTENT, packed=packed), schemas)
        number = read.require_payload().find(".//{*}Person.NHSNumber/{*}value")
        assert number is not None
        assert number.get("extension") == NHS_NUMBER

    @pytest.mark.rule("DE-PDS-03")
    @pytest.mark.parametrize("packed", [False, True])
    def test_the_bound_is_on_what_comes_out(self, packed: bool, schemas: Schemas) -> None:
        request = self.encoded(self.CONTENT, packed=packed)
        exact = EnvelopePolicy(max_payload_bytes=len(self.CONTENT))
        assert distribution_of(request, schemas, exact).payload is not None
        fault = fault_of(request, schemas, EnvelopePolicy(max_payload_bytes=len(self.CONTENT) - 1))
        assert (fault.error_code, fault.text) == (ErrorCode.INVALID_MESSAGE, "The payload is too large")

    @pytest.mark.rule("SMSP-VAL-001", "DE-PDS-03")
    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("content", [b"", b"not XML", b"<a>", b"\xff\xfe", b"<!DOCTYPE a><a/>"])
    def test_what_decodes_to_no_xml_is_an_invalid_input(self, packed: bool, content: bytes, schemas: Schemas) -> None:
        read = distribution_of(self.encoded(content, packed=packed), schemas)
        assert read.payload is None
        assert read.payload_problem is not None
        assert read.payload_problem.field == "payload"
        with pytest.raises(InputInvalid):
            read.require_payload()


@pytest.mark.rule("SMSP-VAL-001")
@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        ("", "has no content"),
        (" \n", "has no content"),
        ("text", "holds no element"),
        ("<a/><b/>", "holds more than one"),
    ],
)
def test_a_payload_of_no_single_element_is_an_invalid_input(payload: str, rule: str, schemas: Schemas) -> None:
    problem = distribution_of(replace(VALID, payload=payload), schemas).payload_problem
    assert problem is not None
    assert problem.field == "payload"
    assert problem.rule.startswith(rule)


@pytest.mark.rule("WS-VAL-01")
def test_a_fault_of_the_envelope_comes_before_a_problem_of_the_payload(schemas: Schemas) -> None:
    broken = replace(VALID, payload="<a/><b/>", extra_envelope_header_markup="<itk:x/>")
    assert "schema" in fault_of(broken, schemas).text


def test_an_action_of_another_endpoint_is_refused(schemas: Schemas) -> None:
    with pytest.raises(ToolkitFault):
        read_distribution(read_soap(VALID.body()).body_child, "urn:x", schemas, POLICY)
