"""What is wrong with the search index, for ``smsp audit verify``."""

from collections.abc import Iterator
from datetime import date

from smsp_provider.audit.verified_lane import Finding
from smsp_provider.cli.audit_looking import index_office
from smsp_provider.config.settings import Settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_index_check import check_index
from smsp_provider.wiring.audit import build_unsealer
from smsp_provider.wiring.search import build_index_keys

__all__ = ["index_findings"]


def index_findings(settings: Settings, since: date | None) -> Iterator[Finding]:
    """Where the index of the trail, from a day on, hides a term of a record or has a foreign one.

    Raises:
        CannotStart: the trail, its keys or the index cannot be used.
    """
    clock = SystemClock()
    with index_office(settings) as office:
        unsealer, keys = build_unsealer(settings, clock), build_index_keys(settings, clock)
        tokens = {lane.id: lane.token for lane in office.database.lanes()}
        for found in check_index(office.database, unsealer, office.index, keys, since=since):
            what = "hides a term of this record" if found.hidden else "has a term that is not of this record"
            yield Finding(f"the search index {what}", tokens.get(found.lane), found.n)
