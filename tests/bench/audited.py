"""(f): what a durable audit trail costs, in SQLite and in PostgreSQL; and writers whose commits wait for a replica.

The trail is compared with a sink that does nothing, in the same provider, in turns of one run. PostgreSQL is a real
server of the benchmark's own, with fsync on. The replica is a real one too, streaming, told to apply each commit 5 ms
after it was made; the server waits for that (``synchronous_commit = remote_apply``). Both keep their data in memory
there, so that a commit takes these 5 ms whatever the disk is doing.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from bench.audit_writer import FIRST
from bench.material import percentile
from bench.processes import Server, free_port, loaded
from postgres_audit import PROVIDER, prepared_on, superuser_of, trail_in
from postgres_instance import PostgresInstance
from smsp_provider.audit.chain import first_link, next_link
from smsp_provider.storage.audit_database import AuditDatabase

__all__ = ["audited", "replicated"]

_SINKS = ("none", "sqlite", "postgresql")
_CONNECTIONS = 50
_WORKERS = 2
_THREADS = 64
_ROUNDS = 5
_WRITERS = 3
_PER_S = 1_000
_COMMIT_DELAY = "5ms"
_COMMITS = 101


def audited(state: Path, requests: int) -> dict[str, Any]:
    """Requests a second of the whole provider by audit sink, and their share of those with no sink; the writers.

    ``requests`` are sent in each of some rounds, in which every sink has its turn. Figures are medians.
    """
    with PostgresInstance() as server:
        url = prepared_on(server)
        servers = {sink: _server(state, sink, url) for sink in _SINKS}
        rounds: list[dict[str, dict[str, float]]] = []
        for number in range(_ROUNDS):
            # (One at a time: two idle workers of another sink would still take a share of the machine.)
            order = _SINKS[number % len(_SINKS) :] + _SINKS[: number % len(_SINKS)]
            found = {}
            for sink in order:
                with servers[sink] as running:
                    found[sink] = _round(running, requests)
            rounds.append(found)
    return {
        "connections": _CONNECTIONS,
        "workers": _WORKERS,
        **{
            sink: {key: round(median(one[sink][key] for one in rounds), 1) for key in rounds[0][sink]}
            for sink in _SINKS
        },
        "share": {
            sink: round(median(one[sink]["per_s"] / one["none"]["per_s"] for one in rounds), 3) for sink in _SINKS[1:]
        },
        "replicated": replicated(state, requests),
    }


def _server(state: Path, sink: str, url: str) -> Server:
    folder = state / sink
    folder.mkdir(mode=0o700)
    store = url if sink == "postgresql" else ""
    options = {"state": folder, "port": free_port(), "synchronous": "FULL", "threads": _THREADS, "store": store}
    return Server("unaudited" if sink == "none" else "provider", options, _WORKERS)


def _round(server: Server, requests: int) -> dict[str, float]:
    loaded(server.port, connections=_CONNECTIONS, requests=_CONNECTIONS * 4)
    before = server.cpu_seconds()
    figures = loaded(server.port, connections=_CONNECTIONS, requests=requests)
    if figures["failed"]:
        raise RuntimeError(f"{figures['failed']} requests failed")
    return {
        "per_s": figures["per_s"],
        "server_cpu_us": (server.cpu_seconds() - before) / (requests + _CONNECTIONS) * 1e6,
        "p50_ms": median(figures["latencies_ms"]),
        "p99_ms": percentile(figures["latencies_ms"], 0.99),
    }


def replicated(state: Path, records: int) -> dict[str, Any]:
    """How long records of three processes take that together write 1,000 a second, each from the moment it was due."""
    with PostgresInstance(in_memory=True) as primary, primary.replica({"recovery_min_apply_delay": _COMMIT_DELAY}):
        url = prepared_on(primary)
        with psycopg.connect(superuser_of(url), autocommit=True) as connection:
            connection.execute(f"ALTER ROLE {PROVIDER} SET synchronous_commit = remote_apply".encode())
        commit_ms = _commit_ms(url)
        place = state / "replicated"
        place.mkdir(mode=0o700)
        begun = time.perf_counter()
        writers = [_start_writer(url, place, number, records // _WRITERS) for number in range(_WRITERS)]
        figures = [json.loads(writer.communicate()[0]) for writer in writers]
        seconds = time.perf_counter() - begun
        trail = trail_in(url, place)
        kept = _whole(trail.database)
        trail.close_session()
    latencies = [latency for one in figures for latency in one["latencies_ms"]]
    return {
        "writers": _WRITERS,
        "commit_ms": commit_ms,
        "per_s": round(sum(one["per_s"] for one in figures)),
        "p50_ms": round(median(latencies), 1),
        "p99_ms": round(percentile(latencies, 0.99), 1),
        "longest_ms": round(max(latencies), 1),
        "records": len(latencies),
        "records_kept": kept,
        "seconds": round(seconds, 1),
    }


def _commit_ms(url: str) -> float:
    """What the smallest commit takes."""
    with psycopg.connect(superuser_of(url), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = remote_apply")
        connection.execute("CREATE TABLE commits (x integer)")
        taken = []
        for number in range(_COMMITS):
            begun = time.perf_counter()
            connection.execute("INSERT INTO commits VALUES (%s)", (number,))
            taken.append((time.perf_counter() - begun) * 1000)
    return round(median(taken), 2)


def _start_writer(url: str, place: Path, number: int, records: int) -> "subprocess.Popen[bytes]":
    options = {"url": url, "place": str(place), "name": f"W{number}", "records": records, "per_s": _PER_S / _WRITERS}
    return subprocess.Popen(
        [sys.executable, "-m", "bench.audit_writer", json.dumps(options)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )


def _whole(database: AuditDatabase) -> int:
    """How many intents and endings there are; every lane must be without gaps, and every link right."""
    kept = 0
    for lane in database.lanes():
        link = first_link(database.trail_id(), lane.token, lane.day)
        for number, record in enumerate(database.chain(lane), 1):
            link = next_link(link, number, record.kind, record.at, record.exchange, record.commitment)
            if (record.n, record.link) != (number, link):
                raise RuntimeError("the chain is broken")
            kept += record.kind in ("intent", "ending") and not str(record.exchange).endswith(FIRST)
    return kept
