"""How long the store takes: the figures that the documentation and the tests speak of."""

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from smsp_provider.simulator.patients import PatientStore, birth_digits
from smsp_provider.simulator.queries import CrossCheckQuery, Query, RetrievalQuery, TraceQuery
from smsp_provider.simulator.records import SpinePatient
from smsp_provider.simulator.trace import decide

__all__ = ["Medians", "measure_trace"]


@dataclass(frozen=True, slots=True)
class Medians:
    """Medians in milliseconds over ``samples`` queries of each kind; ``worst`` is the slowest trace of all."""

    samples: int
    trace: float
    trace_without_match: float
    cross_check: float
    retrieval: float
    worst: float


def measure_trace(store: PatientStore, people: list[SpinePatient], today: str, seed: int = 1) -> Medians:
    """Ask for each of ``people`` (of the store, with a family name) by name and by number, in a random order.

    Raises:
        ValueError: nobody to ask for.
    """
    if not people:
        raise ValueError("there is nobody to ask for")
    order = list(people)
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret

    def clocked(query: Callable[[SpinePatient], Query]) -> list[float]:
        times = []
        for person in order:
            asked = query(person)
            begun = time.perf_counter()
            decide(store, asked, today)
            times.append((time.perf_counter() - begun) * 1000)
        return times

    traces = clocked(_trace)
    return Medians(
        samples=len(order),
        trace=statistics.median(traces),
        trace_without_match=statistics.median(clocked(_lost)),
        cross_check=statistics.median(clocked(lambda person: CrossCheckQuery(person.nhs_number, _born(person)))),
        retrieval=statistics.median(clocked(lambda person: RetrievalQuery(person.nhs_number))),
        worst=max(traces),
    )


def _born(person: SpinePatient) -> str:
    return birth_digits(person.birth_time)


def _trace(person: SpinePatient) -> TraceQuery:
    name = person.names[0]
    postcode = person.addresses[0].postcode if person.addresses else None
    return TraceQuery(name.family or "", person.gender or "", _born(person), name.given[:1], postcode)


def _lost(person: SpinePatient) -> TraceQuery:
    return TraceQuery(person.names[0].family or "", person.gender or "", _born(person), ("NOBODY",))
