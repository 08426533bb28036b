"""Requests that are refused before anybody knows whose they are: counted, so that junk cannot fill the audit trail.

The first of a peer in a minute is on record by itself before its fault leaves; the others of that minute are counted,
and one record tells of them when the minute is over. Who is let in is on record with each request, whatever becomes of
it.
"""

from dataclasses import dataclass
from typing import Protocol

from smsp_provider.engine.exchange import Peer

__all__ = ["RefusalLedger", "RefusedRequest"]


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that ends in a fault before its client is known: whose, why, and by which ids it can be found."""

    peer: Peer
    code: str
    rule: str
    exchange_id: str
    error_id: str


class RefusalLedger(Protocol):
    """Where such requests are counted. Thread-safe; nothing here raises."""

    def count(self, refused: RefusedRequest) -> bool:
        """Count a request; False where it has to be on record by itself.

        That is so of the first one of its peer in this minute, and of every one while nothing can be counted.
        """
        ...

    def begin(self, refused: RefusedRequest) -> None:
        """Take note that the first one is on record: those that follow in its minute are counted from now on."""
        ...

    def count_below(self, peer: Peer, status: int) -> None:
        """Count a request that was refused below SOAP, with an HTTP status and no ids.

        None of these has to be on record by itself.
        """
        ...
