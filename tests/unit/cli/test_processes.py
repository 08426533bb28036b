"""Children that end with their parent, on request, or by force."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox_process import environment, is_alive
from smsp_provider.cli.processes import StopSignals, start_child, stop_children
from smsp_provider.web.stopping import STOP_ORDER


def sleep_long() -> int:
    time.sleep(60)
    return 0


def wait_for_end(child_ended: object, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    assert callable(child_ended)
    while time.monotonic() < deadline:
        if child_ended():
            return True
        time.sleep(0.02)
    return False


def test_the_exit_code_of_the_work_is_the_child_s() -> None:
    child = start_child("work", lambda: 7)
    assert wait_for_end(child.ended)
    assert child.exit_code == 7


def test_an_exception_is_exit_code_1_and_told(capfd: pytest.CaptureFixture[str]) -> None:
    child = start_child("work", lambda: 1 // 0)
    assert wait_for_end(child.ended)
    assert child.exit_code == 1
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_children_are_ended_in_order() -> None:
    child = start_child("sleeper", sleep_long)
    assert stop_children([child], 30) is True
    assert child.exit_code == -STOP_ORDER


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_child_ends_by_its_parents_order_and_not_by_what_was_sent_to_all(number: signal.Signals) -> None:
    told, tell = os.pipe()

    def wait_for_order() -> int:
        signals = StopSignals()
        os.kill(os.getpid(), number)
        os.write(tell, b"stopping" if signals.wait(0) else b"there")
        signals.wait()
        return 7

    child = start_child("attentive", wait_for_order)
    os.close(tell)
    assert os.read(told, 8) == b"there"
    os.close(told)
    child.send(number)
    assert stop_children([child], 30) is True
    assert child.exit_code == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_process_that_nobody_forked_ends_by_a_signal_from_anybody(number: signal.Signals, tmp_path: Path) -> None:
    program = (
        "from smsp_provider.cli.processes import StopSignals\n"
        "signals = StopSignals(); print('waits', flush=True); print(signals.wait(60))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("True\n", 0)


def test_a_child_that_does_not_end_is_killed() -> None:
    told, tell = os.pipe()

    def refuse_to_stop() -> int:
        signal.signal(STOP_ORDER, signal.SIG_IGN)
        os.write(tell, b"!")
        return sleep_long()

    child = start_child("stubborn", refuse_to_stop)
    os.close(tell)
    assert os.read(told, 1) == b"!"
    os.close(told)
    assert stop_children([child], 0.3) is False
    assert child.exit_code == -signal.SIGKILL
    assert not is_alive(child.pid)


def test_a_child_is_in_a_process_group_of_its_own() -> None:
    child = start_child("sleeper", sleep_long)
    assert os.getpgid(child.pid) == child.pid
    stop_children([child], 30)


def test_a_child_asked_to_stop_before_it_has_begun_stops(tmp_path: Path) -> None:
    # After each fork the child waits where it still has its parent's handlers, so that every signal comes too early.
    program = (
        "import os, signal, time\n"
        "from smsp_provider.cli.processes import StopSignals, start_child, stop_children\n"
        "os.register_at_fork(after_in_child=lambda: time.sleep(0.05))\n"
        "StopSignals()\n"
        "children = [start_child('sleeper', lambda: time.sleep(60) or 0) for _ in range(20)]\n"
        "orderly = stop_children(children, 45)\n"
        "print(orderly, {child.exit_code for child in children}, signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), cwd=tmp_path, check=False
    )
    assert done.stdout == f"True {{{-STOP_ORDER}}} set()\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent death signal")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import time; from smsp_provider.cli.processes import start_child\n"
        "child = start_child('sleeper', lambda: time.sleep(60) or 0)\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.wait(30)
    parent.stdout.close()
    assert wait_for_end(lambda: not is_alive(child))


def test_a_signal_in_whatever_moment_of_the_waiting_ends_it(tmp_path: Path) -> None:
    """A handler runs between any two steps of who waits; one that takes a lock finds it held before long."""
    program = (
        "import os, random, signal\n"
        "from smsp_provider.cli.processes import StopSignals\n"
        "for _ in range(1500):\n"
        "    signals = StopSignals()\n"
        "    signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))\n"
        "    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 3e-4))\n"
        "    while not signals.wait(1e-5): pass\n"
        "    os.closerange(3, 10)\n"
        "print('done')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        cwd=tmp_path,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("done\n", 0)
