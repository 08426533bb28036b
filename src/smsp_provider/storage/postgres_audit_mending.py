"""Making the guards of an audit trail in PostgreSQL anew where somebody changed or removed them, in their owner's name.

What is none of the provider's, as another table or another trigger, is left to people: somebody may want to look at it.

Source: PostgreSQL documentation, CREATE TRIGGER (partitions get the row triggers of their table), ALTER TABLE.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString

from sqlalchemy import Connection

from smsp_provider.storage.audit_migrations.versions import audit_0001
from smsp_provider.storage.postgres_audit_guards import Damage, Guard, find_damage, guard_findings
from smsp_provider.storage.postgres_audit_schema import SCHEMA

__all__ = ["mend_guards", "tell_findings"]

_FUNCTIONS: Final = audit_0001.FUNCTIONS
"""As the migrations up to :data:`postgres_audit_schema.HEAD` make them."""


def mend_guards(connection: Connection, tell: Callable[[str], None]) -> bool:
    """Make functions and triggers anew that are not as they were made, within the transaction of ``connection``.

    ``tell`` gets a sentence for each. Returns whether there was anything to do.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database refused, as where a function is not its owner's any more.
    """
    made: dict[str, tuple[str, ...]] = {}
    # Functions first: triggers call them.
    for damage in sorted(_damage(connection), key=lambda damage: damage.function is None):
        if damage.function is not None:
            made[f"the function {damage.function}"] = (_function(damage.function),)
        elif damage.guard is not None:
            made[f"the trigger {damage.guard.name} of {damage.table}"] = _trigger(damage.table, damage.guard)
    for what, statements in made.items():
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))
        tell(f"made anew, since it was not as it had been made: {what}")
    return bool(made)


def tell_findings(connection: Connection, tell: Callable[[str], None]) -> None:
    """Say what is still not as it was made."""
    for what in guard_findings(lambda query: _ask(connection, query)):
        tell(f"left as it is: {what}")


def _damage(connection: Connection) -> list[Damage]:
    return list(find_damage(lambda query: _ask(connection, query)))


def _ask(connection: Connection, query: LiteralString) -> Sequence[tuple[Any, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql(query)]


def _function(name: str) -> str:
    return _FUNCTIONS[name].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


def _trigger(table: str, guard: Guard) -> tuple[str, ...]:
    """Statements for a table and its partitions."""
    rows = " FOR EACH ROW" if guard.is_of_rows else ""
    what = f"{guard.name} BEFORE {' OR '.join(guard.events)} ON {SCHEMA}.{table}{rows}"
    return (
        f"CREATE OR REPLACE TRIGGER {what} EXECUTE FUNCTION {SCHEMA}.{guard.function}()",
        f"ALTER TABLE {SCHEMA}.{table} ENABLE ALWAYS TRIGGER {guard.name}",
    )
