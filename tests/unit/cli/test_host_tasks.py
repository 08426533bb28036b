"""What each host watches: every task runs on plain settings, for each host; the clock is watched in live alone."""

import io
from pathlib import Path

import pytest

from signed_in import write_configuration
from smsp_provider.cli.host_tasks import host_tasks
from smsp_provider.config.settings import Environment, load_settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.logs import Level, LogLevel, LogObserver


@pytest.mark.rule("IFC-ALT-01", "IFC-TIM-01")
@pytest.mark.parametrize("environment", [Environment.LIVE, Environment.TEST])
def test_every_host_runs_all_of_them(tmp_path: Path, environment: Environment) -> None:
    write_configuration(tmp_path / "provider.toml", 'policy = "os-user"')
    settings = load_settings(tmp_path / "provider.toml").model_copy(update={"environment": environment})
    stream = io.BytesIO()
    tasks = list(host_tasks(settings, LogObserver(stream, LogLevel(Level.INFO), SystemClock()), SystemClock()))
    for task in tasks:
        task.run()
        assert not task.alone
    watched = {task.name.removeprefix("the watch over ") for task in tasks}
    clock = {"the clock"} if environment is Environment.LIVE else set()
    assert watched == {"Spine", "limits", "traffic", "certificates"} | clock
    assert stream.getvalue() == b""
