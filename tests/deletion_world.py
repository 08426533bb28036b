"""An audit trail with exchanges of several patients, and two officers, for the tests of deletion and archives."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audit_samples import ending_of, intent_of
from smsp_provider.audit.deletion_events import Officer, RecordRange
from smsp_provider.audit.events import OperatorAct, OperatorActKind
from smsp_provider.audit.trail_books import TrailBooks
from smsp_provider.audit.verification import Means, VerificationReport, verify
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.engine.system import RandomIds
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_deletion import AuditDeletions
from smsp_provider.storage.audit_erasing import AuditErasing
from smsp_provider.storage.audit_keys import KeySource
from smsp_provider.storage.audit_lane import ProcessFacts
from smsp_provider.storage.audit_records import AuditRecords
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_file import Synchronous

__all__ = [
    "ANN",
    "BASIS",
    "BOB",
    "ONE",
    "REASON",
    "TWO",
    "DeletionWorld",
    "MovingClock",
    "RecordingIndex",
    "in_a_child",
    "untold",
]

ANN = Officer("ann.officer", "ann", "ann's desk")
BOB = Officer("bob.officer", "bob", "bob's desk")
ONE = NHSNumber("9434765919")
TWO = NHSNumber("9434765870")
REASON = "recorded about another person"
_PIECE = 32
BASIS = "order of a court of 7 February"


def untold(_: object) -> None:
    """Nobody wants to hear how far it is."""


class MovingClock:
    """Stands still until it is moved on."""

    def __init__(self, at: datetime | None = None) -> None:
        self.at = at or datetime.now(UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def pass_by(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class RecordingIndex:
    """Remembers what it was told to forget."""

    forgotten: list[tuple[int, int]] = field(default_factory=list)

    def forget(self, records: Iterable[tuple[int, int]]) -> None:
        self.forgotten += records


class DeletionWorld:
    """The trail of ``directory``, in SQLite where no other database is given."""

    def __init__(
        self,
        directory: Path,
        clock: MovingClock | None = None,
        database: AuditDatabase | None = None,
        books: TrailBooks | None = None,
    ) -> None:
        self.file = directory / "audit" / "audit.db"
        self.marks = self.file.with_name("audit-deletions")
        self.clock = clock or MovingClock()
        self.file.parent.mkdir(mode=0o700, exist_ok=True)
        self.database = database or SqliteAuditDatabase(self.file, synchronous=Synchronous.NORMAL, wait_s=60.0)
        self.books = books or SqliteTrailBooks(self.file, wait_s=60.0)
        self.keys = KeySource(self.file.with_name("audit.keys"), may_begin=True)
        self.trail = ChainedAuditTrail(self.database, self.keys, self.clock, ProcessFacts("build", "rules", "settings"))
        self.index = RecordingIndex()
        self.trail.open()

    @property
    def unsealer(self) -> KeyRingUnsealer:
        return KeyRingUnsealer(self.keys.load(self.clock.now(), is_new=False))

    @property
    def records(self) -> AuditRecords:
        return AuditRecords(self.database, self.unsealer)

    @property
    def erasing(self) -> AuditErasing:
        return AuditErasing(self.database, self.records, self.index, self.marks)

    def deletions(self) -> AuditDeletions:
        return AuditDeletions(self.trail, self.erasing, self.clock, RandomIds())

    def exchange(self, name: str, number: NHSNumber = ONE) -> None:
        """An exchange about somebody."""
        intent, ending = intent_of(name), ending_of(name)
        now = self.clock.now()
        self.trail.open_intent(replace(intent, at=now, request=replace(intent.request, nhs_number=number)))
        self.trail.close(replace(ending, at=now, patient=replace(ending.patient, nhs_number=number)))

    def act(self, detail: str) -> None:
        """Somebody runs a command."""
        act = OperatorAct(self.clock.now(), OperatorActKind.COMMAND, "a desk", "somebody", detail=detail)
        self.trail.record_act(act)

    def ranges(self, *wanted: tuple[int, int]) -> list[RecordRange]:
        """Records of the first lane, as ranges of their numbers."""
        token = self.database.lanes()[0].token
        return [RecordRange(token, first, last) for first, last in wanted]

    def sealed(self) -> dict[tuple[int, int], bytes]:
        """All contents that are there."""
        return {(one.lane, one.n): one.sealed for lane in self.database.lanes() for one in self.database.contents(lane)}

    def verified(self, **means: object) -> VerificationReport:
        known: dict[str, object] = {"unsealer": self.unsealer, "books": self.books, **means}
        return verify(self.database, Means(**known))  # type: ignore[arg-type]  # by name, for the tests to add to

    def traces_of(self, contents: Iterable[bytes]) -> int:
        """How many pieces of these contents stand somewhere in the files of the trail."""
        found = [self.file, *(self.file.with_name(self.file.name + end) for end in ("-wal", "-shm"))]
        held = b"".join(path.read_bytes() for path in found if path.exists())
        return sum(
            sealed[at : at + _PIECE] in held for sealed in contents for at in range(0, len(sealed) - _PIECE, _PIECE)
        )

    def close(self) -> None:
        self.trail.close_session()


def in_a_child(work: Callable[[], object]) -> int:
    """Do something in a forked process, which may die of it; the status that it ended with."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
