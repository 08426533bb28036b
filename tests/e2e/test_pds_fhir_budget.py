"""The budget of PDS FHIR under load: a whole product with 50 callers at once, and what the API saw of them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from e2e.fhir_world import FHIRWorld, make_fhir_world
from e2e.lies import SHAPES
from e2e.world import Answer
from smsp_provider.simulator.generate import watermarked
from smsp_provider.simulator.http import HTTPRequest

CALLERS, PATIENCE, WAIT = 50, 120.0, 4.0
RATE, BURST = 4, 1
"""The default budget: requests in a second, and at once."""
ATTENDED = ((None, "urn:nhs-uk:identity:ods:X26:A Person"),)
PEOPLE = tuple(watermarked(serial) for serial in range(1, CALLERS + 1))
VERIFY = SHAPES[0]


@dataclass
class Seen:
    """When which patient was asked for."""

    at: float
    nhs_number: str


def ask_all(world: FHIRWorld) -> dict[str, Answer]:
    """Everybody at once; every second one is a person who waits."""
    start = threading.Barrier(CALLERS)

    def ask(place: int) -> Answer:
        patient = PEOPLE[place]
        start.wait(60)
        changes = {"audit_ids": ATTENDED} if place % 2 else {}
        return world.ask(VERIFY.service, VERIFY.fields(patient), **changes)

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(ask, range(CALLERS)))
    return {patient.nhs_number: answer for patient, answer in zip(PEOPLE, answers, strict=True)}


@pytest.mark.slow
@pytest.mark.rule("SMSP-PERF-001", "SMSP-PERF-007")
def test_the_budget_is_kept_people_go_first_and_everybody_is_answered(tmp_path: Path) -> None:
    seen: list[Seen] = []

    def heard(request: HTTPRequest) -> None:
        if "x-request-id" in request.headers:
            seen.append(Seen(time.monotonic(), request.path.rpartition("/")[2]))

    limits, throttle = {"request_seconds": PATIENCE}, {"max_wait_seconds": WAIT}
    with make_fhir_world(tmp_path, *PEOPLE, limits=limits, throttle=throttle) as world:
        world.spine.fhir.heard = heard
        began = time.monotonic()
        answers = ask_all(world)
        endings = {number: world.ending_of(answer) for number, answer in answers.items()}
    served = {number for number, answer in answers.items() if answer.code == "SMSP-0000"}
    busy = {number for number, answer in answers.items() if answer.fault == "2100"}
    assert len(served) + len(busy) == CALLERS
    assert all(answer.seconds < PATIENCE for answer in answers.values())
    assert all(answers[number].numbers == (number,) for number in served)
    assert {one.nhs_number for one in seen} == served
    assert len(seen) == len(served), "one request for each verification"
    assert all(endings[number].spine == () for number in busy)
    times = sorted(one.at for one in seen)
    # None comes before its turn; one that is slow on its way only comes later than that.
    assert not [number for number, at in enumerate(times, 1) if number > BURST + RATE * (at - began) + 0.5]
    people = {patient.nhs_number for patient in PEOPLE[1::2]}
    places = {one.nhs_number: place for place, one in enumerate(sorted(seen, key=lambda one: one.at))}
    # But for one turn in five, and for who came before them.
    assert median(places[one] for one in served & people) < median(places[one] for one in served - people)
