"""What can be asked of PDS, in the words of PDS. How it is written down is the business of a connector."""

from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.nhs_number import NHSNumber

__all__ = ["AdvancedTrace", "CrossCheckTrace", "QueryByNumber", "Retrieval", "SimpleTrace", "SpineQuery"]


@immutable
class CrossCheckTrace(Masked):
    """Does this number belong to somebody with this date of birth (and name)?"""

    nhs_number: NHSNumber
    date_of_birth: HL7Date
    family: str | None = None
    given: str | None = None


@immutable
class Retrieval(Masked):
    """The record under this number, without its history."""

    nhs_number: NHSNumber


@immutable
class SimpleTrace(Masked):
    """Who has exactly these details today? The date is a full one and nothing holds a wildcard."""

    family: str
    gender: str
    date_of_birth: HL7Date
    given: str | None = None
    postcode: str | None = None


@immutable
class AdvancedTrace(Masked):
    """Who may be meant by these details? Alphanumeric: ``*`` is a wildcard, the date may be partial."""

    family: str
    gender: str
    date_of_birth: HL7Date
    given: str | None = None
    postcode: str | None = None


QueryByNumber = CrossCheckTrace | Retrieval
SpineQuery = CrossCheckTrace | Retrieval | SimpleTrace | AdvancedTrace
