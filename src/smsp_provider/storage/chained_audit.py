"""The audit trail of one process, on any database: many threads write, a chain in lanes keeps what they write.

Source: SMSP-AUDIT-001, 004, 009, 011; safety.md section 5; serving.md section 4 (group commit).
"""

import os
import threading
import weakref
from collections.abc import Iterator, Sequence

from smsp_provider.audit.chain import SealBroken
from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure
from smsp_provider.audit.events import Change, Ending, Intent, OperatorAct, Refusals, Start
from smsp_provider.audit.trail import AuditUnavailable, Entry
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase, StorageUnsafe
from smsp_provider.storage.audit_keys import AuditKeysUnusable, KeyRing, KeySource
from smsp_provider.storage.audit_lane import Item, LaneWriter, ProcessFacts, item_of
from smsp_provider.storage.audit_records import AuditRecords
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.group_commit import BatchFailed, CommitTimeout, GroupCommit

__all__ = ["ChainedAuditTrail", "end_sessions"]


class ChainedAuditTrail:
    """Implements :class:`smsp_provider.audit.trail.AuditTrail` and ``AuditReader``.

    Nothing is opened before the first call. A lane begins with the first record and with the first of each further day
    (UTC); a forked child is a writer of its own. ``wait_s`` bounds how long a caller waits for others, in seconds: for
    the batch before its own, and whatever the database waits for. ``close_session`` ends this process's part.
    """

    def __init__(
        self, database: AuditDatabase, keys: KeySource, clock: Clock, facts: ProcessFacts, *, wait_s: float = 9.0
    ) -> None:
        self.database = database
        self._keys = keys
        self._clock = clock
        self._facts = facts
        self._wait_s = wait_s
        self._ring: KeyRing | None = None
        self._begin()
        _trails.add(self)

    def _begin(self) -> None:
        """The state of one process."""
        self._writer: LaneWriter | None = None
        self._guard = threading.RLock()
        self._group: GroupCommit[Item] = GroupCommit(self._write, wait_s=self._wait_s)

    def pause(self) -> None:
        """Before a fork. Called by the hooks at the end of this module; nobody else needs it."""
        self._guard.acquire()
        self.database.before_fork()

    def resume(self) -> None:
        """After a fork, in the parent: the next record goes on in the same lane."""
        self.database.after_fork_in_parent()
        self._guard.release()

    def begin_anew(self) -> None:
        """After a fork, in the child: another writer, which lets go of its parent's lock without ending it."""
        if self._writer is not None:
            self._writer.let_go()
        self.database.after_fork_in_child()
        self._begin()

    def open(self) -> str:
        """Open the database now rather than at the first record, so that an unsafe one stops the start.

        Returns its mark, for ``keep_to`` of the kind of database.

        Raises:
            StorageUnsafe: it must not hold an audit trail as it is, or the keys are missing or others.
            AuditUnavailable: it cannot be opened, or somebody changed the chain under this process.
        """
        with self._guard:
            mark = self.database.open()
            self._lane_writer().check()
            return mark

    def has_room(self) -> bool:
        """Whether the database takes more: an open one says nothing about that, and only a record would fail.

        Raises:
            AuditUnavailable: that cannot be told.
        """
        return self.database.has_room()

    def open_intent(self, intent: Intent) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.open_intent`."""
        self._submit(item_of(intent, intent.exchange_id))

    def close(self, ending: Ending) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.close`."""
        self._submit(item_of(ending, ending.exchange_id))

    def record_refusals(self, refusals: Refusals) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.record_refusals`."""
        self._submit(item_of(refusals))

    def record_start(self, start: Start) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.record_start`."""
        self._submit(item_of(start))

    def record_change(self, change: Change) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.record_change`."""
        self._submit(item_of(change))

    def record_act(self, act: OperatorAct) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.record_act`."""
        self._submit(item_of(act))

    def record_deletion(self, record: DeletionProposed | DeletionWithdrawn | Erasure) -> None:
        """Put a step of an exceptional deletion on record, before it is done.

        Raises:
            AuditUnavailable: it is not durable; nothing may be erased.
        """
        self._submit(item_of(record))

    def recover(self) -> int:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.recover`: ends the lanes of these writers besides."""
        try:
            with self._guard:
                self.database.open()
                return self._lane_writer().recover()
        except StorageUnsafe as error:
            raise AuditUnavailable(str(error)) from None

    def read(self, *, exchange_id: str | None = None) -> Iterator[Entry]:
        """See :meth:`smsp_provider.audit.trail.AuditReader.read`."""
        try:
            with self._guard:
                records = AuditRecords(self.database, KeyRingUnsealer(self._key_ring()))
        except StorageUnsafe as error:
            raise AuditUnavailable(str(error)) from None
        yield from records.read(exchange_id=exchange_id)

    def close_session(self) -> None:
        """End this process's part: its lane gets a closing, or where it left an intent open is left to a recovery."""
        with self._guard:
            try:
                if self._writer is not None:
                    self._writer.end()
            except AuditUnavailable:
                # The lane has no closing then: as if this process had died, and the next recovery ends it.
                pass
            finally:
                self.database.close()
                self._begin()

    def _submit(self, item: Item) -> None:
        try:
            self._group.submit(item)
        except CommitTimeout:
            raise AuditUnavailable("the commit did not end in time") from None
        except BatchFailed as failure:
            cause = failure.cause
            reason = cause.reason if isinstance(cause, AuditUnavailable) else type(cause).__name__
            raise AuditUnavailable(reason) from None

    def _write(self, items: Sequence[Item]) -> None:
        """One durable transaction; run by one thread at a time."""
        with self._guard:
            (self._writer or self._lane_writer_now()).write(items)

    def _lane_writer_now(self) -> LaneWriter:
        """The writer, where the database may not be open yet.

        Raises:
            AuditUnavailable: the database is unsafe, or the keys are.
        """
        try:
            if self._writer is None:
                self.database.open()
            return self._lane_writer()
        except StorageUnsafe as error:
            raise AuditUnavailable(str(error)) from None

    def _lane_writer(self) -> LaneWriter:
        if self._writer is None:
            self._writer = LaneWriter(self.database, self._key_ring(), self._clock, self._facts)
        return self._writer

    def _key_ring(self) -> KeyRing:
        """The keys, read once, and only those that open what was written last.

        Raises:
            StorageUnsafe: they are missing, or are those of another trail.
        """
        if self._ring is None:
            last = self.database.last_lane()
            try:
                ring = self._keys.load(self._clock.now(), is_new=last is None)
                if last is not None:
                    ring.unwrap(last.key_id, last.wrapped_key, last.token)
            except AuditKeysUnusable as error:
                raise StorageUnsafe(f"the keys of the audit trail: {error}") from None
            except SealBroken:
                raise StorageUnsafe("the keys are not those that the audit trail was written with") from None
            self._ring = ring
        return self._ring


_trails: "weakref.WeakSet[ChainedAuditTrail]" = weakref.WeakSet()
_paused: list[ChainedAuditTrail] = []


def end_sessions() -> None:
    """At the end of a process that ends without Python's own: end its part in every trail."""
    for trail in list(_trails):
        trail.close_session()


def _before_fork() -> None:
    for trail in list(_trails):
        trail.pause()
        _paused.append(trail)


def _after_fork_in_parent() -> None:
    while _paused:
        _paused.pop().resume()


def _after_fork_in_child() -> None:
    while _paused:
        _paused.pop().begin_anew()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
