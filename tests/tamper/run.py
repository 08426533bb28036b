"""Manipulates trails, and verifies them."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.audit.verified_lane import Finding
from tamper.manipulations import MANIPULATIONS, Sought
from tamper.scene import Scene

__all__ = ["Outcome", "Tally", "manipulate", "names"]

SWAPS = ("swap the database for a backup", "swap the database for another trail's")
"""What needs no hand: another whole database in the place of the trail's."""


@dataclass(frozen=True)
class Outcome:
    """What became of one manipulation. ``named`` is None where nothing could be named."""

    name: str
    found: bool
    named: bool | None
    seconds: float
    findings: tuple[Finding, ...] = ()
    sought: Sought = field(default_factory=Sought)


class Tally:
    """Outcomes, counted by what was done."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.missed: list[Outcome] = []
        self.unnamed: list[Outcome] = []
        self.named = 0
        self.seconds = 0.0

    def count(self, outcome: Outcome) -> None:
        self.done[outcome.name] += 1
        self.seconds += outcome.seconds
        if not outcome.found:
            self.missed.append(outcome)
        elif outcome.named:
            self.named += 1
        elif outcome.named is False:
            self.unnamed.append(outcome)


def manipulate(scene: Scene, names_of: Sequence[str], random: Random) -> Iterator[Outcome]:
    """Do each of these to a copy of its own, and verify that."""
    for name in names_of:
        if name in SWAPS:
            with scene.copy("backup" if name == SWAPS[0] else "other") as copy:
                started = time.monotonic()
                findings = copy.verified().findings
                yield Outcome(name, bool(findings), None, time.monotonic() - started, findings)
            continue
        with scene.copy() as copy:
            sought = MANIPULATIONS[name](random, copy)
            # What was prepared for the manipulation must not give it away.
            copy.hand.hide()
            started = time.monotonic()
            try:
                findings = copy.verified().findings
            except AuditUnavailable:
                yield Outcome(name, True, None, time.monotonic() - started, (), sought)
                continue
            named = None if sought == Sought() else any(names(finding, sought) for finding in findings)
            yield Outcome(name, bool(findings), named, time.monotonic() - started, findings, sought)


def names(finding: Finding, sought: Sought) -> bool:
    """Whether a finding is about what was changed; of a stretch of records, that it is one of them."""
    if sought.root is not None:
        return finding.root == sought.root
    if finding.lane != sought.lane:
        return False
    if sought.n is None or finding.n is None:
        return sought.n is None
    return (finding.since or finding.n) <= sought.n <= finding.n
