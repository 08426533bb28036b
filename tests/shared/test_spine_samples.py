"""Every public and authored answer of Spine is read, and says what the map of fields says it says."""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
from lxml import etree

from reference import shared_file
from smsp_provider.domain.failures import Refused, Unreadable
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.person import PatientRecord
from smsp_provider.domain.spine_answers import Acknowledgement, SpineAnswer
from smsp_provider.spine.hl7v3.interactions import (
    ADVANCED_TRACE,
    CROSS_CHECK_TRACE,
    RETRIEVAL,
    SIMPLE_TRACE,
    Interaction,
)
from spine_messages import ASKED, NAMESPACES, read

pytestmark = [pytest.mark.shared, pytest.mark.rule("SMSP-ERR-004", "SMSP-MESSAGES-001")]

SAMPLES = "spec/spine/samples"
_PLACEHOLDER = re.compile(r"__[A-Z0-9_]+__")
_MUSTACHE = re.compile(r"\{\{[a-z_]+\}\}")
TODAY = HL7Date("20240105")


@dataclass(frozen=True)
class Expected:
    """What one sample says: who, how many names, addresses, telecoms and practices each, and which issues."""

    interaction: Interaction
    numbers: tuple[str, ...] = ()
    items: tuple[tuple[int, int, int, int], ...] = ()
    issues: tuple[str, ...] = ()
    acknowledgement: Acknowledgement = Acknowledgement.ACCEPTED
    superseded: tuple[str, ...] = ()


