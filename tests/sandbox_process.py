"""A sandbox as a process of its own, for tests: started, read, signalled, and never left behind."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from free_ports import free_port
from kept_output import keep_file

__all__ = ["RunningSandbox", "any_ports", "environment", "members", "run_smsp", "running_sandbox"]

SRC: Final = Path(__file__).resolve().parents[1] / "src"
COMMAND: Final = (sys.executable, "-m", "smsp_provider.cli")


def any_ports() -> tuple[str, ...]:
    """Options of a sandbox: two ports that nobody else has."""
    return ("--http", f"127.0.0.1:{free_port()}", "--https", f"127.0.0.1:{free_port()}")


def environment(**variables: str) -> dict[str, str]:
    """The environment of a child: this one's, with the sources on the path and the variables given."""
    return {**os.environ, "PYTHONPATH": str(SRC), "PYTHONUNBUFFERED": "1", **variables}


def run_smsp(*arguments: str | Path, seconds: float = 300, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run ``smsp`` to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=environment(**variables),
    )


def members(root: int) -> set[int]:
    """The process and all below it, by what /proc says of parents."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class RunningSandbox:
    """A sandbox that serves. ``text`` is what it printed so far."""

    def __init__(self, process: "subprocess.Popen[str]", state: Path) -> None:
        self.process = process
        self.state = state
        self.text = ""

    def read_until(self, marker: str, seconds: float = 120) -> str:
        """Read its output until ``marker`` is in it."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while marker not in self.text:
            left = deadline - time.monotonic()
            assert left > 0, f"{marker!r} did not come; so far:\n{self.text}"
            if select.select([descriptor], [], [], left)[0]:
                part = os.read(descriptor, 65_536).decode()
                assert part, f"it ended before {marker!r}:\n{self.text}"
                self.text += part
        return self.text

    def url(self, scheme: str) -> str:
        """The address of all five services."""
        line = next(line for line in self.text.splitlines() if f" {scheme}://" in line and "/smsp/pds" in line)
        return next(word for word in line.split() if word.startswith(f"{scheme}://"))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the parent only."""
        self.process.send_signal(number)

    def all_gone(self, pids: set[int], seconds: float = 60) -> bool:
        """Whether all of ``pids`` end within so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not any(is_alive(pid) for pid in pids):
                return True
            time.sleep(0.05)
        return False


@contextmanager
def running_sandbox(state: Path, *arguments: str) -> Iterator[RunningSandbox]:
    """A sandbox that serves, in a process group of its own; whatever is left at the end is killed by its id."""
    process = subprocess.Popen(
        [*COMMAND, "sandbox", "--state", str(state), *any_ports(), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    sandbox = RunningSandbox(process, state)
    try:
        sandbox.read_until("Stop with Ctrl-C")
        yield sandbox
    finally:
        family = members(process.pid)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        for pid in family:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
        for log in ("provider.log", "operators.log"):
            keep_file("log", state / log)
