"""(d): verifications through the whole provider against a Spine that takes its time, over mutual TLS."""

from pathlib import Path
from statistics import median
from typing import Any

from bench.material import percentile
from bench.processes import Server, loaded
from free_ports import free_port
from smsp_provider.simulator.pki import make_pki

__all__ = ["slow_spine"]

_DELAY = 0.25
_WORKERS = 2
_THREADS = 96
_IN_FLIGHT = (50, 100)


def slow_spine(state: Path, rounds: int) -> dict[str, Any]:
    """By mode of the audit and requests in flight: throughput, added latency, who used the CPUs, memory per worker.

    Every connection asks ``rounds`` times.
    """
    make_pki(state / "keys")
    return {mode: _with_audit(state, mode, rounds) for mode in ("FULL", "NORMAL")}


def _with_audit(state: Path, mode: str, rounds: int) -> dict[str, Any]:
    port = free_port()
    spine = Server("spine", {"state": state, "port": port, "delay": _DELAY}, 0)
    folder = state / mode
    folder.mkdir(mode=0o700)
    (folder / "keys").symlink_to(state / "keys")
    provider = Server(
        "whole",
        {
            "state": folder,
            "port": free_port(),
            "spine": f"https://127.0.0.1:{port}/sync-service",
            "synchronous": mode,
            "threads": _THREADS,
        },
        _WORKERS,
    )
    with spine, provider:
        return {str(count): _in_flight(spine, provider, count, rounds) for count in _IN_FLIGHT}


def _in_flight(spine: Server, provider: Server, connections: int, rounds: int) -> dict[str, Any]:
    requests = connections * rounds
    # Connections to Spine are made, threads started and caches filled before anything counts.
    loaded(provider.port, connections=connections, requests=connections)
    before = provider.cpu_seconds(), spine.cpu_seconds()
    figures = loaded(provider.port, connections=connections, requests=requests, spread_s=_DELAY)
    mine, theirs = provider.cpu_seconds() - before[0], spine.cpu_seconds() - before[1]
    if figures["failed"]:
        raise RuntimeError(f"{figures['failed']} requests failed")
    added = [latency - _DELAY * 1000 for latency in figures["latencies_ms"]]
    ideal = connections / _DELAY
    answered = requests + connections
    return {
        "per_s": round(figures["in_use_per_s"], 1),
        "ideal_per_s": ideal,
        "share_of_ideal": round(figures["in_use_per_s"] / ideal, 3),
        "added_p50_ms": round(median(added), 1),
        "added_p99_ms": round(percentile(added, 0.99), 1),
        "provider_cpu_us": round(mine / answered * 1e6),
        "spine_cpu_us": round(theirs / answered * 1e6),
        "generator_cpu_us": round(figures["cpu_seconds"] / requests * 1e6),
        "cores_busy": round((mine + theirs + figures["cpu_seconds"]) * figures["per_s"] / answered, 2),
        "worker_mb": provider.memory_mb(),
    }
