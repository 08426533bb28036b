"""Hands the roots of a database to one witness, in order, and catches up after an outage from what the witness has.

Before anything is handed over, and again after each failure, the witness's last root is looked up in the database. A
database that has not got it, or another one in its place, was cut, rewritten or swapped: nothing may be signed then.
"""

from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from smsp_provider.audit.chain import SignedRoot, TrailReader
from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.audit.witness import Witness, WitnessUnavailable
from smsp_provider.engine.ports import Clock

__all__ = ["NOT_BEGUN", "WitnessDiffers", "WitnessHanding", "compare"]

NOT_BEGUN: Final = (
    "it has no root although the trail has: `smsp audit witness begin` begins it, if it never had one; else it was "
    "emptied"
)
_BATCH: Final = 200
_QUICK_SECONDS: Final = 0.5
"""A witness that takes roots so quickly gets twice as many the next time, and any other one by one."""
_BETWEEN_ATTEMPTS: Final = timedelta(seconds=5)
_BETWEEN_ALERTS: Final = timedelta(minutes=10)
_MOST_SECONDS: Final = 2.0
"""For catching up in one go: other work waits meanwhile, and the end of the process."""


class WitnessDiffers(Exception):
    """The witness has a root that the database has not, or not like that; the text says which. An operator must look.

    ``behind`` tells that the database only lacks the newest roots, as after the restoration of a backup.
    """

    def __init__(self, reason: str, *, behind: bool) -> None:
        super().__init__(reason)
        self.reason: Final = reason
        self.behind: Final = behind


def compare(witness: Witness, database: TrailReader) -> SignedRoot | None:
    """The witness's last root, which is one of the database; None where it has none.

    Raises:
        WitnessDiffers: the database has not got it, or another one in its place.
        WitnessUnavailable: that cannot be told.
        AuditUnavailable: the database cannot be read.
    """
    try:
        last = witness.last()
    except WitnessUnavailable as failure:
        if next(iter(database.roots()), None) is not None:
            raise
        raise WitnessUnavailable(
            f"{failure}; the trail begins without it: when it is there, and has no root, `smsp audit witness begin` "
            "begins it"
        ) from None
    if last is None:
        return None
    ours = next(iter(database.roots(after=last.number - 1)), None)
    if ours is None:
        raise WitnessDiffers(
            f"the witness {witness.name} has root {last.number}, which the database has not: records are lost, or this "
            "is an earlier copy",
            behind=True,
        )
    if ours != last:
        raise WitnessDiffers(
            f"the witness {witness.name} has another root {last.number} than the database: it was rewritten, or is "
            "another trail's",
            behind=False,
        )
    return last


class _NotBegun(WitnessUnavailable):
    """It has no root although the trail has: only an operator may begin it."""


class WitnessHanding:
    """What one witness has of one database, as far as this process knows."""

    def __init__(self, witness: Witness, database: TrailReader, clock: Clock, observer: Observer) -> None:
        self._witness: Final = witness
        self._database: Final = database
        self._clock: Final = clock
        self._observer: Final = observer
        self._at: int | None = None
        self._may_begin = False
        self._waits = False
        self._next_attempt: datetime | None = None
        self._next_alert: datetime | None = None

    @property
    def name(self) -> str:
        """The witness's."""
        return self._witness.name

    @property
    def number(self) -> int | None:
        """The number of the last root that the witness is known to have, 0 for none; None while that is not known."""
        return self._at

    def look(self) -> None:
        """Find out what the witness has; an alert where it cannot be asked.

        Raises:
            WitnessDiffers: something else than the database.
            AuditUnavailable: the database cannot be read.
        """
        try:
            self._find_out()
        except WitnessUnavailable as failure:
            self._fail(failure)

    def hand(self, last: SignedRoot) -> None:
        """Hand over what the witness has not got, up to ``last``, or as much as can be done at once.

        Raises:
            WitnessDiffers: the witness has something else than the database.
            AuditUnavailable: the database cannot be read.
        """
        now = self._clock.now()
        if self._next_attempt is not None and now < self._next_attempt:
            return
        until = self._clock.monotonic() + _MOST_SECONDS
        try:
            at = self._find_out() if self._at is None else self._at
            size = 1
            while at < last.number and (begun := self._clock.monotonic()) < until:
                batch = list(islice(self._database.roots(after=at), size))
                self._witness.append(batch)
                at = self._at = batch[-1].number
                size = min(2 * size, _BATCH) if self._clock.monotonic() - begun < _QUICK_SECONDS else 1
        except WitnessUnavailable as failure:
            self._fail(failure)
        else:
            if at >= last.number:
                self._recover()

    def _find_out(self) -> int:
        found = compare(self._witness, self._database)
        if found is None:
            if next(iter(self._database.roots()), None) is None:
                self._may_begin = True
            if not self._may_begin:
                raise _NotBegun(NOT_BEGUN)
        self._at = 0 if found is None else found.number
        return self._at

    def _fail(self, failure: WitnessUnavailable) -> None:
        now = self._clock.now()
        self._at = None
        self._next_attempt = now + _BETWEEN_ATTEMPTS
        # That it waits for an operator is told at once, also soon after it was out of reach.
        waits = isinstance(failure, _NotBegun)
        if self._next_alert is None or now >= self._next_alert or (waits and not self._waits):
            self._next_alert = now + _BETWEEN_ALERTS
            self._tell(f"the witness {self.name} does not take roots: {failure}")
        self._waits = waits or self._waits

    def _recover(self) -> None:
        self._next_attempt = None
        self._waits = False
        if self._next_alert is not None:
            self._next_alert = None
            self._tell(f"over: the witness {self.name} has all roots")

    def _tell(self, reason: str) -> None:
        self._observer.notify(Alert(AlertKind.WITNESS_UNAVAILABLE, None, reason))
