"""Ports for the servers that tests start: nobody takes one between its choice and the server's own bind.

A port that the kernel picks and that is closed again at once can be picked for somebody else before the server has
started. These lie below the range that the kernel picks from, and each is kept for the process that chose it, by a name
that only one process at a time can have, until that process ends.
"""

import itertools
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import Final

__all__ = ["free_port"]

_LOWEST: Final = 20_000
_PICKED_BY_THE_KERNEL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_kept: Final[dict[int, socket.socket]] = {}


def free_port() -> int:
    """A port of the loopback address that nobody listens on, and that no other caller of this function gets."""
    beyond = int(_PICKED_BY_THE_KERNEL.read_text(encoding="ascii").split()[0])
    count = beyond - _LOWEST
    # Processes begin far from each other, so that hardly any port is tried twice.
    begin = os.getpid() * 389 + len(_kept)
    for place in itertools.islice(itertools.count(begin), count):
        port = _LOWEST + place % count
        if port not in _kept and _keep(port):
            return port
    raise RuntimeError("no port is free")


def _keep(port: int) -> bool:
    name = socket.socket(socket.AF_UNIX)
    try:
        # A name that begins with a zero byte is in no file system, and ends with its process.
        name.bind(f"\0smsp-tests-port-{port}")
        with closing(socket.socket()) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", port))
    except OSError:
        name.close()
        return False
    _kept[port] = name
    return True
