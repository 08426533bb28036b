"""Our queries against the published material: the MIM 6.2.02 schemas and the restated rules of Spine."""

import csv
from functools import cache

import pytest
from hypothesis import given, settings
from lxml import etree

from reference import shared_file
from smsp_provider.domain.audit_identity import SpineAuthor
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SimpleTrace
from spine_messages import NAMESPACES, SyncQuery, authors, built, queries
from spine_rules import NOT_OURS, RULES, broken_rules

pytestmark = [pytest.mark.shared, pytest.mark.rule("SMSP-MESSAGES-001")]

BORN, NUMBER = HL7Date("19571231"), NHSNumber("9000000009")
LIKE_THE_SAMPLES: dict[str, SyncQuery] = {
    "QUPA_IN000005UK01": SimpleTrace("SPECIMEN", "2", BORN, "ANNE", "ZZ99 3VZ"),
    "QUPA_IN000008UK02": Retrieval(NUMBER),
    "QUPA_IN000014UK01": CrossCheckTrace(NUMBER, BORN, "SPECIMEN", "ANNE"),
}
REQUESTS = {
    "QUPA_IN000005UK01": "request_QUPA_IN000005UK01_simple-trace.soap.xml",
    "QUPA_IN000008UK02": "request_QUPA_IN000008UK02_retrieval.soap.xml",
    "QUPA_IN000014UK01": "request_QUPA_IN000014UK01_cross-check.soap.xml",
}


@cache
def schema(interaction: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(shared_file(f"spec/spine/xsd/mim-6.2.02/Schemas/{interaction}.xsd")))


def message_of(envelope: etree._Element) -> etree._Element:
    found = envelope.xpath("/s:Envelope/s:Body/*[1]", namespaces=NAMESPACES)
    assert isinstance(found, list)
    element = found[0]
    assert isinstance(element, etree._Element)
    # The schemas speak of the message alone, with nothing around it.
    return etree.fromstring(etree.tostring(element))


@settings(deadline=None, max_examples=200)
@given(query=queries, author=authors)
def test_any_query_is_valid_against_its_schema(query: SyncQuery, author: SpineAuthor | None) -> None:
    message = message_of(built(query, author))
    schema(etree.QName(message).localname).assertValid(message)


def test_every_restated_rule_is_checked_or_listed_as_not_ours() -> None:
    with shared_file("spec/spine/tkw-rules/spine-validation-rules.csv").open(encoding="utf-8", newline="") as rows:
        restated = {row["rule"] for row in csv.DictReader(rows)}
    assert set(RULES) | NOT_OURS == restated
    assert not set(RULES) & NOT_OURS


@pytest.mark.parametrize("interaction", sorted(REQUESTS))
def test_the_published_requests_keep_the_rules_as_we_check_them(interaction: str) -> None:
    sample = etree.parse(shared_file(f"spec/spine/samples/authored/{REQUESTS[interaction]}")).getroot()
    assert list(broken_rules(sample)) == []
    schema(interaction).assertValid(message_of(sample))


@pytest.mark.parametrize("interaction", sorted(REQUESTS))
def test_our_requests_have_the_elements_of_the_published_ones(interaction: str) -> None:
    """The same elements and attributes in the same order; the values are those of the test."""
    sample = etree.parse(shared_file(f"spec/spine/samples/authored/{REQUESTS[interaction]}")).getroot()
    assert shape(built(LIKE_THE_SAMPLES[interaction])) == shape(sample)


def shape(element: etree._Element) -> list[tuple[str, list[str]]]:
    return [(str(one.tag), sorted(str(key) for key in one.attrib)) for one in element.iter("{*}*")]
