"""What the system knows about its clock: the kernel keeps what chrony, ntpd or systemd-timesyncd told it (adjtimex(2)).

Where chrony or ntpd can be asked besides, they tell the source and its stratum. Nothing here sets anything.

Source: SMSP-AUDIT-010 (a source of stratum 3 or better, operators can see the state), IFC-TIM-01 (250 ms).
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["ClockSource", "KernelClock", "read_kernel_clock", "read_source"]

_STA_UNSYNC: Final = 0x0040
_STA_NANO: Final = 0x2000
_TIME_ERROR: Final = 5
_MICROSECONDS: Final = 1_000
"""In a millisecond; nanoseconds are a thousand times as many."""
_ASK_SECONDS: Final = 5.0
_UNKNOWN_STRATUM: Final = 16


class _Timex(ctypes.Structure):
    """``struct timex`` of Linux, whose ``time_t`` and ``long`` are alike on 64-bit machines."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("constant", "precision", "tolerance", "seconds", "fraction", "tick")),
        *((name, ctypes.c_long) for name in ("ppsfreq", "jitter")),
        ("shift", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("stabil", "jitcnt", "calcnt", "errcnt", "stbcnt")),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


@dataclass(frozen=True, slots=True)
class KernelClock:
    """The clock as the kernel sees it, in milliseconds.

    ``offset_ms`` is how much is still to be corrected, ``estimated_error_ms`` what the time daemon thinks it is off,
    ``most_error_ms`` a bound that grows for as long as the daemon does not renew it.
    """

    synchronised: bool
    offset_ms: float
    estimated_error_ms: float
    most_error_ms: float


@dataclass(frozen=True, slots=True)
class ClockSource:
    """What the time daemon follows: its ``name`` for it, and its stratum, 16 for none."""

    daemon: str
    name: str
    stratum: int


def read_kernel_clock() -> KernelClock | None:
    """The state of the clock; None where the system does not tell (not Linux, or not allowed)."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_long) != ctypes.sizeof(ctypes.c_int64):
        return None
    state = _Timex()
    told = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state))
    if told < 0:
        return None
    per_ms = _MICROSECONDS * (1_000 if state.status & _STA_NANO else 1)
    return KernelClock(
        synchronised=told != _TIME_ERROR and not state.status & _STA_UNSYNC,
        offset_ms=state.offset / per_ms,
        estimated_error_ms=state.esterror / _MICROSECONDS,
        most_error_ms=state.maxerror / _MICROSECONDS,
    )


def read_source() -> ClockSource | None:
    """What chrony or ntpd follows; None where neither is installed, or none answers."""
    for command, read in _DAEMONS:
        program = shutil.which(command[0])
        if program is None:
            continue
        try:
            done = subprocess.run(  # noqa: S603 - fixed words
                [program, *command[1:]],
                capture_output=True,
                text=True,
                timeout=_ASK_SECONDS,
                check=True,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "LC_ALL": "C"},
            )
            return read(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError, IndexError, KeyError):
            continue
    return None


def _chrony(text: str) -> ClockSource:
    """``chronyc -c tracking``: values with commas; the stratum is this machine's, one more than its source's."""
    reference, address, stratum = text.split(",")[:3]
    return ClockSource("chrony", address or reference, int(stratum) - 1 if int(stratum) else _UNKNOWN_STRATUM)


def _ntp(text: str) -> ClockSource:
    """``ntpq -c rv``: names and values with commas and line ends; the stratum is this machine's."""
    values = dict(item.strip().split("=", 1) for item in text.replace("\n", ",").split(",") if "=" in item)
    stratum = int(values["stratum"])
    return ClockSource("ntpd", values["refid"], stratum if stratum == _UNKNOWN_STRATUM else stratum - 1)


_DAEMONS: Final[tuple[tuple[tuple[str, ...], Callable[[str], ClockSource]], ...]] = (
    (("chronyc", "-n", "-c", "tracking"), _chrony),
    (("ntpq", "-n", "-c", "rv"), _ntp),
)
