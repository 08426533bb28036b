"""The budget of PDS FHIR under load: a whole product with 50 callers at once, and what the API saw of them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.fhir_world import FHIRWorld, make_fhir_world
from e2e.lies import SHAPES
from e2e.world import Answer
from smsp_provider.simulator.generate import watermarked
from smsp_provider.simulator.http import HTTPRequest

CALLERS, PATIENCE, WAIT = 50, 8.0, 4.0
BUDGET = 5
"""Requests in any second: the default rate of 4 and its burst of 1."""
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
        start.wait(10)
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
    busiest = max(sum(begin <= at < begin + 1 for at in times) for begin in times)
    # A request that is slow on its way can arrive in the second of the next one.
    assert busiest <= BUDGET + 1
    assert len(times) <= (times[-1] - times[0]) * (BUDGET - 1) + BUDGET
    people = {patient.nhs_number for patient in PEOPLE[1::2]}
    first = [one.nhs_number in people for one in sorted(seen, key=lambda one: one.at)][:6]
    assert sum(first) >= 4, "persons first, but for one turn in five and for who came before them"
