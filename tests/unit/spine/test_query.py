"""Queries as built: every value in its place, nothing else, and nothing that is not safe to send."""

from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from smsp_provider.domain.audit_identity import SpineAuthor
from smsp_provider.domain.failures import QueryNotBuilt
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_queries import AdvancedTrace, CrossCheckTrace, Retrieval, SimpleTrace, SpineQuery
from smsp_provider.spine.hl7v3.interactions import interaction_of
from smsp_provider.spine.hl7v3.query import MessageIds, Route, build_query
from spine_messages import (
    ASKED,
    AUTHOR,
    NAMESPACES,
    OWN_ASID,
    ROUTE,
    SyncQuery,
    authors,
    built,
    nasty_names,
    queries,
)
from spine_rules import PERSON, RULES, broken_rules

BORN = HL7Date("19571231")
NUMBER = NHSNumber("9000000009")
EXAMPLES: list[SyncQuery] = [
    SimpleTrace("SPECIMEN", "2", BORN, "ANNE", "ZZ99 3VZ"),
    SimpleTrace("SPECIMEN", "9", BORN),
    CrossCheckTrace(NUMBER, BORN, "SPECIMEN", "ANNE"),
    CrossCheckTrace(NUMBER, BORN),
    Retrieval(NUMBER),
]


def texts(root: etree._Element, path: str) -> list[str]:
    found = root.xpath(path, namespaces=NAMESPACES)
    assert isinstance(found, list)
    return [str(node.text if isinstance(node, etree._Element) else node) for node in found]


def parameters(root: etree._Element) -> list[tuple[str, str]]:
    """Element name and semantics text of each query parameter; the semantics text must come first."""
    query = root.xpath("//h:query", namespaces=NAMESPACES)[0]
    for parameter in query:
        assert etree.QName(parameter[0]).localname == "semanticsText"
    return [(etree.QName(parameter).localname, str(parameter[0].text)) for parameter in query]


def is_xml(name: str) -> bool:
    """Whether libxml2 takes the text."""
    try:
        etree.Element("e").text = name
    except ValueError:
        return False
    return "\ufffe" not in name and "\uffff" not in name


def normal(name: str) -> str:
    return " ".join(name.split())


@pytest.mark.rule("SMSP-MESSAGES-001", "SMSP-IG-003")
def test_the_header_addresses_spine_and_names_the_initiating_organisation() -> None:
    root = built(EXAMPLES[0])
    assert texts(root, "/s:Envelope/s:Header/w:MessageID") == [ASKED.soap]
    assert texts(root, "/s:Envelope/s:Header/w:Action") == ["urn:nhs:names:services:pdsquery/QUPA_IN000005UK01"]
    assert texts(root, "/s:Envelope/s:Header/w:To") == [ROUTE.endpoint_url]
    assert texts(root, "/s:Envelope/s:Header/w:From/w:Address") == [ROUTE.own_address]
    assert texts(root, "/s:Envelope/s:Header/w:ReplyTo/w:Address") == [ROUTE.own_address]
    assert texts(root, "//h:communicationFunctionRcv/h:device/h:id/@extension") == ["111122223333"] * 2
    assert texts(root, "//h:communicationFunctionSnd/h:device/h:id/@extension") == ["444455556666"] * 2
    assert texts(root, "//h:author1//h:id/@extension") == ["444455556666"]
    assert texts(root, "//h:versionCode/@code") == ["3NPfIT6.2.02"]
    assert texts(root, "/s:Envelope/s:Body/*/h:id/@root") == [ASKED.hl7]


def test_every_kind_of_query_has_an_interaction() -> None:
    examples = [*EXAMPLES, AdvancedTrace("SM*", "1", BORN)]
    assert {type(query) for query in examples} == set(get_args(SpineQuery))
    assert len({interaction_of(query) for query in examples}) == len(get_args(SpineQuery))


def test_without_an_own_address_from_and_reply_to_are_left_out() -> None:
    root = built(EXAMPLES[0], route=Route(ROUTE.endpoint_url, ROUTE.spine_asid))
    assert texts(root, "//w:From|//w:ReplyTo") == []


