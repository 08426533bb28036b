"""Invented people, records and answers for the tests of the domain, the services and the gate.

Nothing here uses the modules under mutation (gate, matching, nhs_number) but for the type of the NHS number: the same
builders serve the mutation tests.
"""

from dataclasses import replace
from typing import Final

from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import LocalIdentifier
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.person import Address, Name, PatientRecord, Practice, Telecom, Validity
from smsp_provider.domain.requests import ByNumber, BySearch
from smsp_provider.domain.response_codes import PDSCodeMap, PDSCodeRow, ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import Acknowledgement, DetectedIssue, ExchangeIds, Reference, SpineAnswer


def digits(serial: int) -> str:
    """The NHS number of the range reserved for tests (999) with this serial, or of the next serial that has one."""
    while True:
        text = f"999{serial:06d}"
        check = -sum(int(digit) * (10 - place) for place, digit in enumerate(text)) % 11
        if check < 10:
            return text + str(check)
        serial += 1


A: Final = NHSNumber(digits(100))
B: Final = NHSNumber(digits(200))
C: Final = NHSNumber(digits(300))
D: Final = NHSNumber(digits(400))

TODAY: Final = HL7Date("20240615")
BORN: Final = HL7Date("19620317")
LOCAL: Final = LocalIdentifier("2.16.840.1.113883.2.1.3.2.4.18.24", "invented-1")

ENDED: Final = Validity(high="20240614")
FUTURE: Final = Validity(low="20240616")
WITHDRAWN: Final = Validity(withdrawn=True)
UNREADABLE: Final = Validity(understood=False)

USUAL: Final = Name(("L",), "QUIMBLE", ("ORLA", "JUNE"), "MS")
HOME: Final = Address(("H",), ("", "1 FIRST STREET", "", "TOWN", "COUNTY"), "ZZ1 1ZZ")


def record(number: NHSNumber = A, /, **changes: object) -> PatientRecord:
    """An ordinary living patient; ``changes`` replace fields of the record."""
    plain = PatientRecord(
        nhs_numbers=(number.digits,),
        birth_time=BORN.digits,
        gender="2",
        names=(USUAL,),
        addresses=(HOME,),
        telecoms=(Telecom(("H",), "tel:01130000000"),),
        practices=(Practice("Z99999"),),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # the tests name fields of the record


def by_number(service: Service = Service.VERIFY_NHS_NUMBER, /, **changes: object) -> ByNumber:
    """A request about A that agrees with :func:`record`."""
    plain = ByNumber(service, A, BORN, "QUIMBLE", "ORLA", LOCAL)
    return replace(plain, **changes)  # type: ignore[arg-type]  # the tests name fields of the request


def by_search(service: Service = Service.GET_NHS_NUMBER, /, **changes: object) -> BySearch:
    """A search that agrees with :func:`record`."""
    plain = BySearch(service, BORN, "2", "QUIMBLE", "ORLA", "ZZ1 1ZZ", LOCAL)
    return replace(plain, **changes)  # type: ignore[arg-type]  # the tests name fields of the request


EXPECTED_ID: Final = "6A1B3C52-0D7E-4F1A-9A53-2B1D00C0FFEE"
OTHER_ID: Final = "6A1B3C52-0D7E-4F1A-9A53-2B1D00C0FFED"


def answer(*records: PatientRecord, **changes: object) -> SpineAnswer:
    """A positive, correlated answer with these records; ``changes`` replace fields of the answer."""
    plain = SpineAnswer(
        references=(
            Reference("RelatesTo", EXPECTED_ID, f"uuid:{EXPECTED_ID}"),
            Reference("messageRef", EXPECTED_ID, EXPECTED_ID.lower()),
        ),
        acknowledgement=Acknowledgement.ACCEPTED,
        query_ok=True,
        issues=(),
        records=records,
        exchange=ExchangeIds("QUPA_IN000000UK00", (EXPECTED_ID,)),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # the tests name fields of the answer


def refusal(*codes: str) -> SpineAnswer:
    """A correlated refusal by PDS with these codes as errors."""
    return answer(acknowledgement=Acknowledgement.ERROR, query_ok=False, issues=errors(*codes))


def errors(*codes: str) -> tuple[DetectedIssue, ...]:
    """Reasons that PDS marks as errors."""
    return tuple(DetectedIssue(code, "ER") for code in codes)


def warnings(*codes: str) -> tuple[DetectedIssue, ...]:
    """Reasons that PDS marks as warnings."""
    return tuple(DetectedIssue(code, "WG") for code in codes)


CODE_MAP: Final = PDSCodeMap(
    (
        PDSCodeRow(ResponseCode.NO_MATCH, frozenset({"1", "RT003"})),
        PDSCodeRow(ResponseCode.MULTIPLE_MATCHES, frozenset({"7"})),
        PDSCodeRow(ResponseCode.SUPERSEDED, frozenset({"17", "44"})),
        PDSCodeRow(ResponseCode.INVALIDATED, frozenset({"22"})),
        PDSCodeRow(ResponseCode.NOT_VERIFIED, frozenset({"40"})),
        PDSCodeRow(ResponseCode.NOT_NEW_STYLE, frozenset({"42"})),
    )
)
