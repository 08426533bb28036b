"""The keeper: a process of ``smsp serve`` that makes roots of the audit trail, and does what else is beside requests.

Nobody waits for it, so it runs with a low priority. If it ends, the provider serves on, and starts it again. Of several
hosts with one trail one keeper leads; the others do what is about their own host, and take its place when it is gone.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from smsp_provider.cli.audit_index_task import IndexTask
from smsp_provider.cli.host_tasks import host_tasks
from smsp_provider.cli.keeper import Keeper, KeeperTask
from smsp_provider.cli.processes import StopSignals
from smsp_provider.config.settings import Settings
from smsp_provider.engine.ports import Clock
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.alerts import finish_alerts
from smsp_provider.observe.logs import LogObserver
from smsp_provider.storage.audit_folder import AuditFolder
from smsp_provider.storage.keeper_state import KeeperState, write_keeper_state
from smsp_provider.wiring.audit import build_audit, build_audit_database, keep_to_trail
from smsp_provider.wiring.deletion import finishing
from smsp_provider.wiring.provider import build_refusals
from smsp_provider.wiring.roots import build_folder

__all__ = ["keeper_state_file", "run_keeper"]

_LOCK: Final = "keeper"
_NICE: Final = 10
_LAST_ALERTS_SECONDS: Final = 2.0
_REFUSALS_SECONDS: Final = 5.0
_LAST_TASKS_SECONDS: Final = 3.0
"""At the end no task is begun later than this: `smsp serve` waits some seconds, and then ends this process."""


def keeper_state_file(settings: Settings) -> Path:
    """Where the keeper of this host writes down what it did last."""
    return settings.audit.database.with_name("keeper.json")


def run_keeper(settings: Settings, audit_mark: str, observer: LogObserver) -> int:
    """Keep the trail of this mark until told to stop; the exit code.

    At the end it writes what it has still to write, ends its own lane, and binds all of it with a last root.

    Raises:
        OSError: a file of the settings that a witness needs cannot be read.
    """
    keep_to_trail(settings, audit_mark)
    os.nice(_NICE)
    signals, clock = StopSignals(), SystemClock()
    database = build_audit_database(settings)
    folder = build_folder(settings, database, clock, observer)
    audit = build_audit(settings, clock)
    refusals = build_refusals(settings, clock, observer, audit)
    index = IndexTask(settings, database, clock, observer)
    erasing = finishing(settings, database, clock, index.tell_damage)
    roots = KeeperTask("roots of the audit trail", folder.run)
    search = KeeperTask("search index of the audit trail", index.run)
    tasks = [
        # Before the roots: what is written is bound in the same turn.
        KeeperTask("refused requests", refusals.run, every=_REFUSALS_SECONDS, alone=False),
        roots,
        search,
        KeeperTask("deletions that were interrupted", erasing, alone=False),
        *host_tasks(settings, observer, clock),
    ]
    last_tasks = [
        KeeperTask("refused requests at the end", refusals.finish, alone=False),
        KeeperTask("the end of its own lane", audit.close_session, alone=False),
        roots,
        search,
    ]
    keeper = Keeper(tasks, lambda: database.take(_LOCK), observer)
    note = _noting(settings, keeper, folder, clock)
    try:
        while not signals.wait(settings.audit.fold_seconds):
            keeper.turn()
            note()
        keeper.do_last(last_tasks, _LAST_TASKS_SECONDS)
        note()
    finally:
        keeper.end()
        index.close()
        audit.close_session()
        database.close()
        finish_alerts(_LAST_ALERTS_SECONDS)
    return 0


def _noting(settings: Settings, keeper: Keeper, folder: AuditFolder, clock: Clock) -> Callable[[], None]:
    file = keeper_state_file(settings)

    def note() -> None:
        last = folder.last
        state = KeeperState(
            at=clock.now(),
            leads=keeper.leads,
            root_number=0 if last is None else last.number,
            root_at=None if last is None else last.at,
            unbound=folder.unbound,
        )
        with suppress(OSError):
            write_keeper_state(file, state)

    return note
