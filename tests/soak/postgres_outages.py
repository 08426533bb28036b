"""Records written while their database is cut off, killed, frozen and restarted: ``python -m soak.postgres_outages``.

Many threads of one process write exchanges. Meanwhile sessions of the server are terminated at random moments, the
server crashes and comes back, and hangs for a while; another process's recovery looks for dead writers all the time.
What has to hold: every record whose writing was confirmed is there once, every lane is whole, and writing goes on.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from audit_samples import ending_of, intent_of
from postgres_audit import PROVIDER, prepared_on, superuser_of, trail_in
from postgres_instance import PostgresInstance
from smsp_provider.audit.chain import ChainedRecord
from smsp_provider.audit.chain_walk import LaneWalk
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.chained_audit import ChainedAuditTrail

__all__ = ["outages", "whole_chain"]

_CALLERS = 8
_WAIT_SECONDS = 1.0
_BACK_SECONDS = 60.0
_REFUSED_PAUSE_SECONDS = 0.01


@dataclass
class _Load:
    """Threads that write exchanges, and what they were told."""

    trail: ChainedAuditTrail
    confirmed: list[tuple[str, str]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._call, args=(number,)) for number in range(_CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def wait_for_more(self) -> float:
        """Until something is confirmed that was asked for after now; how long that took, in seconds."""
        begun, seen = time.monotonic(), len(self.confirmed)
        # (Those that were under way may be confirmed first: one for each caller.)
        while len(self.confirmed) <= seen + _CALLERS:
            if time.monotonic() > begun + _BACK_SECONDS:
                raise RuntimeError("nothing is written any more")
            time.sleep(0.005)
        return time.monotonic() - begun

    def _call(self, number: int) -> None:
        turn = 0
        while not self._over.is_set():
            turn += 1
            exchange = f"E{number}-{turn}"
            if self._told("intent", exchange, lambda: self.trail.open_intent(intent_of(exchange))):  # noqa: B023 - called at once
                self._told("ending", exchange, lambda: self.trail.close(ending_of(exchange)))  # noqa: B023 - called at once

    def _told(self, kind: str, exchange: str, write: Callable[[], None]) -> bool:
        begun = time.monotonic()
        try:
            write()
        except AuditUnavailable as error:
            self.refused[error.reason] += 1
            time.sleep(_REFUSED_PAUSE_SECONDS)
            return False
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - begun)
        self.confirmed.append((kind, exchange))
        return True


def outages(folder: Path, *, cuts: int, crashes: int, freezes: int, seed: int = 1) -> dict[str, Any]:
    """Write through so many outages of each kind; what was confirmed, refused, and found afterwards.

    Raises:
        RuntimeError: a lane is not whole, or nothing is written any more.
    """
    chance = random.Random(seed)
    folder.mkdir(mode=0o700, exist_ok=True)
    with PostgresInstance() as server:
        url = prepared_on(server)
        trail, other = (trail_in(url, folder, wait_s=_WAIT_SECONDS) for _ in range(2))
        trail.open()
        load = _Load(trail)
        kinds = ["cut"] * cuts + ["crash"] * crashes + ["freeze"] * freezes
        chance.shuffle(kinds)
        back: list[float] = []
        with load.running(), _recovering(other):
            load.wait_for_more()
            for kind in kinds:
                time.sleep(chance.uniform(0.0, 0.1))
                _fail(server, url, kind, chance)
                back.append(load.wait_for_more())
        trail.close_session()
        rows = whole_chain(trail.database)
        # (The server may need a moment to learn that the session's locks went with its connection.)
        give_up = time.monotonic() + _BACK_SECONDS
        unended = len(trail.database.unended())
        while unended and time.monotonic() < give_up:
            other.recover()
            other.close_session()
            unended = len(trail.database.unended())
        lanes = len(trail.database.lanes())
        trail.close_session()
    kept = Counter((row.kind, row.exchange or "") for row in rows)
    confirmed = Counter(load.confirmed)
    return {
        "outages": dict(Counter(kinds)),
        "confirmed": len(load.confirmed),
        "refused": dict(load.refused),
        "lost": sum(kept[place] == 0 for place in confirmed),
        "twice": sum(count > 1 for (kind, _), count in kept.items() if kind in ("intent", "ending")),
        "kept_although_refused": sum(place not in confirmed for place in kept if place[0] in ("intent", "ending")),
        "lanes": lanes,
        "lanes_unended": unended,
        "back_after_s_longest": round(max(back), 2),
        "call_s_longest": round(load.longest_s, 2),
    }


def whole_chain(database: AuditDatabase) -> list[ChainedRecord]:
    """Every record of every lane, each of which follows from the one before it.

    Raises:
        ChainBroken: one does not.
    """
    found: list[ChainedRecord] = []
    trail = database.trail_id()
    for lane in database.lanes():
        walk = LaneWalk(trail, lane)
        for record in database.chain(lane):
            walk.step(record)
            found.append(record)
    return found


@contextmanager
def _recovering(trail: ChainedAuditTrail) -> Iterator[None]:
    """Another process's look for writers that are gone, again and again."""
    over = threading.Event()

    def recover() -> None:
        while not over.wait(0.02):
            with suppress(AuditUnavailable):
                trail.recover()

    thread = threading.Thread(target=recover)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _fail(server: PostgresInstance, url: str, kind: str, chance: random.Random) -> None:
    if kind == "cut":
        with psycopg.connect(superuser_of(url), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (PROVIDER,))
    elif kind == "crash":
        server.stop("immediate")
        time.sleep(chance.uniform(0.0, 0.5))
        server.start()
    else:
        server.freeze()
        time.sleep(_WAIT_SECONDS * 1.5)
        server.thaw()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m soak.postgres_outages", description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--crashes", type=int, default=20)
    parser.add_argument("--freezes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smsp-outages-") as folder:
        figures = outages(
            Path(folder), cuts=chosen.cuts, crashes=chosen.crashes, freezes=chosen.freezes, seed=chosen.seed
        )
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    if figures["lost"] or figures["twice"]:
        raise SystemExit("records were lost, or are there twice")


if __name__ == "__main__":
    main()
