"""What the engine needs from the world, as protocols; wiring chooses who keeps them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from smsp_provider.domain.access import ClientBook
from smsp_provider.domain.audit_identity import SpineAuthor
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.spine_answers import SpineAnswer
from smsp_provider.domain.spine_queries import SpineQuery

__all__ = [
    "ClientRegistry",
    "Clock",
    "Deadline",
    "IdSource",
    "RegistryUnavailable",
    "ReplayMemory",
    "ReplayUnavailable",
    "SpineConnector",
    "SpineSender",
]


class Clock(Protocol):
    """Time, injected so that tests can choose it."""

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...


class IdSource(Protocol):
    """New identifiers, never derived from anything a client sent."""

    def new_uuid(self) -> str:
        """A random UUID, bare and in upper case."""
        ...


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Deadline:
    """When the answer must be on its way, on the monotonic clock, in seconds.

    There is one for each request, compared by identity: what a connector keeps for the queries of one request can be
    tied to it, and is gone when the request is.
    """

    at: float

    def remaining(self, clock: Clock) -> float:
        """Seconds left; negative when it has passed."""
        return self.at - clock.monotonic()


@immutable
class SpineSender:
    """In whose name a query goes to Spine (SMSP-IG-003).

    ``asid`` is the organisation's, ``author`` the person where there is one, ``ods_code`` the organisation where the
    request names it by its code, or by an ASID that no other organisation has.
    """

    asid: ASID
    author: SpineAuthor | None = None
    ods_code: ODSCode | None = None


class SpineConnector(Protocol):
    """A way to ask PDS. One call, one query, one answer."""

    def can_ask(self, query: SpineQuery) -> bool:
        """Whether this connector has a way to send such a query at all."""
        ...

    def has_at_hand(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> bool:
        """Whether the answer came with that to an earlier query of the same request, so that nothing will be sent."""
        ...

    def ask(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> SpineAnswer:
        """Send the query and return the answer as read, whether or not it belongs to the question (the gate judges).

        Raises:
            SpineFailure: one of its kinds, by what is known about the query.
            AuthorRefused: this way to PDS cannot carry the person in whose name it is asked; nothing was sent.
        """
        ...

    def close_idle(self) -> None:
        """Close the connections at rest: called when the gate refused an answer, which may have been another's."""
        ...


class ReplayUnavailable(Exception):
    """The memory of used MessageIDs cannot be asked."""


class ReplayMemory(Protocol):
    """Remembers MessageIDs for the replay window."""

    def forget(self, caller: str, message_id: str) -> None:
        """Take back a registration: the message was not acted on, and its sender is asked to send it again.

        Raises:
            ReplayUnavailable: it could not be taken back.
        """
        ...

    def is_repeat(self, caller: str, message_id: str, at: datetime) -> bool:
        """Register that ``caller`` used this MessageID, and tell whether it had within the window: one atomic step.

        Raises:
            ReplayUnavailable: nothing can be told.
        """
        ...


class RegistryUnavailable(Exception):
    """Who is registered cannot be told, or has not been told for too long: nobody is let in on old knowledge."""


class ClientRegistry(Protocol):
    """Who is registered, as this process knows it."""

    def book(self) -> ClientBook:
        """The clients as they were at most a few seconds ago. Called for each request: returns at once.

        Raises:
            RegistryUnavailable: that is not known.
        """
        ...
