"""A working day of a hospital and of those that ask in batches, over generated patients: nobody is said to guess.

The patients are those of the simulator, but for their numbers: generated ones lie side by side, as in no real list.
Numbers are drawn from all that are issued; families, twins and the new-born of a day have numbers close together.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import pytest

from probing_traffic import ISSUED, Watch, answered, number_at_stem, stems
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.requests import ByNumber, BySearch
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.engine.probing import Answered, Pattern
from smsp_provider.simulator.generate import generate

pytestmark = pytest.mark.rule("SMSP-SEC-001")

_PATIENTS = 20_000
_DAY = 86_400
_SUCCESS, _NO_MATCH, _MULTIPLE = ResponseCode.SUCCESS, ResponseCode.NO_MATCH, ResponseCode.MULTIPLE_MATCHES
_NOT_VERIFIED = ResponseCode.NOT_VERIFIED


@dataclass(frozen=True)
class _Patient:
    number: NHSNumber
    family: str
    given: str
    gender: str
    born: HL7Date
    postcode: str


_Day = Callable[[list[_Patient], random.Random], Iterator[Answered]]


@pytest.fixture(scope="module")
def patients() -> list[_Patient]:
    chance = random.Random(11)
    numbers = _numbers(chance)
    return [
        _Patient(
            next(numbers),
            str(person.names[0].family),
            person.names[0].given[0],
            str(person.gender),
            HL7Date(str(person.birth_time)),
            str(person.addresses[0].postcode),
        )
        for person in generate(_PATIENTS)
    ]


def _numbers(chance: random.Random) -> Iterator[NHSNumber]:
    """Of people who live in one place: some of every household came to the registrar together."""
    while True:
        household = stems(chance.choice(ISSUED[:-1000]))
        yield from islice(household, chance.choice((1, 1, 1, 1, 1, 2, 3, 4)))


def _verify(
    patient: _Patient,
    code: ResponseCode = _SUCCESS,
    *,
    client: str = "hospital",
    user: str = "",
    attended: bool = True,
) -> Answered:
    born = patient.born if code is _SUCCESS else HL7Date("19010101")
    request = ByNumber(Service.VERIFY_NHS_NUMBER, patient.number, born, patient.family, patient.given)
    return answered(request, code, client=client, user=user, attended=attended)


def _search(patient: _Patient, code: ResponseCode = _SUCCESS, *, user: str = "", **fields: str | None) -> Answered:
    plain = BySearch(
        Service.GET_NHS_NUMBER, patient.born, patient.gender, patient.family, patient.given, patient.postcode
    )
    return answered(replace(plain, **fields), code, user=user)  # type: ignore[arg-type]  # tests name fields


def _ward_rounds(patients: list[_Patient], chance: random.Random) -> Iterator[Answered]:
    """Forty wards of 28 beds, two rounds; now and then a date is mistyped, twice for some."""
    for ward in range(40):
        beds = chance.sample(patients, 28)
        for _ in range(2):
            for patient in beds:
                for _ in range(chance.choices((0, 1, 2), (94, 5, 1))[0]):
                    yield _verify(patient, _NOT_VERIFIED, user=f"ward {ward}")
                yield _verify(patient, user=f"ward {ward}")


def _emergency(patients: list[_Patient], chance: random.Random) -> Iterator[Answered]:
    """One in four gives a wrong date of birth, and is asked for by one after the other of those who treat them."""
    for patient in chance.sample(patients, 200):
        *before, last = chance.sample(range(6), 6 if chance.random() < 1 / 4 else 1)
        for user in before:
            yield _verify(patient, _NOT_VERIFIED, user=f"emergency {user}")
        yield _verify(patient, user=f"emergency {last}")


def _reception(patients: list[_Patient], chance: random.Random) -> Iterator[Answered]:
    """Twelve desks that search for 120 people each: old postcodes, names cut short, common names."""
    for desk in range(12):
        user = f"desk {desk}"
        for patient in chance.sample(patients, 120):
            match chance.choices(("found", "moved", "misspelt", "common", "unknown"), (72, 15, 6, 4, 3))[0]:
                case "found":
                    yield _search(patient, user=user)
                case "moved":
                    yield _search(patient, _NO_MATCH, user=user, postcode="ZZ99 9ZZ")
                    yield _search(patient, user=user, postcode=None)
                case "misspelt":
                    for given in (patient.given + "E", patient.given[:3] + "*"):
                        yield _search(patient, _NO_MATCH, user=user, given=given)
                    yield _search(patient, user=user, family=patient.family[:3] + "*")
                case "common":
                    yield _search(patient, _MULTIPLE, user=user, postcode=None, given=None)
                    yield _search(patient, _MULTIPLE, user=user, postcode=None)
                    yield _search(patient, user=user)
                case "unknown":
                    yield _search(patient, _NO_MATCH, user=user)
                    yield _search(patient, _NO_MATCH, user=user, postcode=None)
                    yield _search(patient, _NO_MATCH, user=user, postcode=patient.postcode[:2] + "*")


def _busy_clerk(patients: list[_Patient], chance: random.Random) -> Iterator[Answered]:
    """One person who verifies numbers all day, some of them twice."""
    for patient in chance.sample(patients, 250):
        for _ in range(chance.choice((1, 1, 2))):
            yield _verify(patient, user="clerk")


def _clinic_list(patients: list[_Patient], chance: random.Random) -> Iterator[Answered]:
    """A clinic's 300 patients of the day in the order of their numbers, by a batch client; what failed again."""
    listed = sorted(chance.sample(patients, 300), key=lambda patient: patient.number.digits)
    failed = chance.sample(listed, 12)
    for patient in listed:
        yield _verify(patient, _NOT_VERIFIED if patient in failed else _SUCCESS, client="clinics", attended=False)
    for _ in range(4):
        for patient in failed:
            yield _verify(patient, _NOT_VERIFIED, client="clinics", attended=False)


