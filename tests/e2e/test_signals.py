"""A signal that gunicorn knows and this provider does not: nothing ends, and nothing is started a second time."""

import os
import signal
from pathlib import Path

from edge_process import until
from sandbox_process import members
from served_provider import served


def test_nobody_starts_a_second_provider_by_a_signal(tmp_path: Path) -> None:
    with served(tmp_path / "state", workers=1) as (provider, _):
        before = members(provider.process.pid)
        for pid in before:
            # The workers' own meaning of it is not of interest: they are never sent it.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(provider.process.pid):
                os.kill(pid, signal.SIGUSR2)
        os.kill(provider.process.pid, signal.SIGUSR2)
        until(lambda: b"SIGUSR2 is not for this provider" in provider.log.read_bytes(), seconds=60)
        assert provider.ask().code == "SMSP-0000"
        assert provider.process.poll() is None
        assert members(provider.process.pid) == before
