"""Whether the records of a lane can have been made at the moments that they name.

Whoever has the database and the keys of the contents can add records that follow as they should, and the keeper binds
them. What they cannot do is to bring such a record into a root that was made before: a record that no root up to some
moment binds was not there at that moment, and cannot be much older.

Source: SMSP-AUDIT-001, 009, 011.
"""

from typing import Final, NamedTuple

from smsp_provider.audit.chain import microseconds
from smsp_provider.audit.roots import RootStatement

__all__ = ["LATE_SECONDS", "MomentsCheck", "RootMoment", "moment_of_root"]

LATE_SECONDS: Final = 300
"""How much older than its place a record may be.

A writer writes nothing that is older than two minutes (``storage/audit_lane``). The rest is for the database to commit
it, and for clocks of hosts that differ by more than the alert of the clock lets pass.
"""
_LATE: Final = LATE_SECONDS * 1_000_000


class RootMoment(NamedTuple):
    """A root by its number and its moment, the latter in microseconds since 1970."""

    number: int
    at: int


def moment_of_root(root: RootStatement) -> RootMoment:
    """When a root looked at the lanes."""
    return RootMoment(root.number, microseconds(root.at))


class MomentsCheck:
    """The moments of one lane, record by record."""

    __slots__ = ("_earliest", "_latest", "_root")

    def __init__(self) -> None:
        self._root = 0
        self._earliest = self._latest = 0

    def begin(self, root: RootMoment | None) -> None:
        """The records that come next are not in this root, nor in one before it."""
        if root is not None:
            self._root, self._earliest = root.number, root.at - _LATE

    def wrong_with(self, at: int) -> str | None:
        """What does not fit the moment of the next record, in microseconds since 1970."""
        if at < self._earliest:
            return f"it says that it is older than root {self._root}, which does not bind it"
        if at < self._latest - _LATE:
            return "it says that it is older than a record before it"
        self._latest = max(self._latest, at)
        return None
