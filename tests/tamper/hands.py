"""Hands on a database: what somebody does who may do everything with it, in SQLite and in PostgreSQL."""

# ruff: noqa: S608 - the names of tables and columns stand in this folder, and the values are the tests'

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql

from smsp_provider.audit.chain import Lane
from smsp_provider.storage.sqlite_audit_schema import first_id, suffix_of

__all__ = ["Hand", "PostgresHand", "SqliteHand"]

Values = dict[str, Any]


class Hand(Protocol):
    """Changes rows without asking any trigger. ``kind`` is ``chain`` or ``content``."""

    def set(self, kind: str, lane: Lane, n: int, values: Values) -> None: ...

    def put(self, kind: str, lane: Lane, n: int, values: Values) -> None: ...

    def get(self, kind: str, lane: Lane, n: int) -> Values: ...

    def remove(self, kind: str, lane: Lane, first: int, last: int) -> None: ...

    def drop_day(self, kind: str, lane: Lane) -> None: ...

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """A statement on the tables without days, with ``?`` for values."""
        ...

    def ask(self, statement: str, values: Sequence[Any] = ()) -> list[Any]: ...

    def hide(self) -> None:
        """Put back what would have refused the changes, as somebody would who does not want to be found out."""
        ...


class SqliteHand:
    """Somebody who can write the file."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        triggers = self.ask("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name NOT LIKE 'row%'")
        self._triggers = [text for _, text in triggers]
        for name, _ in triggers:
            self.run(f"DROP TRIGGER {name}")

    def close(self) -> None:
        self._connection.close()

    def hide(self) -> None:
        """See :meth:`Hand.hide`."""
        triggers, self._triggers = self._triggers, []
        tables = {name for (name,) in self.ask("SELECT name FROM sqlite_schema")}
        for text in triggers:
            if text.split(" ON ", 1)[1].split()[0] in tables:
                self.run(text)

    def set(self, kind: str, lane: Lane, n: int, values: Values) -> None:
        columns = ", ".join(f'"{name}" = ?' for name in values)
        self.run(
            f"UPDATE {kind}_{suffix_of(lane.day)} SET {columns} WHERE id = ?",
            (*values.values(), first_id(lane.id, n)),
        )

    def put(self, kind: str, lane: Lane, n: int, values: Values) -> None:
        values = {"id": first_id(lane.id, n), "lane": lane.id, "n": n, **values}
        columns = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" * len(values))
        self.run(f"INSERT INTO {kind}_{suffix_of(lane.day)} ({columns}) VALUES ({marks})", tuple(values.values()))

    def get(self, kind: str, lane: Lane, n: int) -> Values:
        table = f"{kind}_{suffix_of(lane.day)}"
        cursor = self._connection.execute(f"SELECT * FROM {table} WHERE id = ?", (first_id(lane.id, n),))
        row = dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True))
        return {name: value for name, value in row.items() if name not in ("id", "lane", "n")}

    def remove(self, kind: str, lane: Lane, first: int, last: int) -> None:
        self.run(
            f"DELETE FROM {kind}_{suffix_of(lane.day)} WHERE id BETWEEN ? AND ?",
            (first_id(lane.id, first), first_id(lane.id, last)),
        )

    def drop_day(self, kind: str, lane: Lane) -> None:
        self.run(f"DROP VIEW IF EXISTS row_{suffix_of(lane.day)}")
        self.run(f"DROP TABLE {kind}_{suffix_of(lane.day)}")

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        self._connection.execute(statement, values)

    def ask(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()


class PostgresHand:
    """A superuser: in a session that plays a replica no ordinary trigger fires; those that always do are switched off.

    Everything happens in one connection, whose search path leads to the trail.
    """

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET search_path = smsp_audit, pg_catalog")
        self._connection.execute("SET session_replication_role = replica")
        self._connection.execute("ALTER TABLE lane ALTER COLUMN id DROP IDENTITY")
        for (table,) in self.ask(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace"
            " WHERE s.nspname = 'smsp_audit' AND c.relkind IN ('r', 'p')"
        ):
            self._connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(sql.Identifier(table)))

    def close(self) -> None:
        self._connection.close()

    def hide(self) -> None:
        """See :meth:`Hand.hide`."""
        for table, trigger in self.ask(
            "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " JOIN pg_namespace s ON s.oid = c.relnamespace"
            " WHERE s.nspname = 'smsp_audit' AND NOT t.tgisinternal AND t.tgparentid = 0"
        ):
            self._connection.execute(
                sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(
                    sql.Identifier(table), sql.Identifier(trigger)
                )
            )

    def set(self, kind: str, lane: Lane, n: int, values: Values) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        self.run(
            f"UPDATE {kind} SET {columns} WHERE day = ? AND lane = ? AND n = ?",
            (*values.values(), lane.day, lane.id, n),
        )

    def put(self, kind: str, lane: Lane, n: int, values: Values) -> None:
        values = {"day": lane.day, "lane": lane.id, "n": n, **values}
        marks = ", ".join("?" * len(values))
        self.run(f"INSERT INTO {kind} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))

    def get(self, kind: str, lane: Lane, n: int) -> Values:
        cursor = self._connection.execute(
            f"SELECT * FROM {kind} WHERE day = %s AND lane = %s AND n = %s".encode(), (lane.day, lane.id, n)
        )
        row = cursor.fetchone()
        assert row is not None
        assert cursor.description is not None
        names = [column.name for column in cursor.description]
        return {name: value for name, value in zip(names, row, strict=True) if name not in ("day", "lane", "n")}

    def remove(self, kind: str, lane: Lane, first: int, last: int) -> None:
        self.run(
            f"DELETE FROM {kind} WHERE day = ? AND lane = ? AND n BETWEEN ? AND ?", (lane.day, lane.id, first, last)
        )

    def drop_day(self, kind: str, lane: Lane) -> None:
        self.run(f"DROP TABLE {kind}_{suffix_of(lane.day)}")

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        self._connection.execute(statement.replace("?", "%s").encode(), values)

    def ask(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(statement.replace("?", "%s").encode(), values).fetchall()