@pytest.mark.rule("SMSP-AUDIT-003", "SMSP-IG-003")
def test_a_person_is_named_with_all_three_ids() -> None:
    root = built(Retrieval(NUMBER), AUTHOR)
    assert texts(root, "//h:author//h:id/@root") == [
        "1.2.826.0.1285.0.2.0.67",
        "1.2.826.0.1285.0.2.0.65",
        "1.2.826.0.1285.0.2.1.104",
    ]
    assert texts(root, "//h:author//h:id/@extension") == [AUTHOR.role_profile, AUTHOR.user, AUTHOR.role]


@pytest.mark.rule("SMSP-IG-003")
@pytest.mark.parametrize("query", EXAMPLES, ids=range(len(EXAMPLES)))
def test_without_a_person_there_is_the_system_author_only(query: SyncQuery) -> None:
    root = built(query, None)
    assert texts(root, "//h:author") == []
    assert texts(root, "//h:author1//h:id/@extension") == ["444455556666"]
    assert list(broken_rules(root)) == [PERSON]


@pytest.mark.rule("SMSP-MESSAGES-001")
@pytest.mark.parametrize("query", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_rule_of_spine_is_kept(query: SyncQuery) -> None:
    assert list(broken_rules(built(query))) == []


def test_a_simple_trace_asks_for_everything_it_knows() -> None:
    root = built(EXAMPLES[0])
    assert parameters(root) == [
        ("person.address", "Person.address"),
        ("person.administrativeGenderCode", "Person.administrativeGenderCode"),
        ("person.birthTime", "Person.birthTime"),
        ("person.name", "Person.name"),
    ]
    assert texts(root, "//h:postalCode") == ["ZZ99 3VZ"]
    assert texts(root, "//h:person.administrativeGenderCode/h:value/@code") == ["2"]
    assert texts(root, "//h:person.birthTime/h:value/@value") == ["19571231"]
    assert texts(root, "//h:person.name/h:value/@use") == ["L"]
    assert texts(root, "//h:given|//h:family") == ["ANNE", "SPECIMEN"]


def test_a_simple_trace_without_forename_and_postcode_has_neither_element() -> None:
    root = built(EXAMPLES[1])
    assert texts(root, "//h:given|//h:person.address") == []
    assert texts(root, "//h:family") == ["SPECIMEN"]


def test_a_cross_check_names_number_date_and_name() -> None:
    root = built(EXAMPLES[2])
    assert [name for name, _ in parameters(root)] == ["person.birthTime", "person.id", "person.name"]
    assert texts(root, "//h:person.id/h:value/@root") == ["2.16.840.1.113883.2.1.4.1"]
    assert texts(root, "//h:person.id/h:value/@extension") == ["9000000009"]
    assert texts(root, "//h:given|//h:family") == ["ANNE", "SPECIMEN"]


@pytest.mark.parametrize("given_name", [None, "ANNE"])
def test_a_cross_check_without_a_family_name_has_no_name(given_name: str | None) -> None:
    root = built(CrossCheckTrace(NUMBER, BORN, None, given_name))
    assert [name for name, _ in parameters(root)] == ["person.birthTime", "person.id"]


def test_a_retrieval_asks_for_all_data_and_no_history() -> None:
    root = built(EXAMPLES[4])
    assert parameters(root) == [
        ("historicDataIndicator", "HistoricDataIndicator"),
        ("person.id", "Person.id"),
        ("retrievalItem", "person.allData"),
    ]
    assert texts(root, "//h:historicDataIndicator/h:value/@code") == ["0"]
    assert texts(root, "//h:historicDataIndicator/h:value/@codeSystem") == ["2.16.840.1.113883.2.1.3.2.4.17.36"]


@pytest.mark.rule("SMSP-MESSAGES-001")
@given(query=queries, author=authors)
def test_any_query_keeps_every_rule_and_gives_its_values_back(query: SyncQuery, author: SpineAuthor | None) -> None:
    root = built(query, author)
    assert set(broken_rules(root)) <= (set() if author is not None else {PERSON})
    if isinstance(query, SimpleTrace | CrossCheckTrace):
        assert texts(root, "//h:birthTime/@value|//h:person.birthTime/h:value/@value") == [query.date_of_birth.digits]
    if isinstance(query, Retrieval | CrossCheckTrace):
        assert texts(root, "//h:person.id/h:value/@extension") == [query.nhs_number.digits]
    if not isinstance(query, Retrieval) and query.family is not None:
        assert texts(root, "//h:family") == [normal(query.family)]
        assert texts(root, "//h:given") == ([normal(query.given)] if query.given is not None else [])
    if isinstance(query, SimpleTrace):
        assert texts(root, "//h:postalCode") == ([query.postcode] if query.postcode is not None else [])
        assert texts(root, "//h:person.administrativeGenderCode/h:value/@code") == [query.gender]
    if author is not None:
        assert texts(root, "//h:author//h:id/@extension") == [author.role_profile, author.user, author.role]


@given(family=st.text(max_size=35), given_name=st.text(max_size=35))
def test_any_text_is_sent_whole_or_not_at_all(family: str, given_name: str) -> None:
    root = None
    with suppress(QueryNotBuilt):
        root = built(SimpleTrace(family, "1", BORN, given_name))
    if root is not None:
        assert texts(root, "//h:given|//h:family") == [normal(given_name), normal(family)]
    else:
        assert any(not normal(name) or "*" in name or not is_xml(name) for name in (family, given_name))


@pytest.mark.parametrize("name", ["A\x00B", "A\x0bB", "A\x1dB", "A\ud800B", "A\uffffB", "", "  ", "SM*", "A\ufffeB"])
@pytest.mark.parametrize("place", ["family", "given", "postcode"])
def test_a_value_that_would_be_altered_is_not_sent(name: str, place: str) -> None:
    values = {"family": "SPECIMEN", "given": "ANNE", "postcode": "ZZ99 3VZ", place: name}
    with pytest.raises(QueryNotBuilt):
        built(SimpleTrace(values["family"], "1", BORN, values["given"], values["postcode"]))


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (AdvancedTrace("SM*", "1", HL7Date("1957")), "asynchronous"),
        (SimpleTrace("SPECIMEN", "1", HL7Date("195712")), "partial date"),
        (SimpleTrace("SPECIMEN", "3", BORN), "gender"),
        (SimpleTrace("SPECIMEN", "", BORN), "gender"),
        (SimpleTrace("SPECIMEN", "1", BORN, None, "ZZ993VZ"), "no space"),
        (CrossCheckTrace(NUMBER, HL7Date("1957")), "partial date"),
    ],
    ids=["advanced", "partial-date", "gender", "no-gender", "postcode", "cross-check-partial-date"],
)
def test_what_a_synchronous_query_cannot_say_is_not_built(query: SyncQuery, reason: str) -> None:
    with pytest.raises(QueryNotBuilt, match=reason):
        build_query(query, ASKED, "20260314150926", ROUTE, OWN_ASID, None)


