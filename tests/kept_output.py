"""Keeps what servers under test wrote and said, so that it can be searched for patients (:mod:`leaks`).

Only where the environment variable KEPT_OUTPUT names a folder. Helpers that start a server call :func:`keep` with its
output, the bodies of its faults and its metrics. As a plugin of pytest (``-p kept_output``) it keeps what tests of the
product's parts had captured: standard output, standard error, and log records.
"""

import itertools
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

__all__ = ["FOLDER_VARIABLE", "keep", "keep_fault", "keep_file", "pytest_runtest_makereport"]

FOLDER_VARIABLE: Final = "KEPT_OUTPUT"
_CLIENT_ERROR: Final = 400
_NOT_FOR_A_NAME: Final = re.compile(r"[^A-Za-z0-9_.]+")
_numbers: Final = itertools.count()


def keep(what: str, content: bytes | str, test: str = "") -> None:
    """Keep some output; ``what`` it is of becomes part of the file's name, with the test that runs."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder or not content:
        return
    name = test or os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("::")[2]
    file = Path(folder) / f"{os.getpid()}-{next(_numbers)}-{what}-{_NOT_FOR_A_NAME.sub('-', name)[:80]}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))


def keep_file(what: str, file: Path) -> None:
    """Keep a file that a server wrote, where there is one."""
    if file.is_file():
        keep(what, file.read_bytes())


def keep_fault(status: int, body: bytes) -> None:
    """Keep the body of an answer that is an error; what answers say of patients is for who asked."""
    if status >= _CLIENT_ERROR:
        keep("fault", body)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Called in the process that runs the test; the last report of a test has all that was captured."""
    report = yield
    if report.when == "teardown":
        for name, text in report.sections:
            keep(f"captured-{_NOT_FOR_A_NAME.sub('-', name)}", text, item.name)
    return report
