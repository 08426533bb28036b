"""The shipped population: invented people with numbers in the 999 test range, one for every answer there is.

Each theme adds its people and, with them, what to ask and what comes back: from the embedded Spine for every query, and
from a provider that keeps the rules for every service. The table in the documentation is made from the same data.
"""

from functools import cache

from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.population import (
    items,
    matching,
    merges,
    names,
    ordinary,
    relations,
    restricted,
    trouble,
)
from smsp_provider.simulator.population.book import Ask, Book, Expected, Scenario
from smsp_provider.simulator.records import SpinePatient

__all__ = ["Ask", "Expected", "Scenario", "load_population", "patients", "scenarios"]

_THEMES = (
    ordinary.write,
    matching.write,
    merges.write,
    restricted.write,
    names.write,
    items.write,
    relations.write,
    trouble.write,
)


@cache
def _book() -> Book:
    book = Book()
    for write in _THEMES:
        write(book)
    return book


def patients() -> tuple[SpinePatient, ...]:
    """Everybody, in the order of the themes."""
    return tuple(_book().patients)


def scenarios() -> tuple[Scenario, ...]:
    """Every request with its answers, in the order of the themes."""
    return tuple(_book().scenarios)


def load_population(store: PatientStore) -> int:
    """Put the population into a store; returns how many people it has."""
    return store.add_all(patients())
