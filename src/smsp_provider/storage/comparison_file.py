"""Comparisons of two ways to PDS in a file, one JSON object a line: kinds, codes and names of fields, no values."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from smsp_provider.engine.comparison import Comparison

__all__ = ["ComparisonFile"]

_MOST_BYTES: Final = 10_000_000
"""A file of this size takes no more: a comparison that nobody reads must not fill a disk."""


class ComparisonFile:
    """Appends to ``path``; several processes may."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path

    def record(self, comparison: Comparison) -> None:
        """Keep one, in one write."""
        line = json.dumps(
            {
                "at": comparison.at.isoformat(),
                "query": comparison.query,
                "answered": comparison.answered,
                "compared": comparison.compared,
                "fields": comparison.fields,
            }
        )
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(descriptor).st_size < _MOST_BYTES:
                    os.write(descriptor, f"{line}\n".encode())
            finally:
                os.close(descriptor)

    def read(self) -> Iterator[Comparison]:
        """All that were kept, in order; lines that are none are skipped.

        Raises:
            OSError: the file cannot be read.
        """
        with self._path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                with suppress(ValueError, TypeError, KeyError):
                    kept = json.loads(line)
                    yield Comparison(
                        datetime.fromisoformat(kept["at"]),
                        str(kept["query"]),
                        str(kept["answered"]),
                        str(kept["compared"]),
                        tuple(map(str, kept["fields"])),
                    )
