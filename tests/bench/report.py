"""The figures as a table for people, with what was to be shown and whether it was."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["report", "targets"]

_ENGINE_RATIO = 1.6
_SHARE_OF_BARE = 0.7
_ADMITTANCE_RATIO = 1.25
_SHARE_OF_IDEAL = 0.95
_ADDED_P99_MS = 50.0
_SHARE_WITH_AUDIT = 0.8
_WRITTEN_PER_S = 1_000
_PACE = 0.99
"""Of the rate that was asked for: the last record is written after it was due."""
_WRITTEN_P99_MS = 25.0
_MOST_SHOWN = 8


def targets(figures: Mapping[str, Any]) -> dict[str, bool]:
    """Each target whose part was run, and whether it was met."""
    found: dict[str, bool] = {}
    if "in_process" in figures:
        ratio = figures["in_process"]["NORMAL"]["engine_ratio"]
        found[f"provider in process at most {_ENGINE_RATIO} x the floor"] = ratio <= _ENGINE_RATIO
    if "over_http" in figures:
        share = figures["over_http"]["share_of_bare"]
        found[f"over HTTP at least {_SHARE_OF_BARE:.0%} of the bare handler"] = share >= _SHARE_OF_BARE
    if "admittance" in figures:
        ratio = figures["admittance"]["cpu_ratio"]
        found[f"knowing the caller costs at most {_ADMITTANCE_RATIO - 1:.0%} more CPU"] = ratio <= _ADMITTANCE_RATIO
    if "slow_spine" in figures:
        for mode, run in figures["slow_spine"].items():
            fifty = run["50"]
            found[f"50 in flight, audit {mode}: at least {_SHARE_OF_IDEAL:.0%} of the ideal"] = (
                fifty["share_of_ideal"] >= _SHARE_OF_IDEAL
            )
            found[f"50 in flight, audit {mode}: added p99 at most {_ADDED_P99_MS:.0f} ms"] = (
                fifty["added_p99_ms"] <= _ADDED_P99_MS
            )
    if "audit" in figures:
        for sink, name in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL")):
            found[f"durable audit in {name}: at least {_SHARE_WITH_AUDIT:.0%} of the throughput without any"] = (
                figures["audit"]["whole"][sink]["share"] >= _SHARE_WITH_AUDIT
            )
        written = figures["audit"]["replicated"]
        found[f"three writers, 5 ms commit: {_WRITTEN_PER_S} records/s, p99 at most {_WRITTEN_P99_MS:.0f} ms"] = (
            written["per_s"] >= _PACE * _WRITTEN_PER_S and written["p99_ms"] <= _WRITTEN_P99_MS
        )
    if "hostile" in figures:
        found["every hostile input under its goal"] = not figures["hostile"]["over_goal"]
    return found


def report(figures: Mapping[str, Any]) -> str:
    """All of it as lines of text."""
    return "\n".join(_lines(figures))


def _lines(figures: Mapping[str, Any]) -> Iterator[str]:
    machine = figures["machine"]
    yield f"{machine['cpus']} x {machine['cpu']}, Python {machine['python']}, load before {machine['load_before']}"
    for part, lines in (
        ("in_process", _in_process),
        ("over_http", _over_http),
        ("admittance", _admittance),
        ("slow_spine", _slow_spine),
        ("audit", _audit),
        ("hostile", _hostile),
    ):
        if part in figures:
            yield ""
            yield from lines(figures[part])
    yield ""
    for target, met in targets(figures).items():
        yield f"{'met   ' if met else 'MISSED'}  {target}"


def _in_process(found: Mapping[str, Any]) -> Iterator[str]:
    sizes = f"{found['request_bytes']} B in, {found['spine_answer_bytes']} B from Spine"
    yield f"(a, b) one process, one verification, microseconds, medians ({sizes})"
    for mode in ("NORMAL", "FULL"):
        run = found[mode]
        parts = "  ".join(
            f"{name} {run[f'{name}_us']:.0f} ({run[f'{name}_ratio']:.2f} x, CPU {run[f'{name}_cpu_ratio']:.2f} x)"
            for name in ("engine", "wsgi", "spyne")
        )
        yield f"  audit {mode:6}  floor {run['floor_us']:.0f}  {parts}"
        yield f"                16 callers: {run['engine_per_s_16_callers']} requests/s through the engine"


def _over_http(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"(c) loopback HTTP, {found['workers']} workers, {found['connections']} connections, audit NORMAL"
    for name in ("bare", "recording", "provider", "unpinned"):
        run = found[name]
        yield (
            f"  {name:9} {run['per_s']:7.0f} requests/s  p50 {run['p50_ms']:.1f} ms"
            f"  CPU us a request: server {run['server_cpu_us']:.0f}, generator {run['generator_cpu_us']:.0f}"
        )
    yield (
        f"  provider / bare: {found['share_of_bare']:.0%} of the requests/s,"
        f" {found['share_of_bare_by_server_cpu']:.0%} by server CPU;"
        f" bare with two durable records / bare: {found['recording_share_of_bare']:.0%};"
        f" workers each on a CPU / on any: {found['gain_by_pinning']:.0%}"
    )


def _admittance(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"(e) who calls: plain HTTP and everybody, mutual TLS and one of {found['clients']} registered clients"
    for name in ("everybody", "registered"):
        run = found[name]
        yield (
            f"  {name:10} {run['per_s']:7.0f} requests/s  p50 {run['p50_ms']:.1f} ms"
            f"  server CPU {run['server_cpu_us']:.0f} us a request"
        )
    yield f"  registered / everybody: {found['cpu_ratio']:.2f} x the server CPU"


def _slow_spine(found: Mapping[str, Any]) -> Iterator[str]:
    yield "(d) a Spine that answers after 250 ms over mutual TLS, whole provider, 2 workers of 64 threads"
    for mode, runs in found.items():
        for in_flight, run in runs.items():
            yield (
                f"  audit {mode:6} {in_flight:>3} in flight  {run['per_s']:.0f} of {run['ideal_per_s']:.0f} requests/s"
                f" ({run['share_of_ideal']:.0%})"
                f"  added p50 {run['added_p50_ms']:.0f} ms, p99 {run['added_p99_ms']:.0f} ms"
            )
            yield (
                f"      CPU us a request: provider {run['provider_cpu_us']}, Spine {run['spine_cpu_us']}, generator"
                f" {run['generator_cpu_us']}; {run['cores_busy']} cores busy; workers {run['worker_mb']} MB"
            )


def _audit(found: Mapping[str, Any]) -> Iterator[str]:
    size = f"{found['workers']} workers, {found['connections']} connections"
    yield f"(f) durable audit (FULL, fsync on) over HTTP, {size}"
    for spine, what in (("whole", "embedded Spine, mutual TLS"), ("instant", "answers of Spine at hand")):
        yield f"  {what}"
        for sink, name in (("none", "no audit"), ("sqlite", "SQLite"), ("postgresql", "PostgreSQL")):
            run = found[spine][sink]
            share = f"  {run['share']:.0%} of no audit" if "share" in run else ""
            yield (
                f"    {name:10} {run['per_s']:7.0f} requests/s  p50 {run['p50_ms']:.1f} ms  p99 {run['p99_ms']:.1f} ms"
                f"  server CPU {run['server_cpu_us']:.0f} us a request{share}"
            )
    written = found["replicated"]
    yield (
        f"  {written['writers']} writers, commit {written['commit_ms']:.1f} ms (streaming replica):"
        f" {written['per_s']} records/s  p50 {written['p50_ms']:.1f} ms  p99 {written['p99_ms']:.1f} ms"
        f"  longest {written['longest_ms']:.0f} ms"
    )


def _hostile(found: Mapping[str, Any]) -> Iterator[str]:
    inputs, goal = found["inputs"], found["goal"]
    yield f"hostile inputs: {len(inputs)}, goal under {goal['ms']:.0f} ms and {goal['mb']:.0f} MB each; the dearest:"
    for name, run in sorted(inputs.items(), key=lambda item: -item[1]["ms"])[:_MOST_SHOWN]:
        yield f"  {run['ms']:7.2f} ms {run['mb']:6.2f} MB {run['bytes']:7} B  {run['status']}  {name}"
    over = found["over_goal"]
    yield f"  over the goal: {', '.join(over) if over else 'none'}"
