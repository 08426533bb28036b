"""Does this record belong to these details? The comparison rules of the PDS mini services, pure.

Comparison everywhere: NFC on both sides (never NFKC, which would turn a full-width asterisk into a wildcard), without
regard to case, white space and punctuation significant (pds-services.md, field rules).
"""

import re
import unicodedata
from enum import Enum

from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.person import Name, PatientRecord
from smsp_provider.domain.requests import WILDCARD, ByNumber, BySearch

__all__ = [
    "Verdict",
    "contradicts_usual_name",
    "current_usual_name",
    "name_agrees",
    "postcode_agrees",
    "same_text",
    "verify",
]

_FAMILY_PREFIX = 3
_GIVEN_PREFIX = 1
_PARTS_TO_AGREE = 2


class Verdict(Enum):
    """What verification found."""

    # Members are unique, so that they can be told apart as any objects are; Enum's own way is a function in Python.
    __hash__ = object.__hash__

    RULE_1 = "date of birth agrees exactly"
    RULE_2 = "two date parts, surname and forename agree"
    NOT_VERIFIED = "not verified"


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def same_text(one: str, other: str) -> bool:
    """Whether two texts are the same under the comparison of the mini services."""
    return _folded(one) == _folded(other)


def _satisfies(held: str, sent: str) -> bool:
    """Whether a text is the one that was sent, or of its form: a wildcard is any number of characters, none too."""
    if WILDCARD not in sent:
        return same_text(sent, held)
    first, *middle, last = map(re.escape, _folded(sent).split(WILDCARD))
    # The first place where a middle part stands is as good as any: nothing is tried twice, however long the text is.
    between = "".join(f"(?>.*?{part})" for part in middle)
    return re.fullmatch(f"{first}{between}.*{last}", _folded(held), re.DOTALL) is not None


def _same_beginning(sent: str, held: str | None, length: int) -> bool:
    """Whether the first ``length`` characters agree; a text absent or too short to have them does not agree."""
    if held is None:
        return False
    if not (sent.isascii() and held.isascii()):
        sent, held = unicodedata.normalize("NFC", sent), unicodedata.normalize("NFC", held)
    return len(sent) >= length and len(held) >= length and _folded(sent[:length]) == _folded(held[:length])


def current_usual_name(record: PatientRecord, today: HL7Date) -> Name | None:
    """The first name in PDS order with use L that is current on ``today``."""
    return next((name for name in record.names if "L" in name.use and name.validity.is_current(today)), None)


def verify(request: ByNumber, record: PatientRecord, born: HL7Date | None, today: HL7Date) -> Verdict:
    """Verification rules 1 and 2 on a record whose date of birth, as read, is ``born`` (None = PDS holds none).

    Rule 1: the date of birth is the same day. Rule 2, only when both names were sent: two of year, month and day agree,
    and the first three characters of the surname, and the first of the forename, with the current usual name. A very
    restricted record can never be compared.
    """
    if born is None or record.is_very_restricted:
        return Verdict.NOT_VERIFIED
    if born == request.date_of_birth:
        return Verdict.RULE_1
    if request.family is None or request.given is None:
        return Verdict.NOT_VERIFIED
    name = current_usual_name(record, today)
    if (
        name is not None
        and _agreeing_parts(request.date_of_birth, born) >= _PARTS_TO_AGREE
        and _same_beginning(request.family, name.family, _FAMILY_PREFIX)
        and _same_beginning(request.given, _forename(name), _GIVEN_PREFIX)
    ):
        return Verdict.RULE_2
    return Verdict.NOT_VERIFIED


def _forename(name: Name) -> str | None:
    return name.given[0] if name.given else None


def _agreeing_parts(asked: HL7Date, held: HL7Date) -> int:
    """How many of year, month and day are known on both sides and equal."""
    pairs = ((asked.year, held.year), (asked.month, held.month), (asked.day, held.day))
    return sum(one is not None and one == other for one, other in pairs)


def contradicts_usual_name(request: ByNumber, record: PatientRecord, today: HL7Date) -> bool:
    """Whether a name that was sent disagrees with the current usual name (recorded, it does not refuse).

    Verification rule 1 ignores names by design; safety.md section 1 asks that the contradiction be on record.
    """
    name = current_usual_name(record, today)
    if name is None:
        return False
    return (request.family is not None and not _same_beginning(request.family, name.family, _FAMILY_PREFIX)) or (
        request.given is not None and not _same_beginning(request.given, _forename(name), _GIVEN_PREFIX)
    )


def name_agrees(request: BySearch, record: PatientRecord) -> bool:
    """Whether surname and forename, as far as sent, agree with one and the same name of the record, of any kind."""
    return any(_is_name(request, name) for name in record.names)


def _is_name(request: BySearch, name: Name) -> bool:
    if name.family is None or not _satisfies(name.family, request.family):
        return False
    if request.given is None:
        return True
    # Further forenames stand in elements of their own, or PDS holds them all in one: both readings are the person's.
    return bool(name.given) and (
        _satisfies(name.given[0], request.given) or _satisfies(" ".join(name.given), request.given)
    )


def postcode_agrees(request: BySearch, record: PatientRecord) -> bool:
    """Whether a postcode that was sent is that of an address of the record; one not sent agrees."""
    postcode = request.postcode
    return postcode is None or any(
        address.postal_code is not None and _satisfies(address.postal_code.strip(), postcode)
        for address in record.addresses
    )