REFUSED = Acknowledgement.ERROR
_CAPTURE = "captures/QUPA_IN000011UK02_1433768912_38F636E1-8886-4723-A70F-DFB3401551FA_ebxml.msg.txt"
POSITIVE = {
    "authored/response_QUPA_IN000007UK01_deceased.soap.xml": Expected(
        SIMPLE_TRACE, ("9449310394",), ((1, 1, 1, 1),), ("3",)
    ),
    "authored/response_QUPA_IN000009UK03_superseded-deceased.soap.xml": Expected(
        RETRIEVAL, ("9000000017",), ((2, 3, 3, 1),), ("24",), superseded=("9000000009",)
    ),
    "authored/response_QUPA_IN000011UK02_two-matches.payload.xml": Expected(
        ADVANCED_TRACE, ("9000000009", "9000000017"), ((1, 1, 0, 1),) * 2, ("3",)
    ),
    "mth/QUPA_IN000007UK01_sync_template.xml": Expected(SIMPLE_TRACE, ("942111111111",), ((1, 1, 3, 1),), ()),
    "mth/QUPA_IN000007UK01_sync_template1.xml": Expected(SIMPLE_TRACE, ("9449310394",), ((2, 1, 6, 1),), ("3",)),
    "mth/QUPA_IN000007UK01_sync_template2.xml": Expected(SIMPLE_TRACE, ("9449310602",), ((1, 1, 6, 1),), ("3",)),
    "mth/QUPA_IN000009UK03_sync_template.xml": Expected(RETRIEVAL, ("5552448715",), ((1, 1, 0, 0),)),
    "mth/QUPA_IN000009UK03_sync_template1.xml": Expected(RETRIEVAL, ("9449310742",), ((1, 5, 0, 1),)),
    "mth/QUPA_IN000009UK03_sync_template2.xml": Expected(RETRIEVAL, ("9449310602",), ((2, 1, 6, 1),)),
    "mth/QUPA_IN000009UK03_sync_template3.xml": Expected(RETRIEVAL, ("9449310580",), ((2, 1, 4, 1),)),
    "mth/QUPA_IN000009UK03_sync_template4.xml": Expected(RETRIEVAL, ("9449310300",), ((1, 1, 0, 1),)),
    "mth/QUPA_IN000009UK03_sync_template_sensitive_response.xml": Expected(
        RETRIEVAL, ("9407807541",), ((0, 0, 0, 0),), ("9",)
    ),
    "mth/QUPA_IN000011UK02_async_template.xml": Expected(ADVANCED_TRACE, ("9449310742",), ((1, 2, 0, 1),), ("3",)),
    "mth/QUPA_IN000011UK02_async_template1.xml": Expected(ADVANCED_TRACE, ("9449310300",), ((2, 1, 0, 1),), ("3",)),
    "mth/QUPA_IN000015UK02_sync_template.xml": Expected(CROSS_CHECK_TRACE, ("9449310645",), ((1, 1, 6, 1),)),
    "mth/QUPA_IN000015UK02_sync_template1.xml": Expected(CROSS_CHECK_TRACE, ("9449310645",), ((1, 1, 6, 1),)),
    "mth/QUPA_IN000015UK02_sync_template2.xml": Expected(CROSS_CHECK_TRACE, ("9449310106",), ((1, 1, 0, 1),)),
    "mth/QUPA_IN000015UK02_sync_template3.xml": Expected(CROSS_CHECK_TRACE, ("9449310726",), ((1, 1, 0, 1),)),
    _CAPTURE: Expected(ADVANCED_TRACE, ("9401170622",), ((5, 4, 9, 3),), ("3",)),
}
NO_MATCH_SIMPLE = Expected(SIMPLE_TRACE, issues=("1", "ST004"), acknowledgement=REFUSED)
NO_MATCH_CHECK = Expected(CROSS_CHECK_TRACE, issues=("1", "NHSNCC002"), acknowledgement=REFUSED)
GENERAL = Expected(RETRIEVAL, issues=("GE002",), acknowledgement=REFUSED)
NEGATIVE = {
    "authored/response_QUQI_IN010000UK14_retrieval-no-match.soap.xml": Expected(
        RETRIEVAL, issues=("1", "RT003"), acknowledgement=REFUSED
    ),
    "authored/response_QUQI_IN010000UK14_simple-trace-no-match.soap.xml": NO_MATCH_SIMPLE,
    "mth/QUQI_IN010000UK14_sync_template.xml": NO_MATCH_SIMPLE,
    "mth/QUQI_IN010000UK14_sync_template1.xml": NO_MATCH_SIMPLE,
    "mth/QUPA_IN000014UK01_QUQI_IN010000UK14_sync_template.xml": NO_MATCH_CHECK,
    "mth/QUQI_IN010000UK14_async_template.xml": Expected(
        ADVANCED_TRACE, issues=("1", "AT006"), acknowledgement=REFUSED
    ),
    "mth/MCCI_IN010000UK13_1_template.xml": GENERAL,
    "mth/MCCI_IN010000UK13_async_template.xml": GENERAL,
    "mth/MCCI_IN010000UK13_sync_template.xml": GENERAL,
}
FAULTS = {
    "mhs/soap_fault_single_error.xml": ("200",),
    "mhs/soap_fault_that_should_be_retried.xml": ("206",),
    "mhs/soapfault_response_multiple_errors.xml": ("200", "201"),
    "mth/SoapFault_Template.xml": ("101",),
}
UNREADABLE = {
    "mhs/ebxml_fault_single_error.xml": "no known interaction",
    "mhs/sync_outbound_response_QUPA_IN050000UK32.mustache.txt": "no known interaction",
    "mth/ebXMLError_template.xml": "well-formed",
    "mth/spine-ebxmlack-template.xml": "no known interaction",
    "spinetools/ebXMLError_template.xml": "well-formed",
}
_VALUES = {
    "__ERROR_VALUE_CODE_LITERAL__": "GE002",
    "__ERROR_VALUE_CODE_LITERAL1__": "GE002",
    "__SOAP_ERROR_ERRORCODE__": "101",
}
_REFERENCES = {"__ORIGINAL_MSGID_XPATH__", "__ORIG_MESSAGEID__", "__ACKNOWLEDGED_MESSAGEID_XPATH__"}


