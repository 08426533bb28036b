"""Comma-separated values that a spreadsheet takes for what they are: text, and never a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["csv_line", "csv_lines"]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """The lines of a file, without their ends."""
    yield csv_line(head)
    for row in rows:
        yield csv_line(row)


def csv_line(cells: Sequence[str]) -> str:
    """One line; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow([_as_text(cell) for cell in cells])
    return stream.getvalue()


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell
