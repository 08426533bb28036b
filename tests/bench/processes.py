"""Processes that the benchmark starts, and what the kernel says they cost."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

__all__ = ["Server", "loaded"]

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


class Server:
    """``python -m bench.server ROLE`` with options, running until the end of the ``with``.

    ``workers`` is how many children it must have before it counts as started.
    """

    def __init__(self, role: str, options: Mapping[str, object], workers: int) -> None:
        self.port = int(str(options["port"]))
        self._command = [sys.executable, "-m", "bench.server", role, json.dumps(options, default=str)]
        self._workers = workers

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command)
        give_up = time.monotonic() + _START_SECONDS
        while not (self._listens() and len(self.workers()) == self._workers):
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.__exit__()
                raise RuntimeError(f"did not start: {' '.join(self._command)}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=20):
            return True
        return False

    def workers(self) -> list[int]:
        """Process ids of the children."""
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children so far."""
        return sum(map(_cpu_seconds, (self._process.pid, *self.workers())))

    def memory_mb(self) -> list[float]:
        """Resident memory of each child, of the process itself where it has none; MB."""
        return [round(resident_kb(pid) / 1024, 1) for pid in self.workers() or [self._process.pid]]


def _cpu_seconds(pid: int) -> float:
    # The name of the process, in brackets, may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_kb(pid: int | str, line: str = "VmRSS") -> int:
    """A line of ``/proc/PID/status`` about memory (VmRSS now, VmHWM at its peak), in kB."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(text.split()[1]) for text in status if text.startswith(f"{line}:"))


def loaded(
    port: int, *, connections: int, requests: int, spread_s: float = 0.0, tls: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Put load on a server from a process of its own; see :mod:`bench.load` for the figures."""
    options = json.dumps(
        {"port": port, "connections": connections, "requests": requests, "spread_s": spread_s, "tls": tls}
    )
    finished = subprocess.run([sys.executable, "-m", "bench.load", options], stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(finished.stdout)
    return figures
