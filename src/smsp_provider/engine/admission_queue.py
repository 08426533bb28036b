"""In which order those that wait for Spine have their turn, and who has to go when too many wait.

Three classes. Later queries of a request under way come first, since its earlier ones are wasted otherwise. Then
attended requests before unattended ones (SMSP-PERF-007), except that every :data:`SHARE`-th turn belongs to an
unattended one that waits: its wait is bounded by its place in the queue, whatever attended load there is. Within a
class clients take turns (start-time fair queueing: each waiting query has a tag, the lowest is next), so that a client
with many waiting delays its own.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

__all__ = ["SHARE", "Waiting", "next_turn", "one_to_refuse", "tag_after"]

SHARE: Final = 5
"""Of so many turns in a row one is an unattended request's, if any waits."""


class Waiting(NamedTuple):
    """A query that waits. ``ticket`` tells it from others; ``tag`` and then ``arrival`` place it in its class."""

    ticket: int
    attended: bool
    follow_up: bool
    tag: float
    arrival: int


def tag_after(virtual_now: float, finish: float) -> float:
    """The tag of a client's new query: of the turn that is served now, or after the client's last one if that is later.

    ``virtual_now`` is the highest tag of the class that had its turn; ``finish`` is 1 more than the client's last tag.
    """
    return max(virtual_now, finish)


def next_turn(waiting: Iterable[Waiting], passed_over: int) -> Waiting | None:
    """Who is next; None where nobody waits.

    ``passed_over`` is how many turns in a row went to attended requests while an unattended one waited.
    """
    first: dict[int, Waiting] = {}
    for one in waiting:
        kind = _class_of(one)
        best = first.get(kind)
        if best is None or _place(one) < _place(best):
            first[kind] = one
    if not first:
        return None
    if 0 not in first and 2 in first and passed_over >= SHARE - 1:
        return first[2]
    return first[min(first)]


def one_to_refuse(waiting: Sequence[Waiting]) -> Waiting:
    """Who has to go of those that wait (not empty): the last of the class that has more than its share of the places.

    Later queries of requests under way go only where nobody else waits.
    """
    unattended = [one for one in waiting if _class_of(one) == 2]
    attended = [one for one in waiting if _class_of(one) == 1]
    if unattended and (not attended or len(unattended) * SHARE > len(unattended) + len(attended)):
        return max(unattended, key=_place)
    return max(attended or waiting, key=_place)


def _class_of(one: Waiting) -> int:
    if one.follow_up:
        return 0
    return 1 if one.attended else 2


def _place(one: Waiting) -> tuple[float, int]:
    return one.tag, one.arrival
