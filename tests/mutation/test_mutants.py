"""T5 of the safety argument: every small wrong version of the gate and the matching rules is noticed by its tests.

The mutated source is executed into the real module, the unit tests of that module run in this process, and the module
is put back. The unit tests reach everything through the module, never through names bound when they were loaded.
"""

import importlib.util
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from mutation.mutator import Mutant, mutants, source_of
from smsp_provider.domain import gate, matching, nhs_number

UNIT_TESTS: Final = Path(__file__).resolve().parents[1] / "unit" / "domain"

EQUIVALENT: Final[dict[str, dict[str, str]]] = {
    "gate": {
        "admit: 0 -> -1": "there is exactly one record here: first and last are the same",
    },
    "matching": {
        "_folded: if text.isascii(): -> False": "a fast path: for ASCII the long way gives the same text",
        "_same_beginning: if not (sent.isascii() and held.isascii()): -> True": "a fast path: ASCII is in form NFC",
        "_satisfies: '.*' -> '.*?'": "before the end of a full match, greedy and lazy find the same",
        "_same_beginning: return False -> None": "private, and its callers use no more than its truth",
        "_is_name: return False -> None": "private, and its caller uses no more than its truth",
    },
    "nhs_number": {},
}
"""Mutants that behave like the original, with the reason; an entry that no longer applies fails the test."""


def kill_suite(module: ModuleType) -> tuple[Callable[[], None], ...]:
    """The unit tests of a module: every test function of its file, none of which takes an argument."""
    name = f"test_{module.__name__.rpartition('.')[2]}"
    spec = importlib.util.spec_from_file_location(f"kill_{name}", UNIT_TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    functions = [function for key, function in vars(tests).items() if key.startswith("test_")]
    assert all(not inspect.signature(function).parameters for function in functions)
    return tuple(functions)


@contextmanager
def installed(module: ModuleType, mutant: Mutant) -> Iterator[None]:
    """The mutant in the place of the module's content, for as long as the block runs."""
    namespace = vars(module)
    original = dict(namespace)
    try:
        for name in original:
            if not name.startswith("__"):
                del namespace[name]  # what the mutant does not define is not there
        exec(mutant.compiled(str(module.__file__)), namespace)  # type: ignore[arg-type]  # noqa: S102 - our own source
        yield
    finally:
        namespace.clear()
        namespace.update(original)


def is_killed(module: ModuleType, mutant: Mutant, suite: tuple[Callable[[], None], ...]) -> bool:
    """Whether some test notices, or the module cannot even be loaded."""
    try:
        with installed(module, mutant):
            for test in suite:
                test()
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - any failure is what is hoped for
        return True
    return False


def check(module: ModuleType, at_least: int) -> None:
    suite = kill_suite(module)
    for test in suite:
        test()  # unmutated, the suite must pass: else everything would look killed
    found = list(mutants(source_of(module)))
    survivors = {mutant.key for mutant in found if not is_killed(module, mutant, suite)}
    excused = EQUIVALENT[module.__name__.rpartition(".")[2]]
    assert survivors == set(excused), "survivors (left) are not the listed equivalents (right)"
    # A mutator that makes nothing would let everything pass.
    assert len(found) >= at_least
    for test in suite:
        test()  # the module is whole again


def test_every_mutant_of_the_gate_is_killed() -> None:
    check(gate, 250)


def test_every_mutant_of_the_matching_rules_is_killed() -> None:
    check(matching, 100)


def test_every_mutant_of_the_nhs_number_is_killed() -> None:
    check(nhs_number, 30)


def test_a_mutant_that_no_test_notices_is_found() -> None:
    mutant = next(iter(mutants(source_of(nhs_number))))
    assert not is_killed(nhs_number, mutant, ())
