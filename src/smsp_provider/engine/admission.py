"""Leave to go on: for a request of a client, and for each query that it puts to Spine.

What protects Spine and the other clients (SMSP-PERF-001, SMSP-PERF-006, SMSP-PERF-007): a client's own rate and
concurrency, the rate and the number of queries towards Spine, the order of those that wait, and the circuit breaker.
Who keeps the promise is chosen by wiring.
"""

from contextlib import AbstractContextManager
from typing import Final, Protocol

from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.clients import Limits, PriorityClass
from smsp_provider.domain.failures import NoCapacity
from smsp_provider.domain.faults import ToolkitFault, try_again
from smsp_provider.domain.immutable import immutable
from smsp_provider.engine.ports import Deadline

__all__ = ["ANYBODY", "Admission", "Busy", "Leave", "Turn", "is_attended"]

_ATTENDED: Final = frozenset({AccessMethod.ATTENDED, AccessMethod.SMARTCARD})


class Busy(NoCapacity):
    """Not now: the limits towards clients and Spine leave no room."""

    def as_fault(self) -> ToolkitFault:
        """Fault 2100 with its Retry-After: what a caller is told who did not come as far as Spine."""
        return try_again(
            "The service is busy, try again later",
            rule="SMSP-PERF-001",
            reason=self.reason,
            retry_after=self.retry_after,
        )


@immutable
class Turn:
    """For whom Spine is to be asked: the client's name, whether a person waits, and until when an answer is of use."""

    client: str
    attended: bool
    deadline: Deadline


ANYBODY: Final = "-"
"""The name of all clients together where there is no registry; no registered one can have it."""


def is_attended(method: AccessMethod, priority: PriorityClass) -> bool:
    """Whether a request overtakes others: a person waits for it, and its client is none for batches (SMSP-PERF-007)."""
    return priority is PriorityClass.NORMAL and method in _ATTENDED


class Leave(Protocol):
    """The leave of one request to ask Spine, one query after the other, from one thread."""

    def query(self) -> AbstractContextManager[None]:
        """For the time of one query: wait for a turn, and judge Spine by how the ``with`` ends.

        A SpineFailure that leaves the ``with``, or one that took long, counts against Spine; what PDS answers does not.
        Later queries of the same request come before the first ones of others.

        Raises:
            Busy: no turn within the time there is, or too many wait already.
            NotSent: Spine is out of order, as far as the last queries tell (the breaker is open).
        """
        ...


class Admission(Protocol):
    """Who lets requests and queries pass. Thread-safe."""

    def admit_request(self, client: str, limits: Limits) -> AbstractContextManager[None]:
        """For the time of one request of a client; returns at once.

        Raises:
            Busy: the client has used up its rate or its concurrency.
        """
        ...

    def admit_inquiry(self, turn: Turn) -> AbstractContextManager[Leave]:
        """For the time in which a request asks Spine. Nothing is taken before its first query."""
        ...

    def admit_repeat(self, deadline: Deadline) -> bool:
        """Wait for leave to send once more what Spine could not answer; False where there is none in time.

        For connectors: a message that is sent again counts towards the rate like any other.
        """
        ...
