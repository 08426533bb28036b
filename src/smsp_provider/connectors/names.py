"""Addresses of a host within a time: the system's resolver has no bound that a caller could set.

A look-up runs in a thread of its own, and who asks for the same name meanwhile waits for the same look-up: a resolver
that hangs costs one thread for each name, however many requests come. Nothing is kept once it has answered, so a
change of the addresses counts from the next connection on.
"""

import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

__all__ = ["AddressInfo", "addresses_of"]

AddressInfo = tuple[
    socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]
"""As :func:`socket.getaddrinfo` gives it: family, kind, protocol, canonical name, address."""

_Lookup = Future[Sequence[AddressInfo]]

_lock: Final = threading.Lock()
_under_way: Final[dict[tuple[str, int], _Lookup]] = {}


def addresses_of(host: str, port: int, seconds: float) -> Sequence[AddressInfo]:
    """The addresses of ``host`` for a stream to ``port``; an IP address is its own.

    Thread-safe. A process that forks must not have called it before.

    Raises:
        TimeoutError: the resolver has not answered within ``seconds``.
        OSError, UnicodeError: there is no such name, or the resolver fails.
        RuntimeError: no thread could be started.
    """
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return _lookup_of(host, port).result(seconds)


def _lookup_of(host: str, port: int) -> _Lookup:
    with _lock:
        lookup = _under_way.get((host, port))
        if lookup is None:
            lookup = Future()
            threading.Thread(target=_look_up, args=(host, port, lookup), name="resolver", daemon=True).start()
            _under_way[host, port] = lookup
        return lookup


def _look_up(host: str, port: int, lookup: _Lookup) -> None:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # noqa: BLE001 - raised again in the threads that wait for it
        _forget(host, port)
        lookup.set_exception(error)
    else:
        _forget(host, port)
        lookup.set_result(addresses)


def _forget(host: str, port: int) -> None:
    """Before the answer is handed out: who asks after it has come starts anew."""
    with _lock:
        del _under_way[host, port]
