"""What a service answers: a code, and with some codes a patient. Built by the services, judged by the gate."""

from dataclasses import dataclass
from enum import Enum

from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.immutable import frozen
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.response_codes import ResponseCode

__all__ = ["Evidence", "Outcome", "PatientDetails", "Repair", "ResponseAddress", "ResponseName", "ResponseTelecom"]


class Evidence(Enum):
    """Why the patient is taken to be the one asked for; recorded in the audit."""

    DATE_OF_BIRTH = "rule-1-date-of-birth"
    DATE_PARTS_AND_NAME = "rule-2-two-date-parts-and-name"
    TRACE = "trace-current-data"


@dataclass(frozen=True, slots=True)
class Repair:
    """A safe repair of what PDS sent: ``field`` and ``action``, without the value (SMSP-ERR-006).

    ``truncation`` marks that one of several items was taken where the response has room for one.
    """

    field: str
    action: str
    truncation: bool = False


@frozen
class ResponseName(Masked):
    """The current usual name; None parts are left out, empty ones are written empty."""

    prefix: str | None
    given: tuple[str, ...]
    family: str | None


@frozen
class ResponseAddress(Masked):
    """An address with exactly five lines; ``use`` is H, TMP or PST."""

    use: str
    lines: tuple[str, str, str, str, str]
    postal_code: str | None


@frozen
class ResponseTelecom(Masked):
    """A telecom as PDS had it; ``use`` None where it had none."""

    use: str | None
    value: str


@frozen
class PatientDetails(Masked):
    """The details of one record; ``nhs_number`` is that record's own (safety rule W9).

    ``date_of_birth`` and ``date_of_death`` None = PDS silent. ``practice`` is an ODS code.
    """

    nhs_number: NHSNumber
    name: ResponseName | None = None
    addresses: tuple[ResponseAddress, ...] = ()
    telecoms: tuple[ResponseTelecom, ...] = ()
    gender: str | None = None
    date_of_birth: HL7Date | None = None
    date_of_death: HL7Date | None = None
    practice: str | None = None


@frozen
class Outcome(Masked):
    """A business outcome.

    ``nhs_number`` is set only where the answer names a patient, ``details`` only where details were asked for and may
    be given. ``reason`` is for audit and operator (field, rule or event; never a value). ``name_contradiction`` tells
    that the number was verified by date of birth although a name that was sent disagrees with the usual one.
    """

    code: ResponseCode
    nhs_number: NHSNumber | None = None
    details: PatientDetails | None = None
    evidence: Evidence | None = None
    name_contradiction: bool = False
    repairs: tuple[Repair, ...] = ()
    reason: str = ""

    @property
    def is_truncated(self) -> bool:
        """Whether one of several items was taken somewhere: the vocabulary may have a code of its own for that."""
        return bool(self.repairs) and any(repair.truncation for repair in self.repairs)

    @classmethod
    def without_data(cls, code: ResponseCode, reason: str = "") -> "Outcome":
        """An answer that carries its code and nothing of a patient."""
        return cls(code, reason=reason)
