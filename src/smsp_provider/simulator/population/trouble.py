"""People for whom Spine itself misbehaves: ask about them to see how a provider takes it."""

from typing import Final

from smsp_provider.simulator.faults import Fault, FaultKind
from smsp_provider.simulator.inbound import RETRIEVAL
from smsp_provider.simulator.population.book import GOOD, Answers, Book, number

__all__ = ["SLOW_SECONDS", "STUCK_SECONDS", "write"]

SLOW_SECONDS: Final = 1.0
"""A delay that every client should bear."""
STUCK_SECONDS: Final = 60.0
"""A delay that no client should bear."""

_UNAVAILABLE: Final = "SMSP-0004"
_UNUSABLE: Final = "SMSP-0002"
_OWN_FAULT: Final = "SMSP-9999"
_NOT_VERIFIED: Final = "DEMOG-0040"


def write(book: Book) -> None:
    """Faults of the line, of HTTP, of SOAP, of HL7, and lies."""
    _line(book)
    _http(book)
    _refusals(book)
    _content(book)
    _retrieval_only(book)


def _troubled(
    book: Book, serial: int, name: str, fault: Fault, code: str, title: str, answers: Answers | None = None
) -> None:
    """A person of whom every query meets the fault and every service answers ``code``."""
    kind = f"fault {fault.kind.value}"
    family, given = name.split()
    person = book.person(serial, family, given, "1", f"19{serial % 80 + 10}0601", fault=fault)
    met: Answers = {
        "cross_check": kind,
        "trace": kind,
        "retrieval": kind,
        "verify": code,
        "get_number": code,
        "by_number": code,
        "by_search": code,
    }
    book.good(title, person, answers=met | (answers or {}))


def _line(book: Book) -> None:
    book.theme = "Faults of the line"
    for serial, name, fault, code, title in (
        (801, "SLOWCOMBE IVO", Fault(FaultKind.DELAY, SLOW_SECONDS), GOOD, "one second late for every query"),
        (802, "STUCKLEY IVO", Fault(FaultKind.DELAY, STUCK_SECONDS), _UNAVAILABLE, "a minute late"),
        (803, "LATEMAN IVO", Fault(FaultKind.LATE, STUCK_SECONDS), _UNAVAILABLE, "worked out now, sent a minute later"),
        (804, "DROPPER IVO", Fault(FaultKind.DROP_AFTER_READING), _UNAVAILABLE, "connection reset after the request"),
        (805, "CUTLASSER IVO", Fault(FaultKind.CUT), _UNAVAILABLE, "connection reset in the middle of the answer"),
        (806, "TWICELY IVO", Fault(FaultKind.DUPLICATED), GOOD, "every answer sent twice"),
    ):
        _troubled(book, serial, name, fault, code, title)


def _http(book: Book) -> None:
    book.theme = "Faults of HTTP and SOAP"
    for serial, name, fault, code, title in (
        (811, "FIVEHUNDRED OTHO", Fault(FaultKind.HTTP_STATUS), _UNAVAILABLE, "HTTP 500 without a SOAP fault"),
        (812, "FIVEOTHREE OTHO", Fault(FaultKind.HTTP_STATUS, status=503), _UNAVAILABLE, "HTTP 503"),
        (
            813,
            "FOUROFOUR OTHO",
            Fault(FaultKind.HTTP_STATUS, status=404),
            _OWN_FAULT,
            "HTTP 404: no match is not meant",
        ),
        (814, "THREEOTWO OTHO", Fault(FaultKind.HTTP_STATUS, status=302), _OWN_FAULT, "HTTP 302"),
        (815, "PAGEWELL OTHO", Fault(FaultKind.HTML), _UNUSABLE, "an HTML page with HTTP 200"),
        (816, "PAGESICK OTHO", Fault(FaultKind.HTML, status=500), _UNAVAILABLE, "an HTML page with HTTP 500"),
        (817, "FAULTON OTHO", Fault(FaultKind.SOAP_FAULT, codes=("200",)), _UNAVAILABLE, "SOAP fault 200"),
        (
            818,
            "FAULTWAY OTHO",
            Fault(FaultKind.SOAP_FAULT, codes=("206", "208")),
            _UNAVAILABLE,
            "SOAP fault 206 and 208",
        ),
        (819, "FAULTLEY OTHO", Fault(FaultKind.SOAP_FAULT, codes=("101",)), _OWN_FAULT, "SOAP fault 101"),
        (820, "FAULTMIX OTHO", Fault(FaultKind.SOAP_FAULT, codes=("200", "300")), _OWN_FAULT, "SOAP fault 200 and 300"),
    ):
        _troubled(book, serial, name, fault, code, title)


