"""Whoever writes the search index can die at any moment: nothing is missing, counted twice or half written."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from searched_trail import BEGIN, KEYS, UNSEALER, exchange, sqlite_trail
from smsp_provider.audit.traffic import hour_of
from smsp_provider.storage.audit_index_check import check_index

_ROOT = Path(__file__).resolve().parents[3]
_EXCHANGES = 400
_KILLS = 5
_INDEX = """
import sys
from pathlib import Path
from searched_trail import sqlite_trail
trail = sqlite_trail(Path(sys.argv[1]))
indexer = trail.indexer()
print("ready", flush=True)
for _ in sys.stdin:  # each time it may
    indexer.run(limit=20)
"""


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-PERF-002")
def test_an_index_is_whole_however_often_its_writer_was_killed(tmp_path: Path) -> None:
    trail = sqlite_trail(tmp_path)
    lane = trail.begin()
    for number in range(_EXCHANGES):
        trail.maker.write(lane, exchange(f"exchange-{number}", BEGIN + timedelta(milliseconds=number)))
    draw = random.Random(1)
    for _ in range(_KILLS):
        environment = {**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT / 'tests'}"}
        with subprocess.Popen(
            [sys.executable, "-c", _INDEX, str(tmp_path)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            # Never leave for all that there is to do, however fast it goes: some is left for the next one.
            process.stdin.write(b"go on\n" * 3)
            process.stdin.flush()
            time.sleep(draw.uniform(0, 0.08))
            process.kill()
        assert process.returncode == -signal.SIGKILL
    trail.indexer().run_to_the_end()
    assert sum(trail.index.traffic(hour_of(BEGIN), hour_of(BEGIN)).values()) == _EXCHANGES
    assert list(check_index(trail.database, UNSEALER, trail.index, KEYS)) == []
    trail.close()
