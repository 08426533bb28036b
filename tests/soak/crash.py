"""A served provider whose workers are killed while it is asked: ``python -m soak.crash``.

Two workers answer callers over HTTP from an embedded Spine. At random moments one of them is killed (kill -9), again
and again. Afterwards three things have to hold. Whoever got an answer finds it on record: the record carries the
answer's own MessageID. Every query that came to Spine has an intent on record: each request asks for an NHS number of
its own, so the number leads from one to the other. And every lane is whole, link by link and content by content, up to
its own closing or to the record of whoever found it dead; both by a plain walk here and by the provider's verification.
"""

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import count
from pathlib import Path

from audit_trails import keys_of, make_trail
from e2e.world import read_answer
from sandbox_process import members
from served_provider import CountingSpine, ServedProvider, served
from smsp_provider.audit.chain import commitment_of, first_link, next_link
from smsp_provider.audit.decoding import decode
from smsp_provider.audit.events import Closure, Ending, Intent, Record
from smsp_provider.audit.lane_events import Closing, LaneEnded, LanePlace
from smsp_provider.audit.verification import Means, verify
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.engine.system import SystemClock
from smsp_provider.simulator.http import HTTPRequest
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.population import load_population
from smsp_provider.simulator.spine import Reply
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase

__all__ = ["CrashReport", "close_what_is_left", "crash", "walk"]

_CALLERS = 8
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.2, 1.2
_BACK_SECONDS = 60.0
_BETWEEN = 3
"""Answers there are at least for each kill: on a slow machine nobody would ever get to answer."""
_NUMBER = re.compile(rb'root="2\.16\.840\.1\.113883\.2\.1\.4\.1"[^>]*extension="([0-9]{10})"')
_WEIGHTS = range(10, 1, -1)


@dataclass
class CrashReport:
    """What was seen; ``problems`` is empty when all is well."""

    kills: int = 0
    answers: int = 0
    cut_off: int = 0
    queries: int = 0
    intents: int = 0
    closures: int = 0
    lanes: int = 0
    ended_by_others: int = 0
    records: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    without_record: int = 0
    without_intent: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """For people."""
        codes = ", ".join(f"{code} {number}" for code, number in sorted(self.codes.items()))
        yield f"workers killed: {self.kills}; answers: {self.answers} ({codes}); cut off: {self.cut_off}"
        yield f"answers without a record: {self.without_record}"
        yield f"queries at Spine: {self.queries}; without an intent: {self.without_intent}"
        yield f"intents: {self.intents}; closed as outcome unknown: {self.closures}"
        yield f"lanes: {self.lanes}, ended by a recovery: {self.ended_by_others}; records walked: {self.records}"
        yield from self.problems or ["every lane is whole"]


class _NotingSpine(CountingSpine):
    """Notes the NHS number of each query before anything else."""

    def __init__(self, store: PatientStore) -> None:
        super().__init__(store)
        self.asked: set[str] = set()

    def _reply(self, request: HTTPRequest) -> Reply:
        self.asked.update(number.decode() for number in _NUMBER.findall(request.body))
        return super()._reply(request)


def crash(kills: int, seed: int, folder: Path) -> CrashReport:
    """Kill workers so often while they are asked, and compare what was answered and asked with what is on record."""
    chance, report = random.Random(seed), CrashReport()
    numbers, answered = _numbers(), set[str]()
    over, guard = threading.Event(), threading.Lock()

    def call(provider: ServedProvider) -> None:
        while not over.is_set():
            with guard:
                number = next(numbers)
            try:
                answer = provider.ask(number=number)
                read = read_answer(answer.status, answer.body)
            except (OSError, HTTPException):
                with guard:
                    report.cut_off += 1
                continue
            with guard:
                report.codes[read.said] += 1
                assert read.message_id is not None
                answered.add(read.message_id)

    with _running(folder) as (provider, spine):
        callers = [threading.Thread(target=call, args=(provider,)) for _ in range(_CALLERS)]
        for caller in callers:
            caller.start()
        while report.kills < kills:
            time.sleep(chance.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE))
            _until(lambda: len(answered) >= _BETWEEN * (report.kills + 1))
            os.kill(chance.choice(_workers(provider.process.pid)), signal.SIGKILL)
            report.kills += 1
        over.set()
        for caller in callers:
            caller.join(60)
    report.answers = len(answered)
    path = folder / "audit" / "audit.db"
    close_what_is_left(path)
    records = walk(path, report)
    keys = keys_of(path).load(SystemClock().now(), is_new=False)
    with closing(SqliteAuditDatabase(path)) as database:
        findings = verify(database, Means(KeyRingUnsealer(keys))).findings
    report.problems += [f"the provider's verification: {finding}" for finding in findings]
    _compare(answered, spine.asked, records, report)
    return report


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + _BACK_SECONDS
    while not holds():
        assert time.monotonic() < until, "nobody answers any more"
        time.sleep(0.01)