def _whole_register(patients: list[_Patient], chance: random.Random) -> Iterator[Answered]:
    """A register of 15,000 in the order of its numbers, one in thirty wrong, by a batch client."""
    for patient in sorted(chance.sample(patients, 15_000), key=lambda patient: patient.number.digits):
        code = _NOT_VERIFIED if chance.random() < 1 / 30 else _SUCCESS
        yield _verify(patient, code, client="register", attended=False)


def _tracing(patients: list[_Patient], chance: random.Random) -> Iterator[Answered]:
    """A batch client that searches for 3,000, and for those not found without their postcode."""
    for patient in chance.sample(patients, 3_000):
        moved = chance.random() < 0.1
        yield replace(_search(patient, _NO_MATCH if moved else _SUCCESS), client="tracing", attended=False)
        if moved:
            yield replace(_search(patient, postcode=None), client="tracing", attended=False)


def _maternity(patients: list[_Patient], chance: random.Random) -> Iterator[Answered]:
    """The new-born of a day, some of them twins: numbers are given out for the whole country in turn."""
    start = ISSUED[-200_000]
    for _ in range(15):
        born = chance.choice(patients)
        first = start + chance.randrange(1900)
        for number in islice(stems(first), chance.choices((1, 2), (95, 5))[0]):
            yield _verify(replace(born, number=number), user="midwife")


_DAYS: dict[str, _Day] = {
    "ward rounds": _ward_rounds,
    "emergency": _emergency,
    "reception": _reception,
    "busy clerk": _busy_clerk,
    "clinic list": _clinic_list,
    "whole register": _whole_register,
    "tracing": _tracing,
    "maternity": _maternity,
}


def _merged(patients: list[_Patient], chance: random.Random) -> Iterator[Answered]:
    """Everything at once, each part in its own order."""
    parts = {kind: list(make(patients, chance)) for kind, make in _DAYS.items()}
    turns = [kind for kind, part in parts.items() for _ in part]
    chance.shuffle(turns)
    left = {kind: iter(part) for kind, part in parts.items()}
    return (next(left[kind]) for kind in turns)


@pytest.mark.parametrize("kind", list(_DAYS))
def test_a_normal_day_raises_no_alert(kind: str, patients: list[_Patient]) -> None:
    watch = Watch()
    for one in _DAYS[kind](patients, random.Random(kind)):
        watch.note(one)
        watch.now += 2
    assert watch.found == []


def test_all_of_it_on_one_host_raises_no_alert_and_hides_nobody_who_guesses(patients: list[_Patient]) -> None:
    day = list(_merged(patients, random.Random(23)))
    watch = Watch()
    quarter = len(day) // 4
    for turn, one in enumerate(day[: 3 * quarter]):
        watch.note(one)
        watch.now = watch.now + turn % 2
    assert watch.found == []
    start = next(stem for stem in ISSUED if number_at_stem(stem) is not None)
    guesses = (_verify(replace(patients[0], number=number), _NOT_VERIFIED, user="ward 3") for number in stems(start))
    told = [
        (turn, finding.pattern)
        for turn, one in enumerate(islice(guesses, 60), 1)
        for other in (one, day[3 * quarter + turn])
        for finding in watch.note(other)
    ]
    assert [pattern for _, pattern in told] == [Pattern.NEIGHBOURING_NUMBERS, Pattern.MOSTLY_UNSUCCESSFUL]
    assert told[0][0] <= 23