def _refusals(book: Book) -> None:
    book.theme = "Refusals"
    refusal = FaultKind.REFUSAL
    for serial, name, fault, code, title in (
        (831, "NAUGHTON UMA", Fault(refusal, codes=("0",)), "SMSP-0001", "code 0"),
        (832, "TOOMANY UMA", Fault(refusal, codes=("2",)), "DEMOG-0007", "code 2"),
        (833, "TWENTYMAN UMA", Fault(refusal, codes=("20",)), "DEMOG-9999", "code 20, which nobody explains"),
        (834, "FIFTYMAN UMA", Fault(refusal, codes=("50",)), "DEMOG-9999", "code 50, which nobody explains"),
        (835, "FIELDLESS UMA", Fault(refusal, codes=("AT002",)), "SMSP-0001", "code AT002"),
        (836, "GEETOO UMA", Fault(FaultKind.GENERAL_REFUSAL), "DEMOG-9999", "general refusal GE002"),
        (837, "REJECTER UMA", Fault(FaultKind.REJECTION), _OWN_FAULT, "acknowledgement AR"),
    ):
        _troubled(book, serial, name, fault, code, title)


def _content(book: Book) -> None:
    book.theme = "Answers that cannot be used"
    for serial, name, fault, title in (
        (841, "TRUNCATER ESAU", Fault(FaultKind.TRUNCATED_XML), "XML that stops in the middle"),
        (842, "CHARSETTER ESAU", Fault(FaultKind.WRONG_CHARSET), "UTF-16 that says it is UTF-8"),
        (843, "ALIENER ESAU", Fault(FaultKind.UNCORRELATED), "an answer to somebody else's request"),
        (844, "SWITCHER ESAU", Fault(FaultKind.WRONG_INTERACTION), "an answer to another kind of query"),
    ):
        _troubled(book, serial, name, fault, _UNUSABLE, title)
    wrong = Fault(FaultKind.WRONG_PATIENT, nhs_number=number(3))
    by_number: Answers = {"verify": _NOT_VERIFIED, "by_number": _NOT_VERIFIED}
    _troubled(book, 845, "MIXUPPER ESAU", wrong, _UNUSABLE, "the record of somebody else", answers=by_number)


def _retrieval_only(book: Book) -> None:
    book.theme = "Faults of the retrieval only"
    for serial, family, kind, codes, code, title in (
        (851, "HALFWAYE", FaultKind.SOAP_FAULT, ("200",), _UNAVAILABLE, "SOAP fault 200"),
        (852, "HALFDONE", FaultKind.REFUSAL, ("1", "RT003"), _UNUSABLE, "the number is suddenly unknown"),
        (853, "HALFGONE", FaultKind.DROP_AFTER_READING, (), _UNAVAILABLE, "connection reset"),
        (854, "HALFMADE", FaultKind.HTML, (), _UNUSABLE, "an HTML page"),
    ):
        fault = Fault(kind, codes=codes, interaction=RETRIEVAL.request)
        person = book.person(serial, family, "CORA", "2", f"19{serial - 790}0601", fault=fault)
        book.good(title, person, answers=_later(code) | {"retrieval": f"fault {kind.value}"})
    wrong = Fault(FaultKind.WRONG_PATIENT, nhs_number=number(5), interaction=RETRIEVAL.request)
    person = book.person(855, "HALFSWAPPED", "CORA", "2", "19650601", fault=wrong)
    book.good("the record of somebody else", person, answers=_later(_UNUSABLE) | {"retrieval": "fault wrong-patient"})


def _later(code: str) -> Answers:
    """What the services answer that retrieve: getNHSNumber does too, to confirm what the trace found."""
    return {"get_number": code, "by_number": code, "by_search": code}
