"""`smsp clock`: what is known of this host's clock, also against the audit database's."""

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from command_line import run_main
from postgres_server import new_database
from sandbox_process import environment
from signed_in import write_configuration
from smsp_provider.config.settings import load_settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.clock_state import read_kernel_clock
from smsp_provider.wiring.clock import build_clock_reader

pytestmark = pytest.mark.rule("SMSP-AUDIT-010", "IFC-TIM-01")


class _WrongClock(SystemClock):
    """A machine's clock that is some seconds off."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return super().now() + self._ahead


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_configuration(tmp_path / "provider.toml", 'policy = "os-user"')
    return tmp_path / "provider.toml"


def test_the_state_of_the_kernel_is_shown_and_judged(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = read_kernel_clock()
    assert kernel is not None
    shown = run_main(monkeypatch, capsys, "clock", "--config", config)
    assert ("not synchronised" in shown.out) is not kernel.synchronised
    assert "audit database" in shown.out
    done = run_main(monkeypatch, capsys, "clock", "--json", "--config", config)
    told = json.loads(done.out)
    assert told["kernel"]["synchronised"] is kernel.synchronised
    assert (done.code, shown.code) == ((1, 1) if told["problems"] else (0, 0))
    assert bool(told["problems"]) >= (not kernel.synchronised)


@pytest.mark.parametrize(("ahead", "said"), [(0, None), (10, "behind"), (-10, "ahead")], ids=["right", "fast", "slow"])
def test_the_clock_of_the_audit_database_is_compared_with(config: Path, ahead: int, said: str | None) -> None:
    url = new_database().replace("postgresql+psycopg:", "postgresql:", 1)
    settings = load_settings(config)
    settings = settings.model_copy(update={"audit": settings.audit.model_copy(update={"store": url})})
    found = build_clock_reader(settings, _WrongClock(timedelta(seconds=ahead)))().database_ms
    assert found is not None
    assert (None if abs(found) < 5000 else "behind" if found < 0 else "ahead") == said


def test_a_database_that_cannot_be_asked_tells_nothing(config: Path) -> None:
    settings = load_settings(config)
    store = "postgresql://nobody@127.0.0.1:1/nothing"
    settings = settings.model_copy(update={"audit": settings.audit.model_copy(update={"store": store})})
    assert build_clock_reader(settings, SystemClock())().database_ms is None


def test_without_the_driver_of_postgresql_everything_else_works(config: Path) -> None:
    """The driver is an extra of the package: no command may need it to start."""
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path\n"
        "from smsp_provider.config.settings import load_settings\n"
        "from smsp_provider.engine.system import SystemClock\n"
        "import smsp_provider.cli.main\n"
        "from smsp_provider.wiring.clock import build_clock_reader\n"
        "settings = load_settings(Path(sys.argv[1]))\n"
        "audit = settings.audit.model_copy(update={'store': 'postgresql://nobody@127.0.0.1:1/nothing'})\n"
        "reading = build_clock_reader(settings.model_copy(update={'audit': audit}), SystemClock())()\n"
        "assert reading.database_ms is None and reading.kernel is not None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(config)], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
