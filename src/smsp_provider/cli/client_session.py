"""What every command of ``smsp client`` works with: the registry, and the audit trail that has each change first."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.events import Change, OperatorAct, OperatorActKind
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.cli.config_origin import read_settings
from smsp_provider.cli.exit_codes import CannotStart, NotAllowed, UnusableConfiguration
from smsp_provider.cli.os_user import access_point, os_user, refuse_another_user
from smsp_provider.config.settings import ClientPolicy, Settings
from smsp_provider.domain.client_document import canonical_json, document_of
from smsp_provider.domain.clients import Client
from smsp_provider.domain.operators import EVERYTHING, Operator, organisations_of
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.client_database import RegistryBroken
from smsp_provider.storage.client_form import RegistryNotReady, prepare
from smsp_provider.storage.client_registry import (
    ClientChange,
    ClientConflict,
    ClientStore,
    Mark,
    RegistryChanged,
    RegistryState,
)
from smsp_provider.storage.client_rows import BrokenClient
from smsp_provider.wiring.audit import build_audit
from smsp_provider.wiring.provider import build_client_store

__all__ = ["ClientSession", "Planned", "open_session", "prepare_registry", "readable", "registry_of", "session_of"]

_ATTEMPTS: Final = 5

Planned = Callable[[RegistryState], Sequence[ClientChange]]
"""What to change in a registry as it is: asked again when somebody else was faster."""


def prepare_registry(settings: Settings) -> bool:
    """Make the registry or bring it to the form of this version; returns whether there was anything to do.

    Raises:
        CannotStart: it cannot be made or changed.
    """
    with readable(settings):
        store = build_client_store(settings, SystemClock())
        try:
            refuse_another_user(store.database.file)
            return prepare(store.database)
        finally:
            store.database.close()


@contextmanager
def open_session(config: Path, operator: Operator) -> Iterator["ClientSession"]:
    """The registry that a configuration names, as far as it is the operator's: other clients are not there.

    Raises:
        UnusableConfiguration: the configuration, or what is asked for, is wrong.
        CannotStart: the registry or the audit trail cannot be used.
    """
    settings = read_settings(config)
    if settings.clients.policy is ClientPolicy.ANY:
        click.echo('warning: clients.policy is "any": the provider lets in whoever the authority knows', err=True)
    with session_of(settings, operator) as session:
        yield session


@contextmanager
def session_of(settings: Settings, operator: Operator | None = None) -> Iterator["ClientSession"]:
    """The registry that settings name: whole, for the provider itself, without an operator.

    Raises:
        UnusableConfiguration: what is asked for is wrong.
        CannotStart: the registry or the audit trail cannot be used.
    """
    with readable(settings):
        session = ClientSession(settings, build_client_store(settings, SystemClock()), operator)
        try:
            yield session
        finally:
            session.close()


def registry_of(settings: Settings) -> RegistryState:
    """The registry that settings name, as it is.

    Raises:
        CannotStart: it cannot be read, or there is none of this version.
    """
    with session_of(settings) as session:
        return session.state()


class ClientSession:
    """One command's part: reads the registry, and changes it with a record of each change.

    An operator whose scope is some organisations sees and changes those clients alone whose organisations are all
    among them; of the other ones they learn at most that a name is taken.
    """

    def __init__(self, settings: Settings, store: ClientStore, operator: Operator | None) -> None:
        self.settings: Final = settings
        self._operator: Final = operator
        self._store: Final = store
        self._clock: Final = SystemClock()
        self._audit: Final = build_audit(settings, self._clock)
        self._recorded = 0

    def close(self) -> None:
        """End this process's part in registry and trail."""
        self._audit.close_session()
        self._store.database.close()

    def state(self) -> RegistryState:
        """The registry as it is.

        Raises:
            RegistryBroken: it cannot be read, or there is none.
        """
        whole = self._store.read()
        visible = {name: client for name, client in whole.clients.items() if self._may_see(client)}
        return RegistryState(whole.mark, visible)

    def _may_see(self, client: Client | BrokenClient) -> bool:
        """Whose client it is cannot be told of one that cannot be read."""
        scope = EVERYTHING if self._operator is None else self._operator.scope
        return scope.covers(organisations_of(client)) if isinstance(client, Client) else scope == EVERYTHING

    def client(self, name: str, state: RegistryState | None = None) -> Client:
        """One client.

        Raises:
            UnusableConfiguration: there is none of this name, or none that can be read.
            RegistryBroken: the registry cannot be read.
        """
        found = (state or self.state()).clients.get(name)
        if found is None:
            raise UnusableConfiguration(f"there is no client {name}")
        if isinstance(found, BrokenClient):
            raise UnusableConfiguration(
                f"client {name}: what the registry holds of it is no registration, so it is refused;"
                " remove it, or import it anew"
            )
        return found

    def change(self, planned: Planned, *, based_on: Mark | None = None) -> Sequence[ClientChange]:
        """Make the changes, all or none, each on record first; returns those that were made.

        ``based_on`` makes them only where nothing was changed since that state: an operator agreed to just these.

        Raises:
            UnusableConfiguration: they cannot be made together with what is registered.
            RegistryBroken, AuditUnavailable: nothing was changed, or the text says that nobody knows.
        """
        refuse_another_user(self.settings.audit.database)
        refuse_another_user(self._store.database.file)
        for attempt in range(_ATTEMPTS):
            changes = [change for change in planned(self.state()) if change.before != change.after]
            if not changes:
                return []
            self._check_scope(changes)
            try:
                self._store.apply(changes, self._record, based_on=based_on)
            except ClientConflict as conflict:
                raise UnusableConfiguration(f"{self._shown(conflict, changes)}; nothing was changed") from None
            except RegistryChanged:
                if based_on is not None or attempt == _ATTEMPTS - 1:
                    raise UnusableConfiguration(
                        "the registry was changed by somebody else meanwhile: nothing was changed, look again"
                    ) from None
            except RegistryBroken as broken:
                known = f"{broken}; nothing was changed"
                unknown = f"{broken}; the change is on record, but whether it was made is not known: look again"
                raise RegistryBroken(unknown if self._recorded else known) from None
            else:
                return changes
        raise AssertionError

    def _check_scope(self, changes: Sequence[ClientChange]) -> None:
        if self._operator is None or self._operator.scope == EVERYTHING:
            return
        taken = {name for name, client in self._store.read().clients.items() if not self._may_see(client)}
        for change in changes:
            if change.name in taken:
                raise UnusableConfiguration(f"client {change.name}: the name is taken; nothing was changed")
            if change.after is not None and not self._may_see(change.after):
                reason = f"client {change.name}: has organisations that are not yours to change"
                place, kind = access_point().shown, OperatorActKind.COMMAND_REFUSED
                self._audit.record_act(OperatorAct(self._clock.now(), kind, place, self._operator.name, detail=reason))
                raise NotAllowed(f"{reason}; nothing was changed")

    def _shown(self, conflict: ClientConflict, changes: Sequence[ClientChange]) -> str:
        """What the operator may know of two clients that would share something."""
        mine = self.state().clients.keys() | {change.name for change in changes}
        one, other, field = conflict.conflict.one, conflict.conflict.other, conflict.conflict.field
        if {one, other} <= mine:
            return str(conflict)
        return f"client {one if one in mine else other}: {field}: another client is registered with the same"

    def _record(self, change: ClientChange, version: int) -> None:
        self._audit.record_change(
            Change(
                at=self._clock.now(),
                who=os_user() if self._operator is None else self._operator.name,
                what="client",
                name=change.name,
                version=version,
                before=_document(change.before),
                after=_document(change.after),
            )
        )
        self._recorded += 1


def _document(client: Client | BrokenClient | None) -> str | None:
    if client is None:
        return None
    return canonical_json({"unreadable": True} if isinstance(client, BrokenClient) else document_of(client))


@contextmanager
def readable(settings: Settings) -> Iterator[None]:
    """Tell what is wrong with registry or trail in words that name the setting.

    Raises:
        CannotStart: the registry or the audit trail cannot be used.
    """
    try:
        yield
    except RegistryNotReady as error:
        raise CannotStart(f"clients.database: {error}: run `smsp client init`") from None
    except RegistryBroken as error:
        raise CannotStart(f"clients.database: {error}") from None
    except AuditUnavailable as error:
        database = settings.audit.database
        raise CannotStart(f"audit.database: {database}: {error.reason}; nothing was changed") from None
    except StorageUnsafe as error:
        raise CannotStart(f"audit.database: {settings.audit.database}: {error}") from None
