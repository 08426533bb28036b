"""A served provider whose audit store is full, locked, or gone for a while: ``python -m soak.outages``.

Callers ask it over HTTP all the time. While the store takes no records, nobody gets an answer but fault 2100; when it
takes them again, the provider goes on by itself. And whoever did get an answer finds it on record, as in
:mod:`soak.crash`. Full are a small file system in memory (where this runs as root) and a bound on the size of files.
"""

import argparse
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from e2e.world import read_answer
from sandbox_process import members
from served_provider import ServedProvider, served
from smsp_provider.audit.events import Ending
from soak.crash import CrashReport, close_what_is_left, walk

__all__ = ["OUTAGES", "Outage", "OutageReport", "lose_the_store", "may_mount"]

_CALLERS = 4
_REFUSED = "fault 2100"
_MEGABYTE = 1_000_000
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.05


@dataclass
class OutageReport:
    """One outage: what callers were told before, while and after, and how long the provider took to notice."""

    name: str
    before: Counter[str] = field(default_factory=Counter)
    meanwhile: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    ready_meanwhile: int = 0
    refused_after_s: float = 0.0
    answered_after_s: float = 0.0
    without_record: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.name}: first refusal after {self.refused_after_s:.2f} s, /readyz {self.ready_meanwhile} meanwhile"
        yield f"  before: {_told(self.before)}; meanwhile: {_told(self.meanwhile)}; after: {_told(self.after)}"
        yield f"  answers again {self.answered_after_s:.2f} s after its end; without a record: {self.without_record}"
        yield from (f"  PROBLEM {problem}" for problem in self.problems)


class _Callers:
    """Ask all the time; an answer counts for a phase if it was asked for and came in it."""

    def __init__(self, provider: ServedProvider) -> None:
        self._provider = provider
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._told: dict[int, Counter[str]] = {}
        self.phase = 0
        self.answered: set[str] = set()
        self._threads = [threading.Thread(target=self._ask) for _ in range(_CALLERS)]
        for thread in self._threads:
            thread.start()

    def told(self, phase: int) -> Counter[str]:
        with self._guard:
            return Counter(self._told.get(phase, {}))

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        while not self._over.is_set():
            phase = self.phase
            try:
                answer = self._provider.ask()
                read = read_answer(answer.status, answer.body)
                said, message_id = read.said, read.message_id
            except (OSError, HTTPException):
                said, message_id = "no answer", None
            with self._guard:
                if phase == self.phase:
                    self._told.setdefault(phase, Counter())[said] += 1
                if message_id is not None and said != _REFUSED:
                    self.answered.add(message_id)
            if said == _REFUSED:
                time.sleep(_PAUSE_SECONDS)


Outage = Callable[[Path, ServedProvider], "ExitStack"]
"""Takes the store away, given the directory of the trail; what it returns gives it back when it is closed."""


def _full(directory: Path, provider: ServedProvider) -> ExitStack:
    """Nothing fits into the file system any more."""
    del provider
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    stack = ExitStack()
    stack.callback(filler.unlink)
    return stack


def _bounded(directory: Path, provider: ServedProvider) -> ExitStack:
    """No file may grow any more, as with a quota."""
    del directory
    stack = ExitStack()
    for pid in members(provider.process.pid) - {provider.process.pid}:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        stack.callback(resource.prlimit, pid, resource.RLIMIT_FSIZE, (hard, hard))
    return stack


def _locked(directory: Path, provider: ServedProvider) -> ExitStack:
    """Another process keeps the lock for writing."""
    del provider
    stack = ExitStack()
    other = stack.enter_context(closing(sqlite3.connect(directory / "audit.db", isolation_level=None, timeout=30)))
    other.execute("BEGIN IMMEDIATE")
    stack.callback(other.execute, "ROLLBACK")
    return stack


def _moved(directory: Path, provider: ServedProvider) -> ExitStack:
    """The directory is gone from its place."""
    del provider
    moved = directory.rename(directory.with_name("moved"))

    def back() -> None:
        # What the processes of a host share is made anew meanwhile, the trail is not.
        assert not (directory / "audit.db").exists()
        shutil.rmtree(directory, ignore_errors=True)
        moved.rename(directory)

    stack = ExitStack()
    stack.callback(back)
    return stack


OUTAGES: dict[str, Outage] = {
    "file system full": _full,
    "no file may grow": _bounded,
    "locked by another process": _locked,
    "directory gone": _moved,
}


def lose_the_store(name: str, folder: Path, seconds: float) -> OutageReport:
    """Serve, take the store away for so long, give it back, and compare answers with what is on record."""
    report = OutageReport(name)
    with ExitStack() as stack:
        if name == "file system full":
            stack.enter_context(_small_file_system(folder / "audit"))
        _serve(report, OUTAGES[name], folder, seconds)
    return report


def _serve(report: OutageReport, outage: Outage, folder: Path, seconds: float) -> None:
    audit = folder / "audit"
    with served(folder) as (provider, _):
        callers = _Callers(provider)
        try:
            _until(lambda: callers.told(0).total() > _CALLERS, report, "no answer at all")
            with outage(audit, provider):
                began = time.monotonic()
                _until(lambda: callers.told(0)[_REFUSED] + callers.told(1)[_REFUSED] > 0, report, "never refused")
                report.refused_after_s = time.monotonic() - began
                callers.phase = 1
                time.sleep(seconds)
                _until(lambda: callers.told(1).total() > 0, report, "nothing was said meanwhile")
                report.ready_meanwhile = _readyz(provider)
                callers.phase = 2
            ended = time.monotonic()
            callers.phase = 3
            answered = len(callers.answered)
            _until(lambda: len(callers.answered) > answered, report, "never answered again")
            report.answered_after_s = time.monotonic() - ended
            _until(lambda: callers.told(3).total() > _CALLERS, report, "no further answer")
        finally:
            callers.end()
        assert provider.stop() == 0
    report.before, report.meanwhile, report.after = callers.told(0), callers.told(1), callers.told(3)
    close_what_is_left(audit / "audit.db")
    walked = CrashReport()
    on_record = {record.reply_message_id for record in walk(audit / "audit.db", walked) if isinstance(record, Ending)}
    report.without_record = len(callers.answered - on_record)
    report.problems += walked.problems
    if report.without_record:
        report.problems.append("an answer is not on record")
    if set(report.meanwhile) - {_REFUSED}:
        report.problems.append("something else than fault 2100 meanwhile")


def _until(holds: Callable[[], bool], report: OutageReport, otherwise: str) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > until:
            report.problems.append(otherwise)
            return
        time.sleep(_PAUSE_SECONDS)


def _readyz(provider: ServedProvider) -> int:
    return provider.ops_get("/readyz").status


@contextmanager
def _small_file_system(place: Path) -> Iterator[None]:
    place.mkdir(mode=0o700, parents=True)
    place.parent.chmod(0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def may_mount() -> bool:
    """Whether this process may make a small file system."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
        )
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return done.returncode == 0


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{said} {number}" for said, number in sorted(counts.items())) or "nothing"


def main() -> int:
    """Run each outage and print figures; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="soak.outages", description="No answer while the audit store takes nothing.")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each lasts")
    given = parser.parse_args()
    problems = 0
    for name in OUTAGES:
        if name == "file system full" and not may_mount():
            sys.stdout.write(f"{name}: left out, no right to mount\n")
            continue
        with tempfile.TemporaryDirectory(prefix="outage-") as folder:
            report = lose_the_store(name, Path(folder) / "state", given.seconds)
        problems += len(report.problems)
        for line in report.lines():
            sys.stdout.write(f"{line}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
