"""Queries as requests of PDS FHIR, read back with the standard library's parser of query strings."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_samples import A
from smsp_provider.domain.failures import QueryNotBuilt
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.spine_queries import AdvancedTrace, CrossCheckTrace, Retrieval, SimpleTrace
from smsp_provider.spine.pds_fhir.query import RETRIEVE, SEARCH, interaction_of, organisation_header, request_target

BORN = HL7Date("19620317")


def asked(query: SimpleTrace | AdvancedTrace) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(request_target("/R4", query)).query, keep_blank_values=True, strict_parsing=True)


def test_a_number_is_a_path_whatever_is_asked_about_it() -> None:
    for query in (CrossCheckTrace(A, BORN, "QUIMBLE", "ORLA"), Retrieval(A)):
        assert request_target("/base/FHIR/R4", query) == f"/base/FHIR/R4/Patient/{A.digits}"
        assert interaction_of(query) == RETRIEVE


def test_a_search_names_what_was_sent_and_asks_for_one_match() -> None:
    query = SimpleTrace("O'QUIMBLE & SON", "2", BORN, "ORLA+JUNE", "ZZ1 1ZZ")
    assert interaction_of(query) == SEARCH
    assert asked(query) == [
        ("family", "O'QUIMBLE & SON"),
        ("given", "ORLA+JUNE"),
        ("birthdate", "eq1962-03-17"),
        ("gender", "female"),
        ("address-postalcode", "ZZ1 1ZZ"),
        ("_max-results", "1"),
    ]


def test_what_was_not_sent_is_not_asked_for() -> None:
    assert [name for name, _ in asked(SimpleTrace("QUIMBLE", "1", BORN))] == [
        "family",
        "birthdate",
        "gender",
        "_max-results",
    ]


@pytest.mark.rule("SMSP-PDS-010")
def test_a_wildcard_is_sent_natively_and_escaped_for_the_url() -> None:
    target = request_target("/R4", AdvancedTrace("QU*", "2", BORN, "OR*", "ZZ*"))
    assert "family=QU%2A&given=OR%2A" in target
    assert "address-postalcode=ZZ%2A" in target


@pytest.mark.parametrize(
    ("born", "bounds"),
    [
        ("1962", ["ge1962-01-01", "le1962-12-31"]),
        ("196202", ["ge1962-02-01", "le1962-02-28"]),
        ("196402", ["ge1964-02-01", "le1964-02-29"]),
        ("196212", ["ge1962-12-01", "le1962-12-31"]),
    ],
    ids=["a year", "a February", "a February with 29 days", "a December"],
)
def test_a_partial_date_is_a_range_of_days(born: str, bounds: list[str]) -> None:
    found = asked(AdvancedTrace("QUIMBLE", "2", HL7Date(born)))
    assert [value for name, value in found if name == "birthdate"] == bounds


def test_every_gender_has_its_word_and_no_other_is_sent() -> None:
    words = {code: dict(asked(SimpleTrace("QUIMBLE", code, BORN)))["gender"] for code in "1290"}
    assert words == {"1": "male", "2": "female", "9": "other", "0": "unknown"}
    with pytest.raises(QueryNotBuilt):
        request_target("/R4", SimpleTrace("QUIMBLE", "3", BORN))


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=35))
def test_no_name_can_become_syntax(name: str) -> None:
    found = dict(asked(SimpleTrace(name, "2", BORN)))
    assert set(found) == {"family", "birthdate", "gender", "_max-results"}
    bare = found["family"]
    for character in "\\,|$":
        bare = bare.replace("\\" + character, "\0" if character == "\\" else "")
    assert not set(bare) & set(",|$\\")
    target = request_target("/R4", SimpleTrace(name, "2", BORN))
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target


def test_the_organisation_must_be_one_that_a_header_can_carry() -> None:
    assert organisation_header(ODSCode("x26")) == "X26"
    for code in (None, ODSCode(""), ODSCode("X26\r\nX"), ODSCode("A" * 33), ODSCode("\u0130X26")):
        with pytest.raises(QueryNotBuilt):
            organisation_header(code)
