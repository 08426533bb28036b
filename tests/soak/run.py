"""One soak: a Spine that goes wrong, drivers that ask it through a provider, and processes killed in between.

Part one builds a provider in each driver and kills drivers; part two asks a served provider over HTTP (``smsp serve``,
gunicorn workers) and kills workers. Every process is a real one, so two cores are used.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from audit_trails import make_trail
from free_ports import free_port
from kept_output import keep
from smsp_provider.audit.events import Closure, Ending, EndingKind, Intent
from soak.driver import DEADLINE_SECONDS, IN_A_LOG

__all__ = ["Report", "soak_in_process", "soak_served"]

_ROOT: Final = Path(__file__).resolve().parents[2]
_DRIVERS: Final = 2
_EXPECTED_CODES: Final = frozenset({"SMSP-0000", "SMSP-0002", "SMSP-0004", "DEMOG-0040", "none"})
"""What faults may end in; a MessageID that repeats, or two requests at once, change nothing."""
_OURS: Final = frozenset({"W9", "W10"})
"""Refusals that no lie of Spine can cause: the provider mixed something up itself."""
_MOST_FAILED: Final = 0.15
_MISSING_SECONDS: Final = 60.0


@dataclass
class Report:
    """What a soak saw. ``problems`` is empty when all is well."""

    codes: Counter[str] = field(default_factory=Counter)
    gate: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kills: int = 0
    unknown: int = 0
    intents: int = 0
    seconds: float = 0.0

    @property
    def answers(self) -> int:
        """Answers that came."""
        return sum(self.codes.values()) - self.codes["none"]

    def add(self, line: str) -> None:
        """Take in a driver's line."""
        told = json.loads(line)
        self.codes.update(told["codes"])
        self.gate.update(told["gate"])
        self.foreign.extend(told["foreign"])
        self.problems.extend(f"the log holds {leak}" for leak in told["leaks"])

    def judge(self) -> None:
        """Add what is wrong with the figures themselves."""
        self.problems.extend(self.foreign)
        self.problems.extend(f"unexpected answer {code}" for code in self.codes if code not in _EXPECTED_CODES)
        self.problems.extend(f"the gate refused by {rule}: mixed up here" for rule in self.gate if rule in _OURS)
        if self.answers and self.codes["SMSP-0000"] < (1 - _MOST_FAILED) * self.answers:
            self.problems.append("too many requests failed for the soak to prove anything")

    def lines(self) -> Iterator[str]:
        """For people."""
        rate = self.answers / self.seconds if self.seconds else 0.0
        yield f"{self.answers} answers in {self.seconds:.0f} s ({rate:.0f}/s), processes killed: {self.kills}"
        yield "answers: " + ", ".join(f"{code} {count}" for code, count in sorted(self.codes.items()))
        yield "refused by the gate: " + (", ".join(f"{rule} {n}" for rule, n in sorted(self.gate.items())) or "-")
        yield f"intents on record: {self.intents}, closed as outcome unknown: {self.unknown}"
        yield from self.problems[:10] or ["no answer carried anybody else's watermark"]


class _Driver:
    """A driver process, and a thread that hands its lines on; an empty one says that it has ended."""

    def __init__(self, lines: "queue.Queue[tuple[_Driver, str]]", slot: int, *arguments: str) -> None:
        self.slot = slot
        self.has_told = False
        self._process = _start("soak.driver", *arguments)
        self._thread = threading.Thread(target=self._pass_on, args=(lines,), daemon=True)
        self._thread.start()

    def _pass_on(self, lines: "queue.Queue[tuple[_Driver, str]]") -> None:
        with self._process:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                lines.put((self, line))
        lines.put((self, ""))

    def failed(self) -> bool:
        return self._process.returncode not in (0, -signal.SIGKILL)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._thread.join()


def soak_in_process(
    answers: int, seconds: float, *, mutant: str | None = None, kill_every: float = 10.0, drivers: int = _DRIVERS
) -> Report:
    """Ask providers that live in the drivers; every ``kill_every`` seconds a driver is killed and started again."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, _spine() as spine:
        state = Path(folder)

        def arguments(slot: int, wanted: int, seed: int) -> list[str]:
            given = ["--spine", spine, "--state", str(state / str(slot)), "--answers", str(wanted), "--seed", str(seed)]
            return given + (["--mutant", mutant] if mutant else [])

        report = _drive(answers, seconds, drivers, arguments, kill_every)
        for slot in range(drivers):
            _check_audit(state / str(slot) / "audit" / "audit.db", report)
    report.judge()
    return report


def soak_served(answers: int, seconds: float, *, kill_every: float = 4.0) -> Report:
    """Ask a served provider over HTTP; every ``kill_every`` seconds one of its workers is killed."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, _spine() as spine:
        state = Path(folder)
        with _served(state, spine) as (url, master):

            def arguments(slot: int, wanted: int, seed: int) -> list[str]:
                given = ["--spine", spine, "--provider", url, "--state", str(state / str(slot))]
                return [*given, "--answers", str(wanted), "--seed", str(seed)]

            report = _drive(answers, seconds, 1, arguments, kill_every, lambda: _kill_a_worker(master))
        log = (state / "log").read_bytes()
        keep("log", log)
        report.problems.extend(f"the log holds {found.decode()}" for found in IN_A_LOG.findall(log))
        report.gate.update(rule.decode() for rule in _gate_rules(log))
        _check_audit(state / "audit" / "audit.db", report)
    report.judge()
    return report


