"""(c): the provider over loopback HTTP, beside a bare WSGI handler that does the floor's work in the same gunicorn.

A third one does the same work and keeps two durable records: it shows what of the distance is the price of an audit
trail, however it is written. The target compares with the bare handler. And the provider once more with workers that
run on any CPU: what it gains by keeping them each to its own.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from bench.processes import Server, loaded
from free_ports import free_port

__all__ = ["over_http"]

_WORKERS = 2
_THREADS = 16
_CONNECTIONS = 16
_SERVERS = {
    "bare": ("floor", True),
    "recording": ("recording", True),
    "provider": ("provider", True),
    "unpinned": ("provider", False),
}
"""By name: the role, and whether each worker keeps to a CPU."""


def over_http(state: Path, requests: int, rounds: int = 5) -> dict[str, Any]:
    """Requests a second and server CPU of all four, ``requests`` in each of the rounds, that alternate; medians.

    Generator and servers share the machine: what the generator takes is printed too.
    """
    with ExitStack() as running:
        servers = {name: running.enter_context(_server(name, state)) for name in _SERVERS}
        found = [{name: _round(server, requests) for name, server in servers.items()} for _ in range(rounds)]
    return {
        "connections": _CONNECTIONS,
        "workers": _WORKERS,
        **{
            name: {key: round(median(one[name][key] for one in found), 1) for key in found[0][name]} for name in servers
        },
        "share_of_bare": _share(found, "provider", "per_s"),
        "share_of_bare_by_server_cpu": _share(found, "bare", "server_cpu_us", of="provider"),
        "recording_share_of_bare": _share(found, "recording", "per_s"),
        "gain_by_pinning": _share(found, "provider", "per_s", of="unpinned"),
    }


def _server(name: str, state: Path) -> Server:
    role, pinned = _SERVERS[name]
    place = state / name
    place.mkdir(mode=0o700)
    options = {"synchronous": "NORMAL", "threads": _THREADS, "state": place, "port": free_port(), "pinned": pinned}
    return Server(role, options, _WORKERS)


def _share(rounds: Sequence[Mapping[str, Mapping[str, float]]], name: str, key: str, *, of: str = "bare") -> float:
    return round(median(one[name][key] / one[of][key] for one in rounds), 3)


def _round(server: Server, requests: int) -> dict[str, float]:
    before = server.cpu_seconds()
    figures = loaded(server.port, connections=_CONNECTIONS, requests=requests)
    if figures["failed"]:
        raise RuntimeError(f"{figures['failed']} requests failed")
    return {
        "per_s": figures["per_s"],
        "server_cpu_us": (server.cpu_seconds() - before) / (requests + _CONNECTIONS) * 1e6,
        "generator_cpu_us": figures["cpu_seconds"] / requests * 1e6,
        "p50_ms": median(figures["latencies_ms"]),
    }
