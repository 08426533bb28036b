"""How a provider stops: what is under way ends well, what comes later is told to come again."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from audit_trails import chain_rows
from served_provider import Answer, CountingSpine, ServedProvider, served


def eventually(holds: Callable[[], bool], seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False


def asked_again(provider: ServedProvider, connection: http.client.HTTPConnection) -> Iterator[Answer]:
    for _ in range(100):
        yield provider.ask(connection)


def is_refused(provider: ServedProvider) -> bool:
    """Whether a new connection is not served any more; as long as it is taken, the answer is to try again."""
    try:
        assert provider.ask().code == "2100"
    except (OSError, http.client.HTTPException):
        return True
    return False


class Asking(threading.Thread):
    """A request in a thread of its own."""

    def __init__(self, provider: ServedProvider) -> None:
        super().__init__()
        self.provider = provider
        self.answer: Answer | None = None
        self.start()

    def run(self) -> None:
        self.answer = self.provider.ask()


def test_a_stopping_provider_ends_what_is_under_way_and_refuses_the_rest(tmp_path: Path) -> None:
    with served(tmp_path / "state", workers=1, request_seconds=60) as (provider, spine):
        kept = provider.connection()
        assert provider.ask(kept).code == "SMSP-0000"
        before = len(spine.arrivals)
        with spine.silent(queries=1):
            under_way = Asking(provider)
            assert eventually(lambda: len(spine.arrivals) > before)
            provider.process.terminate()
            assert eventually(lambda: b'"draining": "yes"' in provider.ops_get("/readyz").body)
            assert provider.ops_get("/readyz").status == 503
            assert provider.ops_get("/healthz").status == 200

            # The worker hears of the end a moment after operators do.
            refused = next(answer for answer in asked_again(provider, kept) if answer.code != "SMSP-0000")
            assert (refused.status, refused.code) == (500, "2100")
            assert refused.headers["Connection"] == "close"
            assert int(refused.headers["Retry-After"]) > 0
        # (While a request is under way, a new connection may wait for somebody to take it.)
        assert eventually(lambda: is_refused(provider))
        under_way.join(60)
        assert under_way.answer is not None
        assert under_way.answer.code == "SMSP-0000"
        assert provider.process.wait(60) == 0
        kinds = [row.kind for row in chain_rows(tmp_path / "state" / "audit" / "audit.db")]
        intents = kinds.count("intent")
        assert intents == len(spine.arrivals), "who was refused never came to Spine"


def test_a_load_balancer_has_time_to_notice(tmp_path: Path) -> None:
    # On a machine that stands still for longer than the time given, the next one is tried.
    for drain_seconds in (1.5, 10, 60):
        with served(tmp_path / f"{drain_seconds} s", workers=1, drain_seconds=drain_seconds) as (provider, _):
            until = time.monotonic() + drain_seconds
            provider.process.terminate()
            said = None
            with suppress(OSError, http.client.HTTPException):
                if eventually(lambda: provider.ops_get("/readyz").status == 503):
                    said = provider.ask().code
            in_time = time.monotonic() < until
            assert provider.process.wait(120) == 0
        if in_time:
            assert said == "SMSP-0000"
            return
    pytest.fail("the machine is too slow to tell")


def under_way_at(spine: CountingSpine, provider: ServedProvider) -> Asking:
    """A request that has come to Spine: where the machine stood still for the time of the first, a later one."""
    for _ in range(10):
        asking = Asking(provider)
        assert eventually(lambda asking=asking: bool(spine.arrivals) or asking.answer is not None)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        if spine.arrivals:
            return asking
    pytest.fail("no query came to Spine")


def test_a_request_that_spine_never_answers_does_not_keep_a_provider_from_stopping(tmp_path: Path) -> None:
    with served(tmp_path / "state", workers=1, request_seconds=2) as (provider, spine), spine.silent():
        under_way = under_way_at(spine, provider)
        assert provider.stop() == 0
        under_way.join(60)
        assert under_way.answer is not None
        assert under_way.answer.code == "SMSP-0004"
