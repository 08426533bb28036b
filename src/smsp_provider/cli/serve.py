"""``smsp serve``: checks everything, opens the audit trail, and runs one process tree for each listener.

A gunicorn serves either plain HTTP or HTTPS, so each listener is a child of its own; this process only watches.
"""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.cli.addresses import host_port
from smsp_provider.cli.audit_keeper import keeper_state_file, run_keeper
from smsp_provider.cli.checks import check_files
from smsp_provider.cli.client_ready import ready_registry
from smsp_provider.cli.config_origin import config_option, print_warnings, read_settings
from smsp_provider.cli.endpoint_files import attention
from smsp_provider.cli.exit_codes import CannotStart, ExitCode, UnusableConfiguration
from smsp_provider.cli.keeper import SupervisedChild
from smsp_provider.cli.one_process import hold_alone
from smsp_provider.cli.ops import ops_socket, run_ops
from smsp_provider.cli.processes import LAST_ALERTS_SECONDS, Child, StopSignals, start_child, stop_children
from smsp_provider.config.settings import Environment, Settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.alerts import finish_alerts
from smsp_provider.observe.logs import Level, LogLevel, LogObserver
from smsp_provider.storage.audit_database import AuditDatabase, StorageUnsafe
from smsp_provider.storage.audit_signing_key import SigningKeyUnusable
from smsp_provider.storage.chained_audit import end_sessions
from smsp_provider.storage.shared_throttle import SharedThrottle
from smsp_provider.storage.soon import do_what_is_left
from smsp_provider.storage.witness_handing import WitnessDiffers
from smsp_provider.web.application import build_application, listeners
from smsp_provider.web.server import Listener, Supervision, run
from smsp_provider.wiring.alerts import build_log
from smsp_provider.wiring.audit import build_audit, keep_to_trail, start_record
from smsp_provider.wiring.provider import build_throttle, build_throttle_of_comparisons
from smsp_provider.wiring.roots import check_witnesses, have_signing_key, witness_warnings

__all__ = ["check_roots", "run_provider", "serve"]

_AFTER_GRACE_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 0.2


@click.command()
@config_option
def serve(config_file: Path) -> int:
    """Run the provider until SIGTERM or Ctrl-C.

    Operator events go to standard output, one JSON object a line.
    SIGUSR1 switches the log level between the configured one and debug.
    SIGHUP hands over to new workers, which read all files that the settings name; the settings themselves stay.
    One provider for each audit trail: a second one on the same file is refused.
    """
    settings = read_settings(config_file)
    print_warnings(settings)
    check_files(settings)
    for warning in attention(settings, SystemClock().now()):
        click.echo(f"warning: {warning}", err=True)
    return run_provider(settings)


def run_provider(settings: Settings) -> ExitCode:
    """Run a provider whose files were checked, until this process is asked to stop or a listener ends by itself.

    Raises:
        CannotStart: an address is taken, or the client registry or the audit trail cannot be used.
    """
    signals = StopSignals()
    children: list[Child] = []
    # Before there is anybody to pass them on to, so that they never have their default meaning, which is death.
    signal.signal(signal.SIGUSR1, lambda *_: _pass_on(children, signal.SIGUSR1))
    # gunicorn's upgrade in place, which is death by default: both are nothing that an operator wants.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    reloads: deque[None] = deque()
    signal.signal(signal.SIGHUP, lambda *_: reloads.append(None))
    wanted = listeners(settings)
    _check_addresses(wanted)
    trail = settings.audit.database
    lock = hold_alone(
        trail.with_name(f"{trail.name}-provider"), where="audit.database", who="provider", what=str(trail)
    )
    operators: list[Child] = []
    try:
        audit_mark = _open_audit(settings)
        keeper = _start_keeper(settings, audit_mark)
        for warning in ready_registry(settings):
            click.echo(f"warning: {warning}", err=True)
        throttle = _begin_limits(settings)
        if settings.server.ops is not None:
            operators.append(_start_ops(settings, settings.server.ops, audit_mark))
            click.echo(f"smsp: health and metrics on http://{settings.server.ops}", err=True)
        for name, listener in wanted.items():
            children.append(_start(name, listener, settings, audit_mark))
            click.echo(f"smsp: serving on {_shown(name, listener)}", err=True)
        ended = _watch((*children, *operators), signals, _Upkeep(settings, children, reloads, keeper))
        with suppress(OSError):
            throttle.begin_draining()
        if ended is None:
            _let_others_notice(children, settings.server.drain_seconds)
        orderly = stop_children(children, settings.server.graceful_stop_seconds + _AFTER_GRACE_SECONDS)
        # They tell of the draining until there is nothing left to tell of.
        stop_children(operators, _AFTER_GRACE_SECONDS)
        # It binds the last records.
        stop_children([keeper.child], _AFTER_GRACE_SECONDS)
    finally:
        os.close(lock)
        finish_alerts(LAST_ALERTS_SECONDS)
    if ended is not None:
        click.echo(f"smsp: the {ended.name} listener ended by itself ({ended.exit_code}), so all was stopped", err=True)
        return ExitCode.CANNOT_START
    if not orderly:
        click.echo("smsp: requests were still under way after the time for a graceful stop", err=True)
    return ExitCode.OK


