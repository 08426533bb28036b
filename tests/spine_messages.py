"""Messages of Spine for tests: queries as values, answers as text, and an independent view of a built query."""

from datetime import date

from hypothesis import strategies as st
from lxml import etree

from smsp_provider.domain.audit_identity import SpineAuthor
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_answers import SpineAnswer
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SimpleTrace
from smsp_provider.spine.hl7v3.answer import Question, read_answer
from smsp_provider.spine.hl7v3.interactions import RETRIEVAL, Interaction
from smsp_provider.spine.hl7v3.query import MessageIds, Route, build_query

__all__ = [
    "ASKED",
    "AUTHOR",
    "NAMESPACES",
    "OWN_ASID",
    "ROUTE",
    "SyncQuery",
    "answer_to",
    "authors",
    "built",
    "envelope",
    "message",
    "nasty_names",
    "nhs_numbers",
    "patient",
    "queries",
    "read",
]

NAMESPACES = {
    "s": "http://schemas.xmlsoap.org/soap/envelope/",
    "w": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "h": "urn:hl7-org:v3",
    "re": "http://exslt.org/regular-expressions",
}
ASKED = MessageIds("uuid:3A0F6C52-91D4-4E0B-8F37-5B2C7D9E1A01", "6E2B8D14-7C3A-4F95-A0E8-1D4C5F6A7B02")
ROUTE = Route("https://pds.example.invalid/syncservice-pds/pds", ASID("111122223333"), "https://smsp.example.invalid/")
OWN_ASID = ASID("444455556666")
AUTHOR = SpineAuthor("777788889999", "121212121212", "S0010:G0020:R0030")
CREATED = "20260314150926"

SyncQuery = SimpleTrace | CrossCheckTrace | Retrieval


def built(query: SyncQuery, author: SpineAuthor | None = AUTHOR, route: Route = ROUTE) -> etree._Element:
    """The query as an independent parser sees it."""
    return etree.fromstring(build_query(query, ASKED, CREATED, route, OWN_ASID, author))


def _with_check_digit(first_nine: str) -> NHSNumber | None:
    total = sum((10 - place) * int(digit) for place, digit in enumerate(first_nine))
    check = 11 - total % 11
    return None if check == 10 else NHSNumber(first_nine + str(check % 11))


nhs_numbers = (
    st.integers(0, 999_999_999)
    .map(lambda number: _with_check_digit(f"{number:09d}"))
    .filter(lambda number: number is not None)
    .map(lambda number: number or NHSNumber("9000000009"))
)
_allowed = st.characters(exclude_categories=["Cs"], exclude_characters="*\ufffe\uffff").filter(
    lambda character: character >= " " or character in "\t\n\r"
)
nasty_names = (
    st.one_of(
        st.text(_allowed, min_size=1, max_size=35),
        st.sampled_from(
            ["O'SIX & <B>", "]]>", '"', "&amp;", "<!-- -->", "A]]><x/>", "é\u0301", "\U0001d54f ß", "a\tb", "\r\n x"]
        ),
    )
    .filter(lambda name: bool(name.strip()))
    .filter(lambda name: len(name) <= 35)
)
_dates = st.dates(min_value=date(1000, 1, 1)).map(HL7Date.of)
_postcodes = st.from_regex(r"[A-Za-z0-9]{2,4} [A-Za-z0-9]{3}", fullmatch=True)
_twelve_digits = st.from_regex(r"[0-9]{12}", fullmatch=True)
authors = st.none() | st.builds(SpineAuthor, _twelve_digits, _twelve_digits, nasty_names)
queries: st.SearchStrategy[SyncQuery] = st.one_of(
    st.builds(
        SimpleTrace,
        nasty_names,
        st.sampled_from("0129"),
        _dates,
        st.none() | nasty_names,
        st.none() | _postcodes,
    ),
    st.builds(CrossCheckTrace, nhs_numbers, _dates, st.none() | nasty_names, st.none() | nasty_names),
    st.builds(Retrieval, nhs_numbers),
)


def envelope(body: str, relates_to: str | None = ASKED.soap) -> str:
    """An answering envelope with whatever body."""
    related = f"<wsa:RelatesTo>{relates_to}</wsa:RelatesTo>" if relates_to is not None else ""
    return (
        f'<e:Envelope xmlns:e="{NAMESPACES["s"]}" xmlns:wsa="{NAMESPACES["w"]}">'
        "<e:Header><wsa:MessageID>uuid:0B1C2D3E-4F50-4617-8293-A4B5C6D7E8F9</wsa:MessageID>"
        f"{related}</e:Header><e:Body>{body}</e:Body></e:Envelope>"
    )


def message(
    *patients: str,
    name: str = RETRIEVAL.answer,
    kind: str = "AA",
    details: str = "",
    references: tuple[str, ...] = (ASKED.hl7,),
    reasons: str = "",
    response: str | None = "OK",
) -> str:
    """An answer message with the patients given, each in a subject of its own."""
    refs = "".join(f'<messageRef><id root="{root}"/></messageRef>' for root in references)
    subjects = "".join(f"<subject>{one}</subject>" for one in patients)
    subject = f"<subject><PDSResponse>{subjects}</PDSResponse></subject>" if patients else ""
    outcome = f'<queryAck><queryResponseCode code="{response}"/></queryAck>' if response is not None else ""
    return (
        f'<{name} xmlns="{NAMESPACES["h"]}"><id root="0B1C2D3E-4F50-4617-8293-A4B5C6D7E8F9"/>'
        f'<versionCode code="whatever"/><acknowledgement typeCode="{kind}">{details}{refs}</acknowledgement>'
        f"<ControlActEvent>{reasons}{subject}{outcome}</ControlActEvent></{name}>"
    )


def patient(content: str = "", person: str = "", number: str = "9000000009") -> str:
    """A patient node: ``content`` beside and ``person`` inside of ``patientPerson``."""
    return (
        f'<patientRole><id root="2.16.840.1.113883.2.1.4.1" extension="{number}"/>{content}'
        f"<patientPerson>{person}</patientPerson></patientRole>"
    )


def read(document: str | bytes, interaction: Interaction = RETRIEVAL) -> SpineAnswer:
    """Read a whole answer as one to ``ASKED``."""
    data = document.encode("utf-8") if isinstance(document, str) else document
    return read_answer(data, Question(interaction, ASKED, (ASKED.soap, ASKED.hl7)))


def answer_to(*patients: str, **parts: str) -> SpineAnswer:
    """The answer to a retrieval with these patients; ``parts`` as in :func:`message`."""
    return read(envelope(message(*patients, **parts)))  # type: ignore[arg-type]  # only texts are passed on
