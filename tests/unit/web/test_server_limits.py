"""How many connections the open files allow, and how a server ends whose worker cannot start."""

import resource

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from smsp_provider.observe.logs import Level, LogLevel
from smsp_provider.web import server
from smsp_provider.web.server import Listener, Supervision, run

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "threads", "raised_to", "connections"),
    [
        (1024, 524288, 64, 1320, 1000),
        (1024, UNLIMITED, 64, 1320, 1000),
        (1024, 1024, 64, 1024, 704),
        (20000, 20000, 64, None, 1000),
        (UNLIMITED, UNLIMITED, 64, None, 1000),
        (256, 256, 64, 256, 65),
    ],
)
def test_a_worker_takes_fewer_connections_than_it_may_open_files(
    monkeypatch: pytest.MonkeyPatch, *, soft: int, hard: int, threads: int, raised_to: int | None, connections: int
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, both: limits.append(both))
    assert server._connections_within_limits(threads) == connections
    assert limits == ([] if raised_to is None else [(raised_to, hard)])


class Nowhere:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, level: Level, text: str) -> None:
        self.lines.append(f"{level.name} {text}")


@pytest.mark.parametrize(("status", "code"), [(3, 3), (0, 1)])
def test_a_halt_while_stopping_is_a_plain_end(monkeypatch: pytest.MonkeyPatch, status: int, code: int) -> None:
    def halt(_self: Arbiter) -> None:
        raise HaltServer("Worker failed to boot.", status)

    monkeypatch.setattr(Arbiter, "run", halt)
    observer = Nowhere()
    supervision = Supervision(observer, LogLevel(Level.INFO), lambda: None)  # type: ignore[arg-type]  # all it uses
    with pytest.raises(SystemExit) as ended:
        run(lambda: pytest.fail("no worker"), Listener("127.0.0.1:0"), supervision)
    assert ended.value.code == code
    assert observer.lines[-1] == "ERROR The server stopped because a worker could not start."
