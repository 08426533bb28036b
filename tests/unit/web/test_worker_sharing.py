"""Workers share new connections: who has many comes late and lets the others go first."""

import socket
from types import SimpleNamespace

import pytest
from gunicorn.workers.gthread import ThreadWorker

from smsp_provider.web import worker
from smsp_provider.web.worker import BoundWorker


@pytest.mark.parametrize(("connections", "waited"), [(-4, 0.0), (0, 0.0), (16, 0.0005), (64, 0.002), (500, 0.002)])
def test_a_worker_waits_the_longer_the_more_connections_it_has(
    monkeypatch: pytest.MonkeyPatch, connections: int, waited: float
) -> None:
    happened: list[object] = []
    # (Its own alone: other threads of this process sleep too.)
    monkeypatch.setattr(worker, "time", SimpleNamespace(sleep=happened.append))
    monkeypatch.setattr(ThreadWorker, "accept", lambda _self, listener: happened.append(listener))
    one = BoundWorker.__new__(BoundWorker)
    one.cfg, one.nr_conns = SimpleNamespace(threads=64), connections
    with socket.socket() as listener:
        one.accept(listener)
        assert happened == [pytest.approx(waited), listener]
