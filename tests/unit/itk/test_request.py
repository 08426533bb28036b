"""Request payloads as fields."""

from dataclasses import replace

import pytest

from itk_messages import NHS_NUMBER, Fields, payload_of
from smsp_provider.domain.identifiers import OID, LocalIdentifier
from smsp_provider.domain.requests import InputInvalid, RequestFields
from smsp_provider.domain.service import Service
from smsp_provider.itk.request import read_request
from smsp_provider.xmlcore.parse import parse
from smsp_provider.xmlcore.schemas import Schemas

LOCAL = ("2.16.840.1.113883.2.1.3.2.4.18.24", "A&B <1>")
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
EVERYTHING = Fields(
    gender="2", local_identifier=LOCAL, nhs_number=NHS_NUMBER, given="Orla", family="Quillfeather", postcode="LS1 4XX"
)
ROOM = {
    Service.VERIFY_NHS_NUMBER: ("nhs_number", "given", "family"),
    Service.GET_NHS_NUMBER: ("gender", "local_identifier", "given", "family", "postcode"),
    Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER: ("local_identifier", "nhs_number", "given", "family"),
    Service.GET_PATIENT_DETAILS_BY_SEARCH: ("gender", "local_identifier", "given", "family", "postcode"),
    Service.GET_PATIENT_DETAILS: ("gender", "local_identifier", "nhs_number", "given", "family", "postcode"),
}


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    return Schemas()


def read(service: Service, payload: str, schemas: Schemas) -> RequestFields:
    return read_request(service, parse(payload.encode()), schemas)


def refusal(service: Service, payload: str, schemas: Schemas) -> InputInvalid:
    with pytest.raises(InputInvalid) as caught:
        read(service, payload, schemas)
    return caught.value


def only(service: Service, fields: Fields) -> Fields:
    """The fields that the service's schema has room for."""
    absent = {"gender", "local_identifier", "nhs_number", "given", "family", "postcode"} - set(ROOM[service])
    return replace(fields, **dict.fromkeys(absent))


@pytest.mark.rule("SMSP-VAL-001")
@pytest.mark.parametrize("service", Service)
def test_all_fields_of_a_service_are_read_exactly_as_sent(service: Service, schemas: Schemas) -> None:
    sent = replace(only(service, EVERYTHING), given="  Orla\u00a0", family="O'Q<&> ")
    fields = read(service, payload_of(service, sent), schemas)
    expected = RequestFields(
        date_of_birth="19710523",
        gender=sent.gender,
        nhs_number=sent.nhs_number,
        family="O'Q<&> ",
        given="  Orla\u00a0",
        postcode=sent.postcode,
        local_identifier=None if sent.local_identifier is None else LocalIdentifier(*LOCAL),
    )
    assert fields == expected


@pytest.mark.rule("SMSP-VAL-001")
@pytest.mark.parametrize("service", Service)
@pytest.mark.parametrize("field", ["gender", "local_identifier", "nhs_number", "postcode"])
def test_a_field_that_a_service_does_not_know_breaks_its_schema(service: Service, field: str, schemas: Schemas) -> None:
    if field in ROOM[service]:
        assert read(service, payload_of(service, only(service, EVERYTHING)), schemas).date_of_birth == "19710523"
        return
    value = getattr(EVERYTHING, field)
    problem = refusal(service, payload_of(service, replace(only(service, EVERYTHING), **{field: value})), schemas)
    assert "queryEvent" in problem.field


@pytest.mark.rule("SMSP-VAL-001")
def test_the_root_met_in_the_field_is_renamed(schemas: Schemas) -> None:
    service = Service.GET_PATIENT_DETAILS
    payload = payload_of(service, EVERYTHING, root="getPatientDetailsRequest-v1-0")
    assert read(service, payload, schemas) == read(service, payload_of(service, EVERYTHING), schemas)


@pytest.mark.rule("SMSP-VAL-001")
@pytest.mark.parametrize("service", Service)
def test_another_root_is_refused(service: Service, schemas: Schemas) -> None:
    for other in ("getPatientDetailsRequest-v1-0x", "verifyNHSNumberResponse-v1-0", "queryEvent"):
        problem = refusal(service, payload_of(service, root=other), schemas)
        assert problem.rule == "is not the root of the payload"
    alias = payload_of(Service.VERIFY_NHS_NUMBER, root="getPatientDetailsRequest-v1-0")
    assert refusal(Service.VERIFY_NHS_NUMBER, alias, schemas).field == "verifyNHSNumberRequest-v1-0"


