"""How the population is written down: people with sensible defaults, and scenarios with what they must answer."""

from dataclasses import dataclass, field, replace
from typing import Final, TypedDict, Unpack

from smsp_provider.domain.masking import Masked
from smsp_provider.simulator.faults import Fault
from smsp_provider.simulator.numbers import POPULATION, number_at
from smsp_provider.simulator.records import (
    ALWAYS,
    RelatedPerson,
    Span,
    SpineAddress,
    SpineName,
    SpinePatient,
    SpinePractice,
    SpineTelecom,
    SupersededStyle,
)

__all__ = [
    "GOOD",
    "Answers",
    "Ask",
    "Book",
    "Expected",
    "Facts",
    "Scenario",
    "Sent",
    "address",
    "number",
    "telecom",
    "usual",
]

GOOD: Final = "SMSP-0000"
_TITLES: Final = {"1": "MR", "2": "MS"}


@dataclass(frozen=True, slots=True, repr=False)
class Ask(Masked):
    """What a client knows, and sends as far as a service takes it."""

    nhs_number: str | None = None
    date_of_birth: str | None = None
    family: str | None = None
    given: str | None = None
    gender: str | None = None
    postcode: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """The answers: first of the embedded Spine, query by query, then the response code of each service.

    A Spine answer is written as acknowledgement, NHS number where there is one, and reasons ("AA 9990000018 3",
    "AE 1 ST004"), or "fault" and its kind. None: the request does not make sense for this query or service.
    ``number`` is the NHS number that the services by number return where they succeed (None: as asked); a search
    returns the number of the trace.
    """

    cross_check: str | None = None
    trace: str | None = None
    retrieval: str | None = None
    verify: str | None = None
    get_number: str | None = None
    by_number: str | None = None
    by_search: str | None = None
    number: str | None = None

    @property
    def details(self) -> str | None:
        """getPatientDetails: by the number where one is sent, by search otherwise (pds-services.md)."""
        return self.by_search if self.by_number is None else self.by_number


@dataclass(frozen=True, slots=True)
class Scenario:
    """One request and its answers, under a theme and with a title that says what is special."""

    theme: str
    title: str
    ask: Ask
    expected: Expected


def number(serial: int) -> str:
    """The NHS number of the person with a serial (from 1); a serial never changes its number."""
    return number_at(POPULATION, serial - 1)


class Answers(TypedDict, total=False):
    """The fields of :class:`Expected`, as changes."""

    cross_check: str | None
    trace: str | None
    retrieval: str | None
    verify: str | None
    get_number: str | None
    by_number: str | None
    by_search: str | None
    number: str | None


class Sent(TypedDict, total=False):
    """The fields of :class:`Ask` but the number, as changes."""

    date_of_birth: str | None
    family: str | None
    given: str | None
    gender: str | None
    postcode: str | None


class Facts(TypedDict, total=False):
    """The fields of a record that a person may differ in from the defaults."""

    names: tuple[SpineName, ...]
    deceased_time: str | None
    death_status: str | None
    addresses: tuple[SpineAddress, ...]
    telecoms: tuple[SpineTelecom, ...]
    practices: tuple[SpinePractice, ...]
    related: tuple[RelatedPerson, ...]
    confidentiality: str | None
    invalidated: bool
    superseded_by: str | None
    superseded_on: str | None
    superseded_style: SupersededStyle
    one_hop: bool
    not_new_style: bool
    spine_compares: bool
    sends_history: bool
    fault: Fault | None


class AddressFacts(TypedDict, total=False):
    """The fields of an address that may differ from the defaults."""

    use: str
    lines: tuple[str, ...]
    postcode: str | None
    address_key: str | None
    description: str | None
    period: Span
    held: Span


def usual(
    family: str | None,
    *given: str,
    gender: str = "9",
    use: str = "L",
    suffix: str | None = None,
    period: Span = ALWAYS,
    held: Span = ALWAYS,
) -> SpineName:
    """A usual name, with a title that goes with the gender."""
    return SpineName(use, family, given, _TITLES.get(gender), suffix, period, held)