def _shown(name: str, listener: Listener) -> str:
    return listener.bind if listener.socket is not None else f"{name}://{listener.bind}"


def _check_addresses(wanted: Mapping[str, Listener]) -> None:
    """Find out about every address that is taken before anything is started.

    gunicorn would try again for seconds and then end without a word to the operator.

    Raises:
        CannotStart: with one line for each.
    """
    problems = []
    for name, listener in wanted.items():
        # A unix socket that is left over, or another provider's, is replaced: the lock keeps other providers away.
        if listener.socket is None:
            address = host_port.convert(listener.bind, None, None)
            try:
                address.listen_for_a_moment()
            except OSError as error:
                problems.append(f"server.{name}: cannot listen on {address}: {error.strerror or error}")
    if problems:
        raise CannotStart("\n  ".join(problems))


def _open_audit(settings: Settings) -> str:
    """Close what died open, and put this start on record; nothing stays open in this process.

    Returns which trail it is, so that the workers use no other.
    """
    clock = SystemClock()
    where = "audit.store" if settings.audit.store else f"audit.database: {settings.audit.database}"
    try:
        audit = build_audit(settings, clock)
    except StorageUnsafe as error:
        raise CannotStart(f"{where}: {error}") from None
    try:
        mark = audit.open()
        check_roots(settings, audit.database)
        closed = audit.recover()
        audit.record_start(start_record(settings, clock))
    except (AuditUnavailable, StorageUnsafe) as error:
        reason = error.reason if isinstance(error, AuditUnavailable) else str(error)
        raise CannotStart(f"{where}: {reason}") from None
    finally:
        audit.close_session()
    if closed:
        click.echo(f"smsp: {closed} requests of an earlier run had no recorded ending; they are closed now", err=True)
    return mark


def check_roots(settings: Settings, database: AuditDatabase) -> None:
    """See that roots can be signed, and that no witness knows of a trail that went on further, or otherwise.

    Raises:
        CannotStart: the signing key cannot be used; or in live, a witness has what the database has not.
        AuditUnavailable: the database cannot be read.
    """
    try:
        have_signing_key(settings)
        for warning in witness_warnings(settings):
            click.echo(f"warning: {warning}", err=True)
        for silent in check_witnesses(settings, database, SystemClock()):
            click.echo(f"warning: audit: {silent}", err=True)
    except SigningKeyUnusable as error:
        raise CannotStart(f"audit.signing_key: {error}") from None
    except WitnessDiffers as differs:
        if settings.environment is Environment.LIVE:
            raise CannotStart(f"audit: {differs.reason}; see docs/how-to/verify-the-audit-trail.md") from None
        click.echo(f"warning: audit: {differs.reason}; no roots are made", err=True)
    except OSError as error:
        raise CannotStart(f"audit.witness_ca: {error.strerror or error}") from None


