"""The records of a provider's audit trail, read from its real store."""

from collections.abc import Iterator

from smsp_provider.audit.events import Record
from smsp_provider.audit.lane_events import Closing, LaneEnded, Opening
from smsp_provider.config.settings import Settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.wiring.audit import build_audit_reader

__all__ = ["openings_in", "records_in"]


def records_in(settings: Settings) -> Iterator[Record]:
    """Every record, in order, without those that a lane is made of."""
    for record in _all(settings):
        if not isinstance(record, Opening | Closing | LaneEnded):
            yield record


def openings_in(settings: Settings) -> list[Opening]:
    """The first record of each lane."""
    return [record for record in _all(settings) if isinstance(record, Opening)]


def _all(settings: Settings) -> Iterator[Record]:
    for entry in build_audit_reader(settings, SystemClock()).read():
        yield entry.record
