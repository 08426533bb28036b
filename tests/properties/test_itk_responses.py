"""Whatever a patient's record holds, the response is valid and reads back as what was put in."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import shared_file
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import LocalIdentifier
from smsp_provider.domain.nhs_number import NHSNumber, is_nhs_number
from smsp_provider.domain.outcomes import Outcome, PatientDetails, ResponseAddress, ResponseName, ResponseTelecom
from smsp_provider.domain.response_codes import ResponseCode, Vocabulary
from smsp_provider.domain.service import Service
from smsp_provider.domain.telecom_value import is_schema_url
from smsp_provider.itk.read_back import read_back
from smsp_provider.itk.response import ResponseIds, build_response
from smsp_provider.itk.services import SERVICES
from smsp_provider.xmlcore.parse import parse
from smsp_provider.xmlcore.schemas import Schemas

VOCABULARY = Vocabulary({code: f"CODE-{n:04}" for n, code in enumerate(ResponseCode)}, dict.fromkeys(ResponseCode, ""))
NASTY = st.text(st.sampled_from("<>&\"'\r\n\t \u00a0\u0085\u2028\u00e9\U0001f600]aA1%[]#:/\x00\x1f\ufffe"), max_size=12)
VALUES = NASTY | st.text(max_size=12)
OPTIONAL = st.none() | VALUES
UUIDS = st.uuids().map(lambda value: str(value).upper())
DATES = st.dates(min_value=date(1000, 1, 1)).map(HL7Date.of) | st.integers(1, 9999).map(
    lambda year: HL7Date(f"{year:04}")
)
NUMBERS = st.integers(0, 9_999_999_999).map("{:010}".format).filter(is_nhs_number).map(NHSNumber)
IN_XML = st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff")
LOCAL = st.builds(
    LocalIdentifier, st.sampled_from(["1.2.826.0.1", "2.16.840.1.113883.2.1.3.2.4.18.24"]), st.text(IN_XML, min_size=1)
)
SCHEMES = st.sampled_from(["tel:", "mailto:", "fax:", "", "TEL:", "tel://", "mailto:%", " tel:"])
URLS = st.builds("{}{}".format, SCHEMES, VALUES)
LINES = st.tuples(VALUES, VALUES, VALUES, VALUES, VALUES)
DETAILS = st.builds(
    PatientDetails,
    nhs_number=NUMBERS,
    name=st.none() | st.builds(ResponseName, OPTIONAL, st.lists(VALUES, max_size=2).map(tuple), OPTIONAL),
    addresses=st.lists(
        st.builds(ResponseAddress, st.sampled_from(["H", "TMP", "PST"]), LINES, OPTIONAL), max_size=3
    ).map(tuple),
    telecoms=st.lists(
        st.builds(ResponseTelecom, st.sampled_from([None, "H", "HP", "MC"]), URLS.filter(is_schema_url)), max_size=4
    ).map(tuple),
    gender=st.none() | st.sampled_from("0129"),
    date_of_birth=st.none() | DATES,
    date_of_death=st.none() | DATES,
    practice=st.none() | st.from_regex(r"[A-Z0-9]{3,8}", fullmatch=True),
)
DETAIL_SERVICES = {service for service in Service if SERVICES[service].response_root.startswith("getPatientDetails")}


@pytest.fixture(scope="module")
def own() -> Schemas:
    return Schemas()


@pytest.fixture(scope="module")
def official() -> Schemas:
    return Schemas(shared_file("spec/itk/xsd"))


@st.composite
def answers(draw: st.DrawFn) -> tuple[Service, Outcome, LocalIdentifier | None]:
    """A service, an outcome it may have, and a local identifier where its schema has room for one."""
    service, code = draw(st.sampled_from(Service)), draw(st.sampled_from(ResponseCode))
    local_identifier = None if service is Service.VERIFY_NHS_NUMBER else draw(st.none() | LOCAL)
    if draw(st.integers(0, 3)) == 0:
        return service, Outcome.without_data(code), local_identifier
    if service not in DETAIL_SERVICES:
        return service, Outcome(code, draw(NUMBERS)), local_identifier
    details = draw(DETAILS)
    return service, Outcome(code, details.nhs_number, details), local_identifier


def check(
    answer: tuple[Service, Outcome, LocalIdentifier | None], ids: ResponseIds, relates_to: str, schemas: Schemas
) -> None:
    service, outcome, local_identifier = answer
    document = build_response(
        service, outcome, ids=ids, relates_to=relates_to, vocabulary=VOCABULARY, local_identifier=local_identifier
    )
    facts = read_back(document, service, schemas)
    assert facts.valid, facts.findings
    assert facts.relates_to == relates_to
    assert facts.code == VOCABULARY.codes[outcome.code]
    number = outcome.nhs_number
    assert facts.nhs_numbers == (() if number is None else (number.digits,))
    assert facts.local_identifier == (None if number is None else local_identifier)
    born = None if outcome.details is None else outcome.details.date_of_birth
    assert facts.date_of_birth == (None if born is None else born.digits)
    if outcome.details is not None:
        assert values_of(document) == expected_values(outcome.details)


def carried(value: str) -> str:
    """What XML 1.0 can carry of a value."""
    return "".join(
        c for c in value if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )


def values_of(document: bytes) -> list[str]:
    """The texts of name, addresses and telecoms, in document order, by a way of its own."""
    found: list[str] = []
    for element in parse(document).iter("{urn:hl7-org:v3}*"):
        name = str(element.tag).rpartition("}")[2]
        if name in {"prefix", "given", "family", "postalCode", "streetAddressLine"}:
            found.append(element.text or "")
        elif name == "telecom":
            found.append(element.get("value", ""))
    return found


def expected_values(details: PatientDetails) -> list[str]:
    parts: list[str | None] = []
    if details.name is not None:
        parts += [details.name.prefix, *details.name.given, details.name.family]
    for address in details.addresses:
        parts += [address.postal_code, *address.lines]
    parts += [telecom.value for telecom in details.telecoms]
    return [carried(part) for part in parts if part is not None]


IDS = st.builds(ResponseIds, UUIDS, UUIDS, UUIDS)


@pytest.mark.rule("SMSP-VAL-004", "SMSP-PDS-006", "WS-ADR-09", "WS-VAL-01")
@given(answer=answers(), ids=IDS, relates_to=UUIDS)
def test_any_outcome_gives_a_valid_response_that_reads_back(
    answer: tuple[Service, Outcome, LocalIdentifier | None], ids: ResponseIds, relates_to: str, own: Schemas
) -> None:
    check(answer, ids, relates_to, own)


@pytest.mark.shared
@pytest.mark.rule("SMSP-VAL-004", "SMSP-PDS-006", "WS-VAL-01")
@given(answer=answers(), ids=IDS, relates_to=UUIDS)
def test_any_outcome_gives_a_response_that_the_published_schemas_take(
    answer: tuple[Service, Outcome, LocalIdentifier | None], ids: ResponseIds, relates_to: str, official: Schemas
) -> None:
    check(answer, ids, relates_to, official)


def telecom_verdict(value: str, schemas: Schemas) -> bool:
    """Whether a response with this telecom is valid, as the builder writes it."""
    number = NHSNumber("9990000018")
    details = PatientDetails(number, telecoms=(ResponseTelecom("H", value),))
    document = build_response(
        Service.GET_PATIENT_DETAILS,
        Outcome(ResponseCode.SUCCESS, number, details),
        ids=ResponseIds(*("2B7D9A36-0C1F-4E0C-AE7B-6F6D5A1E93C8",) * 3),
        relates_to="x",
        vocabulary=VOCABULARY,
        local_identifier=None,
    )
    return read_back(document, Service.GET_PATIENT_DETAILS, schemas).valid


PLAIN = st.builds("{}{}".format, st.sampled_from(["tel:", "mailto:"]), st.text(IN_XML, max_size=12)).filter(
    lambda value: "//" not in value
)


@pytest.mark.rule("SMSP-VAL-004")
@settings(max_examples=300)
@given(value=URLS | st.text(max_size=8))
def test_a_telecom_value_that_passes_is_never_refused_by_the_schema(value: str, own: Schemas) -> None:
    assert telecom_verdict(value, own) or not is_schema_url(value)


@pytest.mark.shared
@pytest.mark.rule("SMSP-VAL-004")
@settings(max_examples=300)
@given(value=URLS | st.text(max_size=8))
def test_a_telecom_value_that_passes_is_never_refused_by_the_published_schema(value: str, official: Schemas) -> None:
    assert telecom_verdict(value, official) or not is_schema_url(value)


@pytest.mark.rule("SMSP-PDS-006")
@settings(max_examples=300)
@given(value=PLAIN)
def test_a_plain_telecom_value_that_the_schema_takes_is_never_dropped(value: str, own: Schemas) -> None:
    assert is_schema_url(value) or not telecom_verdict(value, own)
