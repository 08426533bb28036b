"""Everything that the audit trail holds about one patient, under whichever NHS number."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from smsp_provider.audit.events import OperatorAct
from smsp_provider.audit.exchanges import Criteria, Happening, Place
from smsp_provider.audit.terms import TermKind, term
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.operators import OrganisationScope
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.storage.audit_search import AuditSearch

__all__ = ["PatientRecords", "records_of_patient"]

_AT_ONCE: Final = 500
_MOST_NUMBERS: Final = 20
"""A person has had a few numbers at most; what goes on beyond that is a mistake somewhere."""


class PatientRecords(NamedTuple):
    """What was found, the oldest first: exchanges, and what operators looked for; ``numbers`` in the order of finding.

    ``problems`` are of records that were looked at and cannot be trusted.
    """

    numbers: tuple[NHSNumber, ...]
    exchanges: tuple[Happening, ...]
    searches: tuple[Happening, ...]
    problems: tuple[str, ...]


def records_of_patient(
    search: AuditSearch, number: NHSNumber, scope: OrganisationScope, until: datetime
) -> PatientRecords:
    """What names this number, or one that PDS told it had replaced or had been replaced by.

    Raises:
        IndexUnusable: the index cannot be read.
        AuditUnavailable: the trail cannot be read.
    """
    numbers, found = [number], dict[Place, Happening]()
    problems: dict[str, None] = {}
    for following in numbers:
        clauses = (frozenset({term(TermKind.NHS_NUMBER, following.digits)}),)
        after = None
        while True:
            page = search.find(Criteria(clauses, until=until), scope, limit=_AT_ONCE, newest_first=False, after=after)
            problems |= dict.fromkeys(page.problems)
            for happening in page.found:
                found[happening.place] = happening
                numbers += [
                    other for other in _same_person(happening) if other not in numbers and len(numbers) < _MOST_NUMBERS
                ]
            after = page.after
            if after is None:
                break
    ordered = [found[place] for place in sorted(found)]
    return PatientRecords(
        tuple(numbers),
        tuple(happening for happening in ordered if happening.is_exchange),
        tuple(happening for happening in ordered if isinstance(happening.parts[0].record, OperatorAct)),
        tuple(problems),
    )


def _same_person(happening: Happening) -> Iterator[NHSNumber]:
    """The two numbers of an exchange in which PDS replaced the one by the other."""
    ending, asked, returned = happening.ending, happening.asked, happening.returned
    if ending is None or asked is None or returned is None:
        return
    if ending.patient.superseded or ending.response_code is ResponseCode.SUPERSEDED:
        yield asked
        yield returned