def filled(text: str) -> str:
    """The text with the placeholders of the simulator filled: references with our id, the rest with plain values."""

    def value(match: re.Match[str]) -> str:
        tag = match.group()
        if tag == "__ORIGINAL_MESSAGEID__":
            return ASKED.soap
        return ASKED.hl7 if tag in _REFERENCES else _VALUES.get(tag, "7D3E5F60-1A2B-4C3D-8E4F-5A6B7C8D9E0F")

    return _MUSTACHE.sub(ASKED.hl7, _PLACEHOLDER.sub(value, text))


@cache
def document(sample: str) -> bytes:
    """A sample as a whole SOAP message; templates and payloads are put into the simulator's own wrapper."""
    text = shared_file(f"{SAMPLES}/{sample}").read_text(encoding="utf-8")
    if sample == _CAPTURE:
        start = text.index("<QUPA_IN000011UK02")
        text = text[start : text.index("</QUPA_IN000011UK02>") + len("</QUPA_IN000011UK02>")]
    if "Envelope" not in text:
        wrapper = shared_file(f"{SAMPLES}/mth/response_wrapper_no_timestamp.txt").read_text(encoding="utf-8")
        text = wrapper.replace("__PAYLOAD_BODY__", re.sub(r"<\?xml[^>]*\?>", "", text))
    return filled(text).strip().encode("utf-8")


def answer(sample: str, expected: Expected) -> SpineAnswer:
    return read(document(sample), expected.interaction)


ANSWERS = sorted((POSITIVE | NEGATIVE).items())


def counts(record: PatientRecord) -> tuple[int, int, int, int]:
    return (len(record.names), len(record.addresses), len(record.telecoms), len(record.practices))


@pytest.mark.parametrize(("sample", "expected"), ANSWERS, ids=[name for name, _ in ANSWERS])
def test_an_answer_says_what_we_expect(sample: str, expected: Expected) -> None:
    found = answer(sample, expected)
    assert found.acknowledgement is expected.acknowledgement
    assert found.query_ok is (sample in POSITIVE)
    assert tuple(issue.code for issue in found.issues) == expected.issues
    assert all(issue.qualifier == ("WG" if sample in POSITIVE else "ER") for issue in found.issues)
    assert tuple(number for record in found.records for number in record.nhs_numbers) == expected.numbers
    assert tuple(number for record in found.records for number in record.superseded_numbers) == expected.superseded
    assert tuple(counts(record) for record in found.records) == expected.items
    if not sample.startswith("authored") and sample != _CAPTURE:
        assert [reference.found for reference in found.references] == [ASKED.soap, ASKED.hl7]


def strings(node: etree._Element, path: str) -> list[str]:
    found = node.xpath(path, namespaces=NAMESPACES)
    assert isinstance(found, list)
    return [str(value) for value in found]


def elements(node: etree._Element, path: str) -> list[etree._Element]:
    found = node.xpath(path, namespaces=NAMESPACES)
    assert isinstance(found, list)
    return [value for value in found if isinstance(value, etree._Element)]


def only(values: list[str]) -> str | None:
    """The first of what an XPath found, None where it found nothing."""
    return next(iter(values), None)


@cache
def field_map() -> dict[str, dict[str, str]]:
    with shared_file("spec/spine/response-field-map.csv").open(encoding="utf-8", newline="") as rows:
        return {row["field"]: row for row in csv.DictReader(rows)}


@pytest.mark.parametrize("sample", sorted(POSITIVE))
def test_every_field_is_what_the_map_of_fields_finds(sample: str) -> None:
    expected = POSITIVE[sample]
    name = expected.interaction.answer

    def path(field: str) -> str:
        stated = field_map()[field][name]
        return "self::node()[false()]" if stated == "absent" else stated

    message = elements(etree.fromstring(document(sample)), f"//h:{name}")[0]
    found = answer(sample, expected)
    patients = elements(message, path("patient"))
    assert len(patients) == len(found.records)
    assert found.query_ok is (strings(message, path("query outcome")) == ["OK"])
    assert [issue.code for issue in found.issues] == [
        node.get("code") for node in elements(message, path("detected issues"))
    ]
    for node, record in zip(patients, found.records, strict=True):
        assert list(record.nhs_numbers) == strings(node, path("NHS number"))
        assert record.gender == only(strings(node, path("gender")))
        assert record.birth_time == only(strings(node, path("date of birth")))
        assert record.deceased_time == only(strings(node, path("date of death")))
        assert list(record.superseded_numbers) == strings(node, path("superseded numbers"))
        assert [practice.ods_code for practice in record.practices] == strings(node, path("GP practice code"))
        assert set(strings(node, path("sensitivity"))) <= set(record.confidentiality)
        check_items(node, record, path)


