"""(f): what a durable audit trail costs, in SQLite and in PostgreSQL; and writers whose commits wait for a replica.

The trail is compared with a sink that does nothing, in the same provider, in turns of one run. PostgreSQL is a real
server of the benchmark's own, with fsync on. The replica is a real one too, streaming, told to apply each commit 5 ms
after it was made; the server waits for that (``synchronous_commit = remote_apply``). Both keep their data in memory
there, so that a commit takes these 5 ms whatever the disk is doing.
"""

import json
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from bench.audit_writer import FIRST
from bench.material import percentile
from bench.processes import Server, loaded
from free_ports import free_port
from postgres_audit import PROVIDER, prepared_on, superuser_of, trail_in
from postgres_instance import PostgresInstance
from smsp_provider.simulator.pki import make_pki
from smsp_provider.storage.audit_database import AuditDatabase
from soak.postgres_outages import whole_chain

__all__ = ["audited", "replicated"]

_SINKS = ("none", "sqlite", "postgresql")
_CONNECTIONS = 50
_WORKERS = 2
_THREADS = 64
_WRITERS = 3
_PER_S = 1_000
_COMMIT_DELAY = "5ms"
_COMMITS = 101


def audited(state: Path, requests: int, rounds: int = 30) -> dict[str, Any]:
    """Requests a second by audit sink, and their share of those with no sink; and the writers with a replica.

    ``whole`` asks an embedded Spine over mutual TLS, as the provider does; ``instant`` has the answer of Spine at hand,
    so that nothing but the provider's own work stands beside the trail. ``requests`` are sent in each of the rounds, in
    which every sink has its turn. Figures are medians.
    """
    make_pki(state / "keys")
    port = free_port()
    spine = Server("spine", {"state": state, "port": port, "delay": 0.0}, 0)
    with PostgresInstance() as postgres:
        with spine:
            whole = _by_sink(state / "whole", postgres, f"https://127.0.0.1:{port}/sync-service", requests, rounds)
        instant = _by_sink(state / "instant", postgres, "", requests, rounds)
    return {
        "connections": _CONNECTIONS,
        "workers": _WORKERS,
        "whole": whole,
        "instant": instant,
        "replicated": replicated(state, 5 * requests),
    }


def _by_sink(state: Path, postgres: PostgresInstance, spine: str, requests: int, turns: int) -> dict[str, Any]:
    state.mkdir(mode=0o700)
    url = prepared_on(postgres)
    servers = {sink: _server(state / sink, sink, url, spine) for sink in _SINKS}
    rounds: list[dict[str, dict[str, float]]] = []
    with ExitStack() as running:
        for server in servers.values():
            running.enter_context(server)
            loaded(server.port, connections=_CONNECTIONS, requests=_CONNECTIONS * (8 if turns > 1 else 1))
        # Short turns right behind each other: the machine's own speed changes in a minute by more than a trail costs.
        for number in range(turns):
            # What one leaves to be done (a disk, caches) is not always the same one's to pay.
            order = random.Random(number).sample(_SINKS, len(_SINKS))
            turn = {sink: _round(servers[sink], requests) for sink in order}
            rounds.append(turn)
    by_sink: dict[str, Any] = {
        sink: {key: round(median(one[sink][key] for one in rounds), 1) for key in rounds[0][sink]} for sink in _SINKS
    }
    for sink in _SINKS[1:]:
        shares = sorted(one[sink]["per_s"] / one["none"]["per_s"] for one in rounds)
        by_sink[sink]["share"] = round(median(shares), 3)
        by_sink[sink]["half_of_the_shares"] = [round(percentile(shares, part), 3) for part in (0.25, 0.75)]
    return by_sink


def _server(state: Path, sink: str, url: str, spine: str) -> Server:
    state.mkdir(mode=0o700)
    (state / "keys").symlink_to(state.parents[1] / "keys")
    store = url if sink == "postgresql" else ""
    options = {
        "state": state,
        "port": free_port(),
        "threads": _THREADS,
        "sink": sink,
        "store": store,
        "spine": spine,
    }
    return Server("audited", options, _WORKERS)


def _round(server: Server, requests: int) -> dict[str, float]:
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
        kept = _kept(trail.database)
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


def _kept(database: AuditDatabase) -> int:
    """How many intents and endings there are, of whole lanes."""
    return sum(
        record.kind in ("intent", "ending") and not str(record.exchange).endswith(FIRST)
        for record in whole_chain(database)
    )
