"""A command at a terminal: a real process whose controlling terminal is a pseudo-terminal that the test types into."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["Terminal", "at_terminal"]

_PATIENCE_SECONDS = 60.0
# The first terminal that the leader of a session opens becomes its controlling one.
_LEADER = """
import os, sys
os.dup2(os.open(sys.argv[1], os.O_RDWR), 0)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Terminal:
    """What the command shows at the terminal, and what is typed there."""

    def __init__(self, master: int, process: "subprocess.Popen[str]") -> None:
        self._master = master
        self._process = process
        self.shown = ""

    def answer(self, prompt: str, text: str) -> None:
        """Wait until ``prompt`` is asked (after what was asked before), and type ``text``."""
        self._wait_for(prompt)
        self.shown = self.shown.partition(prompt)[2]
        os.write(self._master, f"{text}\n".encode())

    def wait_for(self, text: str) -> str:
        """All that is shown up to the end of the line with ``text``."""
        self._wait_for(text)
        while "\n" not in self.shown.partition(text)[2]:
            self._read()
        return self.shown

    def end(self) -> tuple[int, str, str]:
        """Exit code, and what was written to output and errors, none of which is the terminal."""
        out, err = self._process.communicate(timeout=_PATIENCE_SECONDS)
        return self._process.returncode, out, err

    def _wait_for(self, text: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, f"not shown in time: {text}"
            self._read()

    def _read(self) -> None:
        ready, _, _ = select.select([self._master], [], [], _PATIENCE_SECONDS)
        assert ready, "nothing is shown"
        try:
            self.shown += os.read(self._master, 4096).decode("utf-8", "replace")
        except OSError:  # the process has closed the terminal
            raise AssertionError(f"it ended: {self.end()}") from None


@contextmanager
def at_terminal(*arguments: object, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run ``python -m smsp_provider.cli`` with these arguments at a terminal of its own."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    command = [sys.executable, "-c", _LEADER, name, "-m", "smsp_provider.cli", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        os.close(slave)
        os.close(master)
