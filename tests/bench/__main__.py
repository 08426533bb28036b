"""``python -m bench``: all parts one after the other, each in a process of its own; a table, and JSON beside it.

``--quick`` only shows that everything runs: some parts at the same time, with figures that say nothing. ``--json
FILE`` names the file. Parts may be named to run only those.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.admittance import admittance
from bench.audited import audited
from bench.hostile import hostile
from bench.in_process import in_process
from bench.over_http import over_http
from bench.report import report
from bench.slow_spine import slow_spine

_AT_ONCE = 3
"""Parts that run at the same time where figures say nothing: each waits for something half of its time."""

_PARTS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "in_process": lambda state, quick: in_process(state, 20 if quick else 2_000),
    "over_http": lambda state, quick: over_http(state, *((40, 1) if quick else (3_000, 5))),
    "admittance": lambda state, quick: admittance(state, *((40, 1) if quick else (3_000, 5))),
    "slow_spine": lambda state, quick: slow_spine(state, 2 if quick else 40),
    "audit": lambda state, quick: audited(state, *((60, 1) if quick else (600, 30))),
    "hostile": lambda state, quick: hostile(state, 20 if quick else 1),
}


def _machine() -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "cpu": model,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.release(),
    }


def _apart(part: str, quick: bool) -> dict[str, Any]:
    """One part in a new process, so that nothing of another weighs on it."""
    sys.stderr.write(f"{part} ...\n")
    command = [sys.executable, "-m", "bench", "--alone", part, *(["--quick"] if quick else [])]
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(finished.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *_PARTS], default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--alone", choices=list(_PARTS), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        with tempfile.TemporaryDirectory(prefix="smsp-bench-") as folder:
            sys.stdout.write(json.dumps(_PARTS[chosen.alone](Path(folder), chosen.quick)))
        return
    figures: dict[str, Any] = {"machine": _machine(), "quick": chosen.quick}
    parts = chosen.parts or list(_PARTS)
    with ThreadPoolExecutor(_AT_ONCE if chosen.quick else 1) as pool:
        figures |= zip(parts, pool.map(lambda part: _apart(part, chosen.quick), parts), strict=True)
    chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(report(figures) + "\n")


if __name__ == "__main__":
    main()