def address(serial: int, **changes: Unpack[AddressFacts]) -> SpineAddress:
    """A home address that nobody else has; its postcode area ZZ does not exist."""
    house, street = serial % 89 + 1, serial % 13
    plain = SpineAddress(
        "H",
        ("", f"{house} {_STREETS[street]}", "", _TOWNS[serial % 7], "NORTH WOLDSHIRE"),
        postcode=f"ZZ{serial % 90 + 10} {serial % 10}{_LETTERS[serial // 10 % 20]}{_LETTERS[serial // 7 % 20]}",
        period=Span(low="20100401"),
    )
    return replace(plain, **changes)


def telecom(value: str, use: str = "H", period: Span = ALWAYS, held: Span = ALWAYS) -> SpineTelecom:
    """A telecom, current unless said otherwise."""
    return SpineTelecom(use, value, period, held)


_LETTERS: Final = "ABDEFGHJLNPQRSTUWXYZ"
_STREETS: Final = (
    "CINDERPATH LANE",
    "OTTERHAW ROAD",
    "FALLOWGATE",
    "MILLRACE WALK",
    "THORNYBANK",
    "LARKHAM RISE",
    "QUARRYSIDE",
    "WICKETBROOK DRIVE",
    "DAMSON YARD",
    "SALLOW COURT",
    "BEACONTOP",
    "HERONSGARTH",
    "TIMBERWHARF",
)
_TOWNS: Final = ("UPPER WENLOW", "MARSKBY", "CALDERHOLT", "EASTHWAITE", "BRINDLEFORD", "SKELDON FEN", "PORT ARRAN")


@dataclass(slots=True)
class Book:
    """Collects people and scenarios, theme by theme."""

    theme: str = ""
    patients: list[SpinePatient] = field(default_factory=list)
    scenarios: list[Scenario] = field(default_factory=list)

    def person(
        self, serial: int, family: str | None, given: str, gender: str, born: str | None, **changes: Unpack[Facts]
    ) -> SpinePatient:
        """Add a person with a usual name, one address, two telephones and a practice, changed as said."""
        plain = SpinePatient(
            number(serial),
            names=(usual(family, *given.split(), gender=gender),),
            gender=gender,
            birth_time=born,
            addresses=(address(serial),),
            telecoms=(
                telecom(f"tel:01632960{serial % 1000:03d}"),
                telecom(f"tel:07700900{serial % 1000:03d}", "MC"),
            ),
            practices=(SpinePractice(f"Z9{serial % 10000:04d}", period=Span(low="20100401")),),
            serial_change_number=serial % 9 + 1,
        )
        person = replace(plain, **changes)
        self.patients.append(person)
        return person

    def good(
        self, title: str, person: SpinePatient, *, sent: Sent | None = None, answers: Answers | None = None
    ) -> None:
        """A scenario that goes well everywhere, but for the ``answers`` given; ``sent`` changes what is asked."""
        asked = person.nhs_number
        well = Expected(
            cross_check=f"AA {asked}",
            trace=f"AA {asked} 3",
            retrieval=f"AA {asked}",
            verify=GOOD,
            get_number=GOOD,
            by_number=GOOD,
            by_search=GOOD,
        )
        self.scene(title, replace(_ask(person), **(sent or {})), replace(well, **(answers or {})))

    def scene(self, title: str, ask: Ask, expected: Expected) -> None:
        """A scenario as it stands."""
        self.scenarios.append(Scenario(self.theme, title, ask, expected))


def _ask(person: SpinePatient) -> Ask:
    """All that is on the record, as a client would know it."""
    name = next((name for name in person.names if "L" in name.use.split()), None)
    home = next((item for item in person.addresses if "H" in item.use.split()), None)
    return Ask(
        person.nhs_number,
        (person.birth_time or "")[:8] or None,
        family=name.family if name else None,
        given=name.given[0] if name and name.given else None,
        gender=person.gender,
        postcode=home.postcode if home else None,
    )