def check_items(node: etree._Element, record: PatientRecord, path: Callable[[str], str]) -> None:
    for name, written in zip(record.names, elements(node, path("name")), strict=True):
        assert list(name.use) == written.get("use", "").split()
        assert list(name.given) == [one.text or "" for one in elements(written, "h:given")]
        assert name.family == only([one.text or "" for one in elements(written, "h:family")])
        assert name.prefix == only([one.text or "" for one in elements(written, "h:prefix")])
        assert name.validity.is_current(TODAY) is current(written, "h:validTime")
    for address, written in zip(record.addresses, elements(node, path("address")), strict=True):
        assert list(address.use) == written.get("use", "").split()
        assert list(address.lines) == [one.text or "" for one in elements(written, "h:streetAddressLine")]
        assert address.postal_code == only([one.text or "" for one in elements(written, "h:postalCode")])
        assert address.validity.is_current(TODAY) is current(written, "h:useablePeriod")
    for telecom, written in zip(record.telecoms, elements(node, path("telecom")), strict=True):
        assert list(telecom.use) == written.get("use", "").split()
        assert telecom.value == written.get("value")
        assert telecom.validity.is_current(TODAY) is current(written, "h:useablePeriod")


def current(item: etree._Element, period: str) -> bool:
    """Whether an item is current, worked out on strings: open in PDS, begun, not ended."""
    closed = elements(
        item, "ancestor::*[contains(local-name(), 'PartOfWhole')][1]/*/h:systemEffectiveDate/h:value/h:high"
    )
    low = max(strings(item, f"{period}/h:low/@value"), default="0")
    high = min(strings(item, f"{period}/h:high/@value"), default="9")
    return not closed and low <= TODAY.digits <= high


@pytest.mark.rule("SMSP-PDS-006")
def test_the_sensitive_sample_is_sensitive() -> None:
    sample = "mth/QUPA_IN000009UK03_sync_template_sensitive_response.xml"
    (record,) = answer(sample, POSITIVE[sample]).records
    assert record.is_sensitive
    assert record.is_very_restricted


@pytest.mark.parametrize("sample", sorted(FAULTS))
def test_faults_are_refusals_with_their_codes(sample: str) -> None:
    with pytest.raises(Refused) as caught:
        read(document(sample))
    assert caught.value.codes == FAULTS[sample]


@pytest.mark.parametrize("sample", sorted(UNREADABLE))
def test_what_is_no_synchronous_answer_is_unreadable(sample: str) -> None:
    with pytest.raises(Unreadable, match=UNREADABLE[sample]):
        read(document(sample))


def test_no_answer_sample_is_left_out() -> None:
    """Whatever in the folders can be an answer stands in one of the tables above."""
    known = set(POSITIVE) | set(NEGATIVE) | set(FAULTS) | set(UNREADABLE)
    folder = shared_file(SAMPLES)
    marks = re.compile(r"<(\w+:)?Fault>|QUPA_IN0000(07UK01|09UK03|11UK02|15UK02)|QUQI_IN010000UK14|MCCI_IN010000UK13")
    held = {
        path.relative_to(folder).as_posix()
        for path in sorted(folder.glob("*/*"))
        if path.suffix in (".xml", ".txt") and marks.search(path.read_text(encoding="utf-8"))
    }
    no_answers = {
        # Lists of rules, endpoints and message patterns.
        "mth/PDS2008A_Ruleset.txt",
        "mth/unreliableAsyncMessages.map.txt",
        "itktrunk/urlresolver_opentest.txt",
    }
    assert held - no_answers <= known
