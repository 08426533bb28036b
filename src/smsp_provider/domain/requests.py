"""The five requests: the fields as sent, the rules they must keep, and what a service works with.

Source: PDS mini services, field rules (pds-services.md); every breach is answered SMSP-0001 (SMSP-VAL-001 to 003,
SMSP-PDS-010). A breach names field and rule for the audit and the operator, never the value.
"""

import re
import unicodedata
from typing import Final, NoReturn

from smsp_provider.domain.hl7_date import HL7Date, InvalidDate
from smsp_provider.domain.identifiers import LocalIdentifier
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.nhs_number import InvalidNHSNumber, NHSNumber
from smsp_provider.domain.service import Service

__all__ = ["WILDCARD", "ByNumber", "BySearch", "InputInvalid", "RequestFields", "ServiceRequest", "check_fields"]

WILDCARD: Final = "*"
_MAX_NAME: Final = 35
_MIN_VERIFY_FAMILY: Final = 3
_MAX_POSTCODE: Final = 8
_BY_NUMBER: Final = frozenset({Service.VERIFY_NHS_NUMBER, Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER})
_GENDERS: Final = frozenset("0129")
_POSTCODE: Final = re.compile(r"[A-Za-z0-9]+ [A-Za-z0-9]+")
_BEFORE_WILDCARD: Final = 2


class InputInvalid(Exception):
    """The request cannot be acted on: SMSP-0001. ``field`` and ``rule`` say what is wrong, without the value."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


@immutable
class RequestFields(Masked):
    """The fields of a request payload as text, exactly as sent; None where the element is absent."""

    date_of_birth: str | None = None
    gender: str | None = None
    nhs_number: str | None = None
    family: str | None = None
    given: str | None = None
    postcode: str | None = None
    local_identifier: LocalIdentifier | None = None


@immutable
class ByNumber(Masked):
    """A request about one NHS number: verify it against the details, and perhaps give the record."""

    service: Service
    nhs_number: NHSNumber
    date_of_birth: HL7Date
    family: str | None = None
    given: str | None = None
    local_identifier: LocalIdentifier | None = None


@immutable
class BySearch(Masked):
    """A request for the one patient with these details."""

    service: Service
    date_of_birth: HL7Date
    gender: str
    family: str
    given: str | None = None
    postcode: str | None = None
    local_identifier: LocalIdentifier | None = None

    @property
    def needs_advanced_trace(self) -> bool:
        """Whether a wildcard or a partial date is in the way of the simple trace."""
        texts = (self.family, self.given or "", self.postcode or "")
        return not self.date_of_birth.is_full or any(WILDCARD in text for text in texts)


ServiceRequest = ByNumber | BySearch


def check_fields(service: Service, fields: RequestFields, today: HL7Date) -> ServiceRequest:
    """Turn the fields of a schema-valid payload into a request, or say which rule is broken.

    ``today`` is the current day in Europe/London, of full precision.

    Raises:
        InputInvalid: the first rule broken, in the order date of birth, NHS number, names, gender, postcode.
    """
    if service in _BY_NUMBER or (fields.nhs_number is not None and service is Service.GET_PATIENT_DETAILS):
        return _by_number(service, fields, today)
    return _by_search(service, fields, today)


def _by_number(service: Service, fields: RequestFields, today: HL7Date) -> ByNumber:
    date_of_birth = _date_of_birth(fields.date_of_birth, today, partial=False)
    if fields.nhs_number is None:
        _refuse("Person.NHSNumber", "is missing")
    try:
        nhs_number = NHSNumber(fields.nhs_number)
    except InvalidNHSNumber:
        _refuse("Person.NHSNumber", "is not ten digits with a valid check digit")
    family = _name("Person.Name/family", fields.family, wildcards=False)
    if family is not None and len(family.strip()) < _MIN_VERIFY_FAMILY:
        _refuse("Person.Name/family", "has fewer than 3 characters")
    given = _name("Person.Name/given", fields.given, wildcards=False)
    return ByNumber(service, nhs_number, date_of_birth, family, given, fields.local_identifier)


def _by_search(service: Service, fields: RequestFields, today: HL7Date) -> BySearch:
    date_of_birth = _date_of_birth(fields.date_of_birth, today, partial=service is Service.GET_NHS_NUMBER)
    family = _name("Person.Name/family", fields.family, wildcards=True)
    if family is None:
        _refuse("Person.Name/family", "is missing")
    given = _name("Person.Name/given", fields.given, wildcards=True)
    if given is None and service is Service.GET_PATIENT_DETAILS:
        _refuse("Person.Name/given", "is missing")
    if fields.gender is None:
        _refuse("Person.Gender", "is missing")
    if fields.gender not in _GENDERS:
        _refuse("Person.Gender", "is not in the vocabulary")
    postcode = _postcode(fields.postcode)
    return BySearch(service, date_of_birth, fields.gender, family, given, postcode, fields.local_identifier)


def _refuse(field: str, rule: str) -> NoReturn:
    # Raised "from None", so that no exception in between can carry the value into a traceback.
    raise InputInvalid(field, rule) from None


def _date_of_birth(text: str | None, today: HL7Date, *, partial: bool) -> HL7Date:
    field = "Person.DateOfBirth"
    if text is None:
        _refuse(field, "is missing")
    try:
        born = HL7Date(text)
    except InvalidDate:
        _refuse(field, "is not a real date of 8 digits" if not partial else "is not a real date of 4, 6 or 8 digits")
    if not partial and not born.is_full:
        _refuse(field, "is not a real date of 8 digits")
    if born.begins_after(today):
        _refuse(field, "lies in the future")
    return born


def _sent(text: str | None) -> str | None:
    """The text in NFC; None where nothing but blanks was sent. Outer blanks stay: white space is significant."""
    if text is None or not text.strip():
        return None
    return unicodedata.normalize("NFC", text)


def _name(field: str, text: str | None, *, wildcards: bool) -> str | None:
    name = _sent(text)
    if name is None:
        return None
    if wildcards:
        # A search asks Spine, which knows no doubled or outer blanks (rule P11): what is compared is what was asked.
        name = " ".join(name.split())
    if len(name) > _MAX_NAME:
        _refuse(field, "has more than 35 characters")
    if WILDCARD in name:
        _check_wildcards(field, name.strip(), allowed=wildcards)
    return name


def _postcode(text: str | None) -> str | None:
    field = "Person.Postcode"
    sent = _sent(text)
    if sent is None:
        return None
    postcode = sent.strip()
    if WILDCARD in postcode:
        _check_wildcards(field, postcode, allowed=True)
        return postcode
    if len(postcode) > _MAX_POSTCODE:
        _refuse(field, "has more than 8 characters")
    if _POSTCODE.fullmatch(postcode) is None:
        _refuse(field, "is not letters and digits with exactly one space")
    return postcode


def _check_wildcards(field: str, text: str, *, allowed: bool) -> None:
    """Each ``*`` of a text must have two others somewhere before it, no ``*`` beside it, and not be a whole word."""
    if not allowed:
        _refuse(field, "holds a wildcard")
    first = text.index(WILDCARD)
    if first < _BEFORE_WILDCARD or WILDCARD * 2 in text:
        _refuse(field, "holds a wildcard without two characters before it")
    if WILDCARD in text.split():
        _refuse(field, "holds a wildcard for a whole word")