def close_what_is_left(path: Path) -> None:
    """As the next start does: a worker may have died when the provider stopped already, or left an intent open."""
    trail = make_trail(path)
    trail.recover()
    trail.close_session()


def walk(path: Path, report: CrashReport) -> list[Record]:
    """Every record of a trail, link by link; what is not as it was written becomes a problem."""
    database = SqliteAuditDatabase(path)
    unsealer = KeyRingUnsealer(keys_of(path).load(SystemClock().now(), is_new=False))
    records: list[Record] = []
    ended: dict[str, LanePlace] = {}
    heads: dict[str, tuple[LanePlace, bool]] = {}
    with closing(database):
        for lane in database.lanes():
            link, n, closed = first_link(database.trail_id(), lane.token, lane.day), 0, False
            contents = {content.n: content for content in database.contents(lane)}
            for chained in database.chain(lane):
                n += 1
                salt, text = unsealer.unseal(lane, contents[chained.n])
                link = next_link(link, n, chained.kind, chained.at, chained.exchange, chained.commitment)
                if (chained.n, chained.link, chained.commitment) != (n, link, commitment_of(salt, text)) or closed:
                    report.problems.append(f"lane {lane.id}, record {chained.n}: not as it was written")
                record = decode(chained.kind, text.decode("ascii"))
                closed = isinstance(record, Closing)
                if isinstance(record, LaneEnded):
                    ended[record.last.lane] = record.last
                records.append(record)
            heads[lane.token] = LanePlace(lane.token, n, link.hex()), closed
            if len(contents) != n:
                report.problems.append(f"lane {lane.id}: contents without a record")
    for token, (head, closed) in heads.items():
        if not closed and ended.get(token) != head:
            report.problems.append(f"a lane of {head.n} records has no end")
    report.lanes, report.records, report.ended_by_others = len(heads), len(records), len(ended)
    return records


def _compare(answered: set[str], asked: set[str], records: list[Record], report: CrashReport) -> None:
    replies = {record.reply_message_id for record in records if isinstance(record, Ending)}
    intents = [record for record in records if isinstance(record, Intent)]
    known = {intent.request.nhs_number.digits for intent in intents if intent.request.nhs_number is not None}
    ended = {record.exchange_id for record in records if isinstance(record, Ending | Closure)}
    report.queries, report.intents = len(asked), len(intents)
    report.closures = sum(isinstance(record, Closure) for record in records)
    report.without_record = len(answered - replies)
    report.without_intent = len(asked - known)
    if report.without_record:
        report.problems.append("an answer is not on record")
    if report.without_intent:
        report.problems.append("a query left without an intent")
    if {intent.exchange_id for intent in intents} - ended:
        report.problems.append("an intent was never closed")


@contextmanager
def _running(folder: Path) -> Iterator[tuple[ServedProvider, _NotingSpine]]:
    with PatientStore() as store:
        load_population(store)
        with _NotingSpine(store) as spine, served(folder, breaker="failures = 1000000", spine=spine) as (provider, _):
            yield provider, spine
            assert provider.stop() == 0


def _workers(serve: int) -> list[int]:
    """The workers that live: of a served provider they are the ones below the listener's own process."""
    until = time.monotonic() + _BACK_SECONDS
    while time.monotonic() < until:
        found = [pid for pid in members(serve) - {serve} if _parent(pid) != serve and _grandparent(pid) == serve]
        if found:
            return sorted(found)
        time.sleep(0.01)
    raise AssertionError("no worker came back")


def _grandparent(pid: int) -> int:
    return _parent(_parent(pid))


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _numbers() -> Iterator[str]:
    """Well-formed NHS numbers, each once."""
    for serial in count(600_000_000):
        digits = f"{serial:09}"
        check = 11 - sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=True)) % 11
        if check != 10:
            yield NHSNumber(f"{digits}{check % 11}").digits


def main() -> int:
    """Run it and print figures; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="soak.crash", description="No answer and no query without its record.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        report = crash(given.kills, given.seed, Path(folder) / "state")
    for line in report.lines():
        sys.stdout.write(f"{line}\n")
    return 1 if report.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
