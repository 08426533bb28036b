"""What is told once a day on a host, whichever of its processes comes first."""

import fcntl
import json
import os
from datetime import date
from pathlib import Path
from typing import Final

__all__ = ["DailyNotices"]

_PRIVATE_FILE: Final = 0o600
_LONGEST: Final = 1_000_000


class DailyNotices:
    """Remembers in a small file what was told today; safe for processes."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path

    def take(self, day: date, subjects: frozenset[str]) -> frozenset[str]:
        """Those of the subjects that nobody has taken on this day; they count as taken now.

        A file that cannot be read counts as empty.

        Raises:
            OSError: it cannot be written.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            taken = _taken(os.pread(descriptor, _LONGEST, 0), day)
            fresh = subjects - taken
            if fresh:
                content = json.dumps({"day": day.isoformat(), "told": sorted(taken | fresh)}).encode("ascii")
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, content, 0)
            return fresh
        finally:
            os.close(descriptor)


def _taken(content: bytes, day: date) -> frozenset[str]:
    try:
        found = json.loads(content)
        return frozenset(map(str, found["told"])) if found["day"] == day.isoformat() else frozenset()
    except (ValueError, TypeError, LookupError):
        return frozenset()