def _start_keeper(settings: Settings, audit_mark: str) -> SupervisedChild:
    def work() -> int:
        return run_keeper(settings, audit_mark, build_log(settings, sys.stdout.buffer, SystemClock()))

    def last_turn() -> int | None:
        try:
            return keeper_state_file(settings).stat().st_mtime_ns
        except OSError:
            return None

    observer = build_log(settings, sys.stdout.buffer, SystemClock())
    return SupervisedChild(lambda: start_child("keeper", work), observer, sign=last_turn)


def _begin_limits(settings: Settings) -> SharedThrottle:
    """Forget what an earlier run held of the limits.

    Raises:
        CannotStart: their table cannot be used.
    """
    throttle = build_throttle(settings, SystemClock())
    of_comparisons = build_throttle_of_comparisons(settings, SystemClock())
    try:
        throttle.clear()
        if of_comparisons is not None:
            of_comparisons.clear()
    except OSError as error:
        raise CannotStart(f"audit.database: the table of limits beside it: {error.strerror or error}") from None
    return throttle


def _start_ops(settings: Settings, bind: str, audit_mark: str) -> Child:
    try:
        listener = ops_socket(bind)
    except OSError as error:
        raise CannotStart(f"server.ops: cannot listen on {bind}: {error.strerror or error}") from None
    observer = build_log(settings, sys.stdout.buffer, SystemClock())
    with listener:
        return start_child("ops", lambda: run_ops(settings, listener, audit_mark, observer))


def _start(name: str, listener: Listener, settings: Settings, audit_mark: str) -> Child:
    def work() -> int:
        keep_to_trail(settings, audit_mark)
        level = LogLevel(Level[settings.log.level.upper()])
        observer = build_log(settings, sys.stdout.buffer, SystemClock(), level)
        audit, throttle = build_audit(settings, SystemClock()), build_throttle(settings, SystemClock())

        def look_after_worker() -> None:
            audit.recover()
            throttle.take_back()

        try:
            run(
                lambda: build_application(settings, observer),
                listener,
                Supervision(observer, level, look_after_worker, _at_worker_end),
            )
        finally:
            # Who ended the lanes of a worker that died has one.
            audit.close_session()

    return start_child(name, work)


def _at_worker_end() -> None:
    do_what_is_left()
    end_sessions()
    finish_alerts(LAST_ALERTS_SECONDS)


class _Upkeep:
    """What the watching process does meanwhile: reloads that were asked for, and a look at the keeper."""

    def __init__(
        self,
        settings: Settings,
        children: Sequence[Child],
        reloads: deque[None],
        keeper: SupervisedChild,
    ) -> None:
        self._settings = settings
        self._children = children
        self._reloads = reloads
        self._keeper = keeper
        level = LogLevel(Level[settings.log.level.upper()])
        self._observer = LogObserver(sys.stdout.buffer, level, SystemClock())

    def attend(self) -> None:
        self._keeper.attend()
        if self._reloads:
            self._reloads.clear()
            self._reload()

    def _reload(self) -> None:
        """New workers read everything anew: they are only asked for when everything can be read."""
        try:
            check_files(self._settings)
        except UnusableConfiguration as error:
            self._observer.note(Level.ERROR, "No reload: the files cannot be used; the old workers stay.")
            click.echo(f"smsp: no reload: {error.format_message()}", err=True)
            return
        self._observer.note(Level.INFO, "Handing over to new workers.")
        _pass_on(self._children, signal.SIGHUP)


def _watch(children: Sequence[Child], signals: StopSignals, upkeep: _Upkeep) -> Child | None:
    """Wait until a stop is asked for (None) or a child has ended by itself."""
    while not signals.wait(_WATCH_SECONDS):
        for child in children:
            if child.ended():
                return child
        upkeep.attend()
    return None


def _let_others_notice(children: Sequence[Child], seconds: float) -> None:
    """Serve on for so long, while whoever distributes requests finds out that this provider is to get no more."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not any(child.ended() for child in children):
        time.sleep(_WATCH_SECONDS)


def _pass_on(children: Sequence[Child], number: signal.Signals) -> None:
    for child in children:
        child.send(number)
