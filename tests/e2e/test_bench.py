"""The benchmark runs from end to end and says what it is there to say; its figures are nobody's test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_part_of_the_benchmark_runs(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    finished = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(file)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    figures = json.loads(file.read_text())
    for mode in ("NORMAL", "FULL"):
        assert figures["in_process"][mode]["floor_us"] > 0
        assert figures["in_process"][mode]["engine_ratio"] > 0
        assert set(figures["slow_spine"][mode]) == {"50", "100"}
        assert len(figures["slow_spine"][mode]["100"]["worker_mb"]) == 2
        assert figures["slow_spine"][mode]["50"]["share_of_ideal"] > 0
    assert figures["over_http"]["provider"]["per_s"] > 0
    assert figures["over_http"]["bare"]["server_cpu_us"] > 0
    written = figures["audit"]["replicated"]
    assert written["records"] == written["records_kept"] == 300
    for spine in ("whole", "instant"):
        assert set(figures["audit"][spine]) == {"none", "sqlite", "postgresql"}
        assert figures["audit"][spine]["postgresql"]["share"] > 0
    inputs = figures["hostile"]["inputs"]
    assert inputs["a body one byte over the limit"]["status"] == 413
    assert inputs["a body at the limit, of tiny elements"]["status"] == 200
    assert "(c) loopback HTTP" in finished.stdout
    assert finished.stdout.count("met   ") + finished.stdout.count("MISSED") == 11