def _drive(
    answers: int,
    seconds: float,
    drivers: int,
    arguments: Callable[[int, int, int], list[str]],
    kill_every: float,
    kill: Callable[[], bool] | None = None,
) -> Report:
    """Run drivers until the answers are in, the time is over or a problem shows; ``kill`` None kills drivers."""
    report, lines = Report(), queue.Queue[tuple[_Driver, str]]()
    share = -(-answers // drivers)
    left = dict.fromkeys(range(drivers), share)
    running = [_Driver(lines, slot, *arguments(slot, share, slot + 1)) for slot in range(drivers)]
    began = time.monotonic()
    next_kill, seed, answers_at_kill = began + kill_every, drivers, 0
    try:
        while running and time.monotonic() - began < seconds and not report.foreign:
            try:
                driver, line = lines.get(timeout=0.1)
            except queue.Empty:
                line = None
            if line:
                before = report.answers
                report.add(line)
                driver.has_told = True
                left[driver.slot] -= report.answers - before
            elif line is not None:
                running.remove(driver)
                if driver.failed():
                    report.problems.append("a driver ended by itself")
                elif left[driver.slot] > 0:
                    seed += 1
                    running.append(_Driver(lines, driver.slot, *arguments(driver.slot, left[driver.slot], seed)))
            if time.monotonic() >= next_kill and running and report.answers > answers_at_kill:
                # Who has not begun yet is let live: on a slow machine nobody would ever get to answer.
                victim = running[seed % len(running)]
                if kill is None and not victim.has_told:
                    continue
                next_kill, answers_at_kill = time.monotonic() + kill_every, report.answers
                if kill is None:
                    victim.kill()
                report.kills += kill() if kill is not None else 1
    finally:
        for driver in running:
            driver.end()
    report.seconds = time.monotonic() - began
    return report


def _check_audit(database: Path, report: Report) -> None:
    """After the last start, every intent has an ending or is closed as unknown, and was opened before it."""
    trail = make_trail(database)
    trail.recover()
    opened: set[str] = set()
    ended: set[str] = set()
    for entry in trail.read():
        record = entry.record
        if isinstance(record, Intent):
            opened.add(record.exchange_id)
        elif isinstance(record, Ending | Closure):
            if record.exchange_id in ended:
                report.problems.append("an exchange ended twice")
            ended.add(record.exchange_id)
            report.unknown += isinstance(record, Closure)
            if isinstance(record, Ending) and record.kind is EndingKind.CRASHED:
                report.problems.append(f"a crash: {record.reason}")
    trail.close_session()
    report.intents += len(opened)
    if opened - ended:
        report.problems.append("an intent was never closed")


# --- processes --------------------------------------------------------------------------------------------------------


def _start(module: str, *arguments: str, log: Path | None = None) -> "subprocess.Popen[str]":
    """A Python module in a process of its own, that finds the sources and the tests of this checkout.

    Its output goes to ``log``, or into a pipe.
    """
    environment = {**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT / 'tests'}"}
    command = [sys.executable, "-m", module, *arguments]
    if log is None:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    with log.open("ab") as written:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=written, stderr=written, text=True, env=environment
        )


@contextmanager
def _spine() -> Iterator[str]:
    # Leaving the process's own context closes its standard input, which ends it.
    with _start("soak.spine") as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@contextmanager
def _served(state: Path, spine: str) -> Iterator[tuple[str, int]]:
    address = f"127.0.0.1:{free_port()}"
    config = state / "provider.toml"
    config.write_text(
        f'environment = "test"\nserver = {{ http = "{address}", workers = 2, threads = 16 }}\n'
        f'spine = {{ endpoint = "{spine}", pds_asid = "100000000104", default_asid = "200000000205" }}\n'
        f'audit = {{ database = "{state / "audit" / "audit.db"}", synchronous = "NORMAL" }}\n'
        f"limits = {{ request_seconds = {DEADLINE_SECONDS} }}\n"
        # Spine is broken on purpose, and is to be asked all the same.
        "throttle = { rate_per_second = 100000, burst = 100000 }\nbreaker = { failures = 1000000 }\n"
        'clients = { policy = "any" }\n',
        encoding="utf-8",
    )
    with _start("smsp_provider.cli", "serve", "--config", str(config), log=state / "log") as process:
        try:
            _wait_until_ready(f"http://{address}/readyz")
            yield f"http://{address}", process.pid
        finally:
            process.terminate()


def _wait_until_ready(url: str) -> None:
    until = time.monotonic() + _MISSING_SECONDS
    while True:
        try:
            with urlopen(url, timeout=60) as answer:  # noqa: S310 - a loopback URL made above
                answer.read()
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _children(pid: int) -> list[int]:
    """The child processes of a process, by the kernel's own list (Linux)."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in listed.split()]


def _kill_a_worker(provider: int) -> bool:
    """Kill the oldest worker of a served provider, the one with the connections: the workers are its grandchildren."""
    workers = [worker for listener in _children(provider) for worker in _children(listener)]
    if len(workers) < 2:
        return False
    os.kill(workers[0], signal.SIGKILL)
    return True


def _gate_rules(log: bytes) -> Iterator[bytes]:
    for line in log.splitlines():
        if b'"answer-refused-by-gate"' in line:
            yield json.loads(line)["reason"].split(":")[0].encode()
