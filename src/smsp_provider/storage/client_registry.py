"""The registry of clients: read as one state, changed in one step, each change on record before it is in force.

Source: SMSP-SEC-001, SMSP-AUDIT-008; safety.md (who is not known is not served).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select, update

from smsp_provider.domain.clients import Client
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.client_conflicts import Conflict, find_conflict
from smsp_provider.storage.client_database import ClientDatabase, RegistryBroken
from smsp_provider.storage.client_form import reading_registry, writing_registry
from smsp_provider.storage.client_rows import BrokenClient, delete_client, insert_client, moment_text, read_clients
from smsp_provider.storage.clients_schema import registry

__all__ = ["ClientChange", "ClientConflict", "ClientStore", "Mark", "RegistryChanged", "RegistryState"]

Registered = Client | BrokenClient


@dataclass(frozen=True, slots=True)
class Mark:
    """Which state of the registry: ``version`` counts changes.

    The moment is there to tell a restored copy from the original, whose versions have gone other ways since.
    """

    version: int
    changed_at: str


@dataclass(frozen=True, slots=True)
class RegistryState:
    """All clients at one moment, by name."""

    mark: Mark
    clients: Mapping[str, Registered]


@dataclass(frozen=True, slots=True)
class ClientChange:
    """A change of one client: from what whoever asks for it has seen, to what it shall be; None is not there."""

    name: str
    before: Registered | None
    after: Client | None


Recorder = Callable[[ClientChange, int], None]
"""Puts a change and the version that it makes on record; what it raises takes the change back."""


class RegistryChanged(Exception):
    """Somebody else changed the client meanwhile: nothing was changed, look again. ``name`` is None for any client."""

    def __init__(self, name: str | None) -> None:
        super().__init__("the registry" if name is None else f"client {name}")
        self.name = name


class ClientConflict(Exception):
    """The change would give two clients the same certificate or username: nothing was changed."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(str(conflict))
        self.conflict = conflict


class ClientStore:
    """The registry in a database. Safe for threads; each process makes its own."""

    def __init__(self, database: ClientDatabase, clock: Clock) -> None:
        self.database: Final = database
        self._clock: Final = clock

    def mark(self) -> Mark:
        """Which state the registry is in: one small query.

        Raises:
            RegistryBroken: it cannot be read; RegistryNotReady: there is none of this version.
        """
        with reading_registry(self.database) as connection:
            return _mark(connection, self.database)

    def read(self) -> RegistryState:
        """The registry as it is.

        Raises:
            RegistryBroken: it cannot be read; RegistryNotReady: there is none of this version.
        """
        with reading_registry(self.database) as connection:
            mark = _mark(connection, self.database)
            return RegistryState(mark, {found.name: found for found in read_clients(connection)})

    def apply(self, changes: Iterable[ClientChange], record: Recorder, *, based_on: Mark | None = None) -> Mark:
        """Make all the changes or none; returns the new state's mark.

        Writers wait for each other, so each change is compared with what is there now. The rows are written, which the
        database checks, then ``record`` is called for each change, and only when it has returned for all of them are
        they committed: there is no change without its record. A record without a change is left by a death between the
        two; its version is that of the next change, too.

        ``based_on`` refuses the changes when anything at all was changed since.

        Raises:
            RegistryChanged: a client is not as the change says it was before.
            ClientConflict: two clients would share a certificate or a username.
            RegistryBroken: it cannot be written, or nobody knows whether it was: the connection was lost at the end.
            Exception: whatever ``record`` raised.
        """
        listed = tuple(changes)
        with writing_registry(self.database) as connection:
            # Taken by every writer, and first: from here on nobody else changes anything.
            connection.execute(update(registry).values(version=registry.c.version))
            mark = _mark(connection, self.database)
            if based_on is not None and mark != based_on:
                raise RegistryChanged(None)
            _check(listed, {found.name: found for found in read_clients(connection)})
            for change in listed:
                delete_client(connection, change.name)
            for change in listed:
                if change.after is not None:
                    insert_client(connection, change.after)
            made = Mark(mark.version + 1, moment_text(self._clock.now()))
            connection.execute(update(registry).values(version=made.version, changed_at=made.changed_at))
            for change in listed:
                record(change, made.version)
        return made


def _check(changes: Iterable[ClientChange], found: Mapping[str, Registered]) -> None:
    """Compare with what is there, and look at what would be there."""
    after = dict(found)
    for change in changes:
        if after.pop(change.name, None) != change.before:
            raise RegistryChanged(change.name)
        if change.after is not None:
            after[change.name] = change.after
    conflict = find_conflict(client for client in after.values() if isinstance(client, Client))
    if conflict is not None:
        raise ClientConflict(conflict)


def _mark(connection: Connection, database: ClientDatabase) -> Mark:
    row = connection.execute(select(registry.c.version, registry.c.changed_at)).one_or_none()
    if row is None:
        raise RegistryBroken(f"{database}: the row that counts changes is lost")
    return Mark(row.version, row.changed_at)