@pytest.mark.rule("SMSP-VAL-001", "IFC-LOG-02")
def test_a_breach_of_the_schema_names_place_and_rule_and_no_value(schemas: Schemas) -> None:
    service = Service.GET_NHS_NUMBER
    payload = payload_of(service, replace(only(service, EVERYTHING), gender="Quillfeather"))
    problem = refusal(service, payload, schemas)
    assert problem.field == "/getNHSNumberRequest-v1-0/queryEvent[1]/Person.Gender[1]/value[1]"
    assert problem.rule
    assert "Quillfeather" not in f"{problem} {problem.args} {problem.__cause__!r} {problem.__context__!r}"


@pytest.mark.rule("SMSP-VAL-001")
@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("<Person.NHSNumber>", '<Person.NHSNumber nullFlavor="UNK">', "nhs_number"),
        ("<Person.Gender>", '<Person.Gender nullFlavor="NI">', "gender"),
        ("<Person.LocalIdentifier>", '<Person.LocalIdentifier nullFlavor="NI">', "local_identifier"),
        ("<Person.Postcode>", '<Person.Postcode nullFlavor="NI">', "postcode"),
        ("<postalCode>", '<postalCode nullFlavor="NI">', "postcode"),
        ("<given>", '<given nullFlavor="NI">', "given"),
        ("<family>", '<family nullFlavor="NI">', "family"),
    ],
)
def test_a_null_element_counts_as_absent(old: str, new: str, field: str, schemas: Schemas) -> None:
    service = Service.GET_PATIENT_DETAILS
    payload = payload_of(service, EVERYTHING)
    fields = read(service, payload.replace(old, new), schemas)
    assert getattr(fields, field) is None
    assert fields.date_of_birth == "19710523"


@pytest.mark.rule("SMSP-VAL-001")
@pytest.mark.parametrize("nil", ["true", "1"])
def test_a_nil_element_counts_as_absent(nil: str, schemas: Schemas) -> None:
    service = Service.GET_PATIENT_DETAILS
    payload = payload_of(service, EVERYTHING)
    start, end = payload.index("<Person.NHSNumber>"), payload.index("</Person.NHSNumber>")
    # A nil element is empty: with content it would break the schema.
    payload = f'{payload[:start]}<Person.NHSNumber {XSI} xsi:nil="{nil}">{payload[end:]}'
    fields = read(service, payload, schemas)
    assert fields.nhs_number is None
    assert fields.family == EVERYTHING.family


def test_a_query_with_a_null_flavour_has_no_fields(schemas: Schemas) -> None:
    service = Service.GET_PATIENT_DETAILS
    payload = payload_of(service, EVERYTHING).replace("<queryEvent>", '<queryEvent nullFlavor="NI">')
    assert read(service, payload, schemas) == RequestFields()


def test_empty_parts_are_empty_and_missing_parts_are_missing(schemas: Schemas) -> None:
    service = Service.GET_NHS_NUMBER
    fields = read(service, payload_of(service, Fields(gender="1", given="", postcode="")), schemas)
    assert (fields.given, fields.family, fields.postcode) == ("", None, "")


def test_a_code_has_no_outer_white_space(schemas: Schemas) -> None:
    service = Service.GET_NHS_NUMBER
    assert read(service, payload_of(service, Fields(gender=" 1 ", family="X")), schemas).gender == "1"


def test_text_between_the_parts_of_a_name_is_no_part_of_it(schemas: Schemas) -> None:
    service = Service.GET_NHS_NUMBER
    payload = (
        payload_of(service, only(service, EVERYTHING))
        .replace("<given>", "Dr <given>")
        .replace("<family>", "de <family>")
    )
    fields = read(service, payload, schemas)
    assert (fields.given, fields.family) == ("Orla", "Quillfeather")


@pytest.mark.rule("SMSP-VAL-001")
@pytest.mark.parametrize(
    ("text", "field"),
    [("Quillfeather", "Person.Name/family"), ("Orla", "Person.Name/given"), ("LS1 4XX", "Person.Postcode")],
)
def test_half_a_value_is_no_value(text: str, field: str) -> None:
    """The published schema lets elements stand in a postcode; whatever a pack lets through, the reader does not."""

    class LaxSchemas(Schemas):
        def is_valid(self, *_: object) -> bool:
            return True

    schemas = LaxSchemas()
    service = Service.GET_NHS_NUMBER
    payload = payload_of(service, only(service, EVERYTHING)).replace(text, f'{text[:3]}<x xmlns="urn:x"/>{text[3:]}')
    problem = refusal(service, payload, schemas)
    assert (problem.field, problem.rule) == (field, "holds elements")


@pytest.mark.rule("SMSP-PDS-009", "SMSP-PDS-002")
def test_a_local_identifier_must_not_pass_for_an_nhs_number(schemas: Schemas) -> None:
    service = Service.GET_NHS_NUMBER
    fields = replace(only(service, EVERYTHING), local_identifier=(OID.NHS_NUMBER, NHS_NUMBER))
    assert refusal(service, payload_of(service, fields), schemas).field == "Person.LocalIdentifier"
