"""Follows one lane of the chain, record by record, and says which is the first that does not follow.

Shared by whoever signs (nothing is signed that does not follow from what was signed before) and whoever verifies.
"""

from typing import Final

from smsp_provider.audit.chain import ChainedRecord, Lane, first_link, next_link

__all__ = ["CLOSING", "OPENING", "ChainBroken", "LaneWalk"]

OPENING: Final = "opening"
"""The kind of the first record of each lane."""
CLOSING: Final = "closing"
"""The kind of the last record of a lane whose writer ended it."""


class ChainBroken(Exception):
    """A record does not follow the one before it; the text says in what. ``n`` is its number, or what it should be."""

    def __init__(self, n: int, reason: str) -> None:
        super().__init__(reason)
        self.n: Final = n
        self.reason: Final = reason


class LaneWalk:
    """A place in a lane: after record ``n`` with this ``link``; at the beginning, unless it was followed before.

    Whoever walks need not have read all records at one moment: each is held against the link kept of the one before it,
    wherever that came from, so records of two chains never make one.
    """

    def __init__(self, trail_id: str, lane: Lane, *, n: int = 0, link: bytes | None = None) -> None:
        self._lane: Final = lane
        self.n = n
        self.link: bytes = first_link(trail_id, lane.token, lane.day) if link is None else link
        self.closed = False
        """Whether the last record was a closing."""

    def step(self, record: ChainedRecord) -> None:
        """Go on to the next record.

        Raises:
            ChainBroken: it is not the next one; the place stays.
        """
        wanted = self.n + 1
        if self.closed:
            raise ChainBroken(record.n, "it comes after the closing of its lane")
        if record.n != wanted:
            raise ChainBroken(wanted, "it is missing")
        if (record.kind == OPENING) != (wanted == 1):
            raise ChainBroken(wanted, "the first record of a lane is its opening, and no other")
        if record.lane != self._lane.id:
            raise ChainBroken(wanted, "it is kept as one of another lane")
        if type(record.at) is not int or record.exchange == "":
            # (Not what was written, although the link is the same for both.)
            raise ChainBroken(wanted, "its moment or its exchange is not of the kind that is written")
        try:
            found = next_link(self.link, record.n, record.kind, record.at, record.exchange, record.commitment)
        except (TypeError, AttributeError):
            # SQLite takes anything in any column.
            found = b""
        if found != record.link:
            raise ChainBroken(wanted, "its link does not follow from itself and the record before it")
        self.n, self.link, self.closed = wanted, found, record.kind == CLOSING
