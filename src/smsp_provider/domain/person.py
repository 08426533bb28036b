"""What PDS holds about a person, as an answer brought it: raw enough to be judged, masked against leaks.

Items that history may hold several times (names, addresses, telecoms, practices) keep the order of the answer, because
"the first in PDS order" is a rule of the mini services.
"""

from typing import Final

from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.immutable import frozen
from smsp_provider.domain.masking import Masked

__all__ = ["Address", "Name", "PatientRecord", "Practice", "Telecom", "Validity"]

_OPEN: Final = frozenset({"", "N"})
_VERY_RESTRICTED: Final = frozenset({"Y", "V"})


@frozen
class Validity(Masked):
    """When an item applies, from ``low`` to ``high``, both included (None: open); and whether it can be current at all.

    ``withdrawn`` is set when PDS has closed the item (its system effective date has an end); ``readable`` is cleared
    when its period could not be understood, and such an item is never used.
    """

    low: HL7Date | None = None
    high: HL7Date | None = None
    withdrawn: bool = False
    readable: bool = True

    def is_current(self, today: HL7Date) -> bool:
        """Started, not ended on ``today`` (a full date), not withdrawn (HL7 V3 pack, choosing the current item)."""
        started = self.low is None or not self.low.begins_after(today)
        ended = self.high is not None and self.high.ends_before(today)
        return self.readable and not self.withdrawn and started and not ended


@frozen
class Name(Masked):
    """A person's name. ``use`` holds the codes of the name's use ("L" = usual); None = absent, "" = blank."""

    use: tuple[str, ...]
    family: str | None
    given: tuple[str, ...] = ()
    prefix: str | None = None
    validity: Validity = Validity()


@frozen
class Address(Masked):
    """A postal address; ``lines`` keeps blanks, because a line's position has a meaning."""

    use: tuple[str, ...]
    lines: tuple[str, ...]
    postal_code: str | None
    validity: Validity = Validity()


@frozen
class Telecom(Masked):
    """A telephone number or other address in URL form, as PDS wrote it."""

    use: tuple[str, ...]
    value: str
    validity: Validity = Validity()


@frozen
class Practice(Masked):
    """The registered practice by its ODS code."""

    ods_code: str
    validity: Validity = Validity()


@frozen
class PatientRecord(Masked):
    """One patient node of one answer, immutable and carrying its own number(s) (safety rule W9).

    ``nhs_numbers`` are the texts found at the exact place of the NHS number, unjudged. ``birth_time`` and
    ``deceased_time`` are texts as sent: None = absent, "" = blank. ``confidentiality`` are the confidentiality codes
    (S sensitive, B business reason, Y stop noted; FHIR R, V). ``superseded_numbers`` are the numbers that this record
    says it replaces.
    """

    nhs_numbers: tuple[str, ...]
    birth_time: str | None = None
    deceased_time: str | None = None
    gender: str | None = None
    names: tuple[Name, ...] = ()
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()
    practices: tuple[Practice, ...] = ()
    confidentiality: tuple[str, ...] = ()
    superseded_numbers: tuple[str, ...] = ()

    @property
    def is_sensitive(self) -> bool:
        """Whether location data must not be given out; an unknown confidentiality code counts as sensitive."""
        return not _OPEN.issuperset(self.confidentiality)

    @property
    def is_very_restricted(self) -> bool:
        """Whether nothing of the record may be compared or given out (Y, FHIR V)."""
        return not _VERY_RESTRICTED.isdisjoint(self.confidentiality)
