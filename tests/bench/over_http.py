"""(c): the provider over loopback HTTP, beside a bare WSGI handler that does the floor's work in the same gunicorn."""

from pathlib import Path
from statistics import median
from typing import Any

from bench.processes import Server, free_port, loaded

__all__ = ["over_http"]

_WORKERS = 2
_THREADS = 16
_CONNECTIONS = 16
_ROUNDS = 5


def over_http(state: Path, requests: int) -> dict[str, Any]:
    """Requests a second and server CPU of both, ``requests`` in each of some rounds that alternate; medians.

    Generator and servers share the machine: what the generator takes is printed too.
    """
    options = {"synchronous": "NORMAL", "threads": _THREADS}
    floor = Server("floor", {**options, "state": state / "floor", "port": free_port()}, _WORKERS)
    provider = Server("provider", {**options, "state": state / "provider", "port": free_port()}, _WORKERS)
    for folder in ("floor", "provider"):
        (state / folder).mkdir(mode=0o700)
    with floor, provider:
        rounds = [(_round(floor, requests), _round(provider, requests)) for _ in range(_ROUNDS)]
    both = {
        name: {key: round(median(pair[index][key] for pair in rounds), 1) for key in rounds[0][index]}
        for index, name in enumerate(("bare", "provider"))
    }
    return {
        "connections": _CONNECTIONS,
        "workers": _WORKERS,
        **both,
        "share_of_bare": round(median(mine["per_s"] / bare["per_s"] for bare, mine in rounds), 3),
        "share_of_bare_by_server_cpu": round(
            median(bare["server_cpu_us"] / mine["server_cpu_us"] for bare, mine in rounds), 3
        ),
    }


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
