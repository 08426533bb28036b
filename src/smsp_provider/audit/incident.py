"""Which requests a release touched: by what the process that answered them was.

Build, rules and configuration are facts of a process, so they stand in the opening of each lane and not in each record.
What a lane holds was answered under them.

Source: SMSP-AUDIT-008; safety.md section 1 (what has to be looked up when an answer may have been wrong).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from smsp_provider.audit.exchanges import Happening, Part, whole
from smsp_provider.audit.lane_events import Opening

__all__ = ["LaneSpan", "Release", "ReleaseSpan", "Suspicion", "joined", "spans"]

_OTHERS_BETWEEN: Final = 20_000
"""How many other exchanges may end before the last record of one that has an ending: none is held for longer."""


class Release(NamedTuple):
    """What answers: a build of the provider, with its rules and its configuration (:class:`Opening`)."""

    build: str
    rules: str
    configuration: str


class LaneSpan(NamedTuple):
    """As what a lane was written, and from when to when (its first and its last record)."""

    opening: Opening
    last: datetime

    @property
    def release(self) -> Release:
        """As what it was written."""
        return Release(self.opening.build, self.opening.rules, self.opening.configuration)


@dataclass(frozen=True, slots=True)
class ReleaseSpan:
    """A release, and from when to when processes wrote as it: how many, and on which hosts."""

    release: Release
    first: datetime
    last: datetime
    processes: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What is thought to have gone wrong: a build, rules or configuration, a time, or several of these together.

    Build, rules and configuration are told by how they begin. A moment counts from ``since`` to before ``until``.
    """

    build: str = ""
    rules: str = ""
    configuration: str = ""
    since: datetime | None = None
    until: datetime | None = None
    client: str | None = None

    def falls_on(self, span: LaneSpan) -> bool:
        """Whether a lane can hold what is affected."""
        opening = span.opening
        return (
            opening.build.startswith(self.build)
            and opening.rules.startswith(self.rules)
            and opening.configuration.startswith(self.configuration)
            and (self.since is None or span.last >= self.since)
            and (self.until is None or opening.at < self.until)
        )

    def concerns(self, happening: Happening) -> bool:
        """Whether an exchange of such a lane is affected; one whose beginning is in another lane is judged there."""
        at, request = happening.at, happening.request
        if request is None and all(part.record is not None for part in happening.parts):
            return False
        return (
            (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (self.client is None or (request is not None and request.client == self.client))
        )


def spans(lanes: Iterable[LaneSpan]) -> list[ReleaseSpan]:
    """The releases there were, by their first moment."""
    found: dict[Release, list[LaneSpan]] = {}
    for lane in lanes:
        found.setdefault(lane.release, []).append(lane)
    made = [
        ReleaseSpan(
            release,
            min(lane.opening.at for lane in of),
            max(lane.last for lane in of),
            len({lane.opening.writer for lane in of}),
            tuple(sorted({lane.opening.host for lane in of})),
        )
        for release, of in found.items()
    ]
    return sorted(made, key=lambda span: (span.first, span.release))


def joined(parts: Iterable[Part]) -> Iterator[Happening]:
    """The exchanges that records make, which come lane by lane in the order of each; other records are left out.

    Exchanges come in the order of their endings, those without one last; no more is held than is under way, and what
    ended lately.
    """
    under_way: dict[str, list[Part]] = {}
    ended: dict[str, list[Part]] = {}
    for part in parts:
        exchange = part.exchange
        if exchange is None:
            continue
        if exchange in ended:
            ended[exchange].append(part)
        elif part.kind == "intent":
            under_way.setdefault(exchange, []).append(part)
        else:
            ended[exchange] = [*under_way.pop(exchange, ()), part]
            if len(ended) > _OTHERS_BETWEEN:
                yield whole(ended.pop(next(iter(ended))))
    for left in (*ended.values(), *under_way.values()):
        yield whole(left)
