"""Bringing tables to the form of this version with Alembic."""

from pathlib import Path

from sqlalchemy import Connection

__all__ = ["LaterForm", "upgrade"]


class LaterForm(Exception):
    """The tables have a form that this version does not know."""


def upgrade(connection: Connection, scripts: Path) -> None:
    """Run what is missing of the scripts in a directory, in the transaction of ``connection``.

    Raises:
        LaterForm: a later version was here.
        sqlalchemy.exc.SQLAlchemyError: the database refused.
    """
    # Here, since only this needs Alembic: a worker that serves does not load it.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.util import CommandError  # noqa: PLC0415 - see above

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise LaterForm from None
