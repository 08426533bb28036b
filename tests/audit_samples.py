"""Records and clocks for the tests that need an audit trail, and a way to run a piece of program in its own process."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from smsp_provider.audit.events import Ending, EndingKind, Intent, RequestFacts, Source, Start
from smsp_provider.audit.trail import AuditTrail
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.response_codes import ResponseCode

__all__ = ["SystemClock", "ending_of", "intent_of", "recovered", "run_program", "start_of", "start_program"]

_ROOT = Path(__file__).resolve().parents[1]
NUMBER = "9434765919"


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def intent_of(exchange_id: str) -> Intent:
    facts = RequestFacts(address="192.0.2.7", username="client-system", nhs_number=NHSNumber(NUMBER))
    return Intent(exchange_id, datetime.now(UTC), facts, ASID("200000000115"))


def ending_of(exchange_id: str) -> Ending:
    return Ending(
        exchange_id,
        datetime.now(UTC),
        EndingKind.ANSWERED,
        duration_ms=7,
        source=Source.SPINE,
        response_code=ResponseCode.SUCCESS,
    )


def start_of(version: str = "0.1.0") -> Start:
    return Start(datetime.now(UTC), version, "test", "00" * 32)


_PREAMBLE = """
import os, sys, threading, time
from pathlib import Path
from audit_samples import *
from smsp_provider.audit.trail import AuditUnavailable
from audit_trails import *
trail = make_trail(Path(sys.argv[1]), wait_s=10.0)
"""


def start_program(program: str, path: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A real process with ``trail`` on ``path``; its standard streams are pipes."""
    # From Python 3.12 on, a fork beside threads warns; programs here fork on purpose, to show what a child does.
    environment = {
        **os.environ,
        "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT / 'tests'}",
        "PYTHONWARNINGS": "ignore:This process:DeprecationWarning",
    }
    command: Sequence[str] = (sys.executable, "-c", _PREAMBLE + program, str(path), *arguments)
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def run_program(program: str, path: Path, *arguments: str) -> str:
    """Run such a process to its end; its output, which must come with exit code 0 and nothing on stderr."""
    with start_program(program, path, *arguments) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return output


def recovered(trail: AuditTrail) -> int:
    """What a recovery closes after a process died: a database may need a moment to learn of that."""
    give_up = time.monotonic() + 20
    while not (closed := trail.recover()) and time.monotonic() < give_up:
        time.sleep(0.02)
    return closed
