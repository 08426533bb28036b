"""What PDS holds about a person, as an answer brought it: raw enough to be judged, masked against leaks.

Items that history may hold several times (names, addresses, telecoms, practices) keep the order of the answer, because
"the first in PDS order" is a rule of the mini services.
"""

from typing import Final

from smsp_provider.domain.hl7_date import HL7Date, InvalidDate
from smsp_provider.domain.immutable import frozen
from smsp_provider.domain.masking import Masked

__all__ = ["Address", "Name", "PatientRecord", "Practice", "Telecom", "Validity"]

_OPEN: Final = frozenset({"", "N"})
_VERY_RESTRICTED: Final = frozenset({"Y", "V"})


@frozen
class Validity(Masked):
    """When an item applies, from ``low`` to ``high``, both included (None: open); and whether it can be current at all.

    The ends are HL7 timestamps as PDS sent them, and are read when they are asked for: of the many items of a record
    few ever are. ``withdrawn`` is set when PDS has closed the item (its system effective date has an end);
    ``understood`` is cleared when its period is no single interval.
    """

    low: str | None = None
    high: str | None = None
    withdrawn: bool = False
    understood: bool = True

    @property
    def readable(self) -> bool:
        """Whether the period could be understood and its ends are dates: an item without is never used."""
        return self._ends() is not None

    def is_current(self, today: HL7Date) -> bool:
        """Started, not ended on ``today`` (a full date), not withdrawn (HL7 V3 pack, choosing the current item)."""
        ends = self._ends()
        if ends is None or self.withdrawn:
            return False
        low, high = ends
        return (low is None or not low.begins_after(today)) and (high is None or not high.ends_before(today))

    def _ends(self) -> tuple[HL7Date | None, HL7Date | None] | None:
        """Both ends as dates; None where the period cannot be read."""
        if not self.understood:
            return None
        try:
            low = None if self.low is None else HL7Date.from_timestamp(self.low)
            high = None if self.high is None else HL7Date.from_timestamp(self.high)
        except InvalidDate:
            return None
        return low, high


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
