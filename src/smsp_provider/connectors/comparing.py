"""Asks one way to PDS for the answer, and now and then another in the background, to see whether they say the same.

Every query put to the other way is one more on a patient's national record: so only a sample is, until a date, under an
approval, within a budget of its own, and with an intent and an ending in the audit trail. What is kept of a comparison
are kinds, codes and names of fields. A query waits in memory for its comparison for some seconds at most; when too many
wait it is dropped.
"""

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from smsp_provider.audit.events import Ending, EndingKind, Intent, RequestFacts, Source
from smsp_provider.audit.trail import AuditTrail, AuditUnavailable
from smsp_provider.domain.failures import SpineFailure, Unreadable
from smsp_provider.domain.gate import GateRefusal, admit
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.response_codes import PDSCodeMap
from smsp_provider.domain.spine_answers import SpineAnswer
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SpineQuery
from smsp_provider.engine.admission import ANYBODY, Admission, Turn
from smsp_provider.engine.comparison import Comparison, ComparisonSink, compare
from smsp_provider.engine.ports import Clock, Deadline, IdSource, SpineConnector, SpineSender

__all__ = ["Comparing", "ComparisonPolicy"]

_LONDON: Final = ZoneInfo("Europe/London")
_SECONDS: Final = 4.0
"""For one query in the background; below what a breaker calls slow."""
_WAITING: Final = 8
_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class ComparisonPolicy:
    """``part`` of all queries is compared, through the day ``until`` in London; ``approval`` says who allowed it."""

    part: float
    until: date
    approval: str


class _Job(NamedTuple):
    query: SpineQuery
    sender: SpineSender
    answer: SpineAnswer
    asked_by: float


class Comparing:
    """A connector that answers as ``used`` does, and compares with ``other``. Thread-safe.

    ``chance`` gives numbers from 0 to 1. ``admission`` is the budget of ``other``.
    """

    def __init__(
        self,
        used: SpineConnector,
        other: SpineConnector,
        policy: ComparisonPolicy,
        *,
        admission: Admission,
        audit: AuditTrail,
        sink: ComparisonSink,
        code_map: PDSCodeMap,
        clock: Clock,
        ids: IdSource,
        chance: Callable[[], float],
    ) -> None:
        self._used: Final = used
        self._other: Final = other
        self._policy: Final = policy
        self._admission: Final = admission
        self._audit: Final = audit
        self._sink: Final = sink
        self._code_map: Final = code_map
        self._clock: Final = clock
        self._ids: Final = ids
        self._chance: Final = chance
        self._starting: Final = threading.Lock()
        self._jobs: queue.Queue[_Job] = queue.Queue(_WAITING)
        self._worker_of = 0

    def can_ask(self, query: SpineQuery) -> bool:
        """Whether the way that answers can."""
        return self._used.can_ask(query)

    def has_at_hand(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> bool:
        """Whether the way that answers has the answer already."""
        return self._used.has_at_hand(query, sender, deadline)

    def ask(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> SpineAnswer:
        """The answer of the way that is used; a comparison never delays or changes it.

        Raises:
            SpineFailure, AuthorRefused: as that connector does.
        """
        answer = self._used.ask(query, sender, deadline)
        if answer.exchange.sent and sender.author is None and self._chance() < self._policy.part:
            self._hand_over(_Job(query, sender, answer, self._clock.monotonic() + _SECONDS))
        return answer

    def close_idle(self) -> None:
        """Close the idle connections of the way that answers."""
        self._used.close_idle()

    def _hand_over(self, job: _Job) -> None:
        with self._starting:
            if self._worker_of != os.getpid():
                # In each process that came from the one where this was built, and made no thread yet.
                self._jobs = queue.Queue(_WAITING)
                self._worker_of = os.getpid()
                threading.Thread(target=self._work, name="upstream-comparison", daemon=True).start()
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return

    def _work(self) -> None:
        jobs = self._jobs
        while True:
            # No name for the job here: while the next one is waited for, nothing may hold the last one's patient (W12).
            self._do(jobs.get())

    def _do(self, job: _Job) -> None:
        try:
            self._compare(job)
        except Exception as crash:  # noqa: BLE001 - nobody waits for a comparison; the report tells that it broke
            name = type(crash).__name__
            self._sink.record(Comparison(self._clock.now(), type(job.query).__name__, "", f"broken ({name})"))

    def _compare(self, job: _Job) -> None:
        now = self._clock.now()
        today = now.astimezone(_LONDON).date()
        if today > self._policy.until or not self._other.can_ask(job.query):
            return
        deadline = Deadline(job.asked_by)
        turn = Turn(ANYBODY, attended=False, deadline=deadline)
        try:
            with self._admission.admit_inquiry(turn) as leave, leave.query():
                other = self._ask_other(job, deadline)
        except (SpineFailure, AuditUnavailable):
            # No leave, no room or no record of it: then there is no comparison.
            return
        if not _is_of(job.query, other):
            # It may have been another query's: what is still on its way on these connections is nobody's.
            self._other.close_idle()
        self._sink.record(compare(job.query, job.answer, other, self._code_map, HL7Date.of(today), now))

    def _ask_other(self, job: _Job, deadline: Deadline) -> SpineAnswer | SpineFailure:
        """The other way's answer or failure, with an intent and an ending on record."""
        exchange_id, began = self._ids.new_uuid(), self._clock.monotonic()
        number = job.query.nhs_number if isinstance(job.query, CrossCheckTrace | Retrieval) else None
        facts = RequestFacts("upstream comparison", ods_code=job.sender.ods_code, nhs_number=number)
        self._audit.open_intent(Intent(exchange_id, self._clock.now(), facts, job.sender.asid))
        found: SpineAnswer | SpineFailure
        try:
            found = self._other.ask(job.query, job.sender, deadline)
        except SpineFailure as failure:
            # Without its traceback, whose frames would hold it and with it the patient until the next collection (W12).
            found = failure.with_traceback(None)
        self._audit.close(
            Ending(
                exchange_id,
                self._clock.now(),
                EndingKind.ANSWERED,
                round((self._clock.monotonic() - began) * _MILLISECONDS),
                source=Source.SPINE,
                reason=f"upstream comparison, approval {self._policy.approval}",
                spine=(found.exchange,) if found.exchange is not None else (),
            )
        )
        return found


def _is_of(query: SpineQuery, answer: SpineAnswer | SpineFailure) -> bool:
    """Whether an answer, or a failure in its place, may be this query's."""
    if isinstance(answer, SpineFailure):
        return not isinstance(answer, Unreadable)
    try:
        admit(query, answer)
    except GateRefusal:
        return False
    return True