@pytest.mark.parametrize(
    ("asid", "author"),
    [
        (ASID(""), None),
        (ASID(" "), None),
        (OWN_ASID, SpineAuthor("", "121212121212", "R")),
        (OWN_ASID, SpineAuthor("777788889999", "", "R")),
        (OWN_ASID, SpineAuthor("777788889999", "121212121212", "")),
    ],
    ids=["no-asid", "blank-asid", "no-role-profile", "no-user", "no-role"],
)
def test_ids_that_are_missing_are_never_sent_empty(asid: ASID, author: SpineAuthor | None) -> None:
    with pytest.raises(QueryNotBuilt, match="an identifier is empty"):
        build_query(Retrieval(NUMBER), ASKED, "20260314150926", ROUTE, asid, author)


@given(nasty_names)
def test_addresses_and_ids_cannot_break_the_envelope(hostile: str) -> None:
    route = Route(hostile, ASID("111122223333"), hostile)
    document = build_query(Retrieval(NUMBER), MessageIds(hostile, hostile), hostile, route, OWN_ASID, None)
    root = etree.fromstring(document)
    assert len(texts(root, "/s:Envelope/s:Header/w:MessageID")) == 1
    assert texts(root, "//w:To") == [hostile]


def test_each_rule_can_fail() -> None:
    """The rules are no rules if a message without anything in it keeps them."""
    message = '<QUPA_IN000005UK01 xmlns="urn:hl7-org:v3" bad=""/>'
    empty = etree.fromstring(f'<s:Envelope xmlns:s="{NAMESPACES["s"]}"><s:Body>{message}</s:Body></s:Envelope>')
    lenient = {"S11", "S14", "G06", "G07", "P02", "P03", "P04", "P05", "P11", "P12", "T04"}
    expected = {rule for rule, (messages, _) in RULES.items() if "QUPA_IN000005UK01" in messages}
    assert set(broken_rules(empty)) == expected - lenient
