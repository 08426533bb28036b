"""A pytest plugin: puts the requirement ids of a test (its ``rule`` marks) into its record, and so into JUnit XML.

Loaded by ``-p requirement_results`` where the results are wanted as evidence (``make evidence``).
"""

import pytest

__all__ = ["pytest_collection_modifyitems"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks do not leave a worker of the test runner; properties do."""
    for item in items:
        ids = dict.fromkeys(rule for mark in item.iter_markers("rule") for rule in mark.args)
        item.user_properties.extend(("rule", rule) for rule in ids)
