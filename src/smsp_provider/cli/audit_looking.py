"""Looking into the audit trail as an operator: who may, what is on record of it, and an index that has all there is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.chain import Lane
from smsp_provider.audit.events import OperatorAct, OperatorActKind
from smsp_provider.audit.search_index import IndexUnusable, SearchIndex
from smsp_provider.cli.client_session import readable
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.cli.operator_session import office_of
from smsp_provider.cli.os_user import access_point
from smsp_provider.config.settings import Settings
from smsp_provider.domain.nhs_number import InvalidNHSNumber, NHSNumber
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_indexer import AuditIndexer
from smsp_provider.storage.audit_keys import AuditKeysUnusable
from smsp_provider.storage.audit_search import AuditSearch
from smsp_provider.wiring.audit import build_audit_database, build_unsealer
from smsp_provider.wiring.search import build_index, build_indexer

__all__ = ["IndexOffice", "Question", "asked", "index_office", "nhs_number", "search_of"]

_CATCH_UP: Final = 20_000
"""New records that a search brings into the index itself, before it looks."""


class _NHSNumberType(click.ParamType[NHSNumber]):
    name = "nhs-number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> NHSNumber:
        try:
            text = click.prompt("NHS number", err=True) if value == "-" else value
            return NHSNumber(str(text).replace(" ", "").replace("-", ""))
        except InvalidNHSNumber:
            self.fail("not a well-formed NHS number", param, ctx)


nhs_number: Final = _NHSNumberType()
"""An NHS number, with or without blanks; ``-`` asks for it, so that it stands in no list of processes."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an operator wants to know: ``needs`` are all the rights for it, ``text`` is what stands on the trail."""

    kind: OperatorActKind
    command: str
    needs: Sequence[Permission]
    text: str
    number: NHSNumber | None = None


def asked(settings: Settings, question: Question) -> tuple[Operator, datetime]:
    """Put a question on record, in the name of whoever asks; who that is, and a moment before that record.

    Raises:
        NotAllowed: nobody is logged in, or they may not ask that.
        CannotStart: it cannot be put on record.
    """
    with office_of(settings) as office:
        operator, *_ = [office.authorised(permission, question.command) for permission in question.needs]
        now = office.clock.now()
        place = access_point().shown
        act = OperatorAct(now, question.kind, place, operator.name, detail=question.text, nhs_number=question.number)
        office.trail.record_act(act)
    return operator, now


@contextmanager
def search_of(settings: Settings, restored: Path | None = None) -> Iterator[AuditSearch]:
    """The trail and its index, which has all that there is by then; what it has not is told on standard error.

    ``restored`` is a trail restored from an archive, to look into in place of the provider's; its index is made beside
    it at the first look.

    Raises:
        CannotStart: the trail, its keys or the index cannot be used.
    """
    with index_office(settings if restored is None else _of_file(settings, restored)) as office:
        try:
            if restored is None:
                office.indexer.run(_CATCH_UP)
            else:
                office.indexer.run_to_the_end()
            behind = office.indexer.behind()
        except IndexUnusable as error:
            click.echo(f"warning: {error}: the newest records may be missing here", err=True)
        else:
            if behind:
                click.echo(f"warning: {behind} records are not in the search index yet, and missing here", err=True)
        yield AuditSearch(office.database, build_unsealer(settings, SystemClock()), office.index)


def _of_file(settings: Settings, database: Path) -> Settings:
    """The settings for another trail in a file, whose contents are sealed with the same keys."""
    kept = settings.audit
    keys = kept.keys_file() if kept.keys_variable is None else None
    audit = kept.model_copy(update={"database": database, "store": "", "keys": keys})
    return settings.model_copy(update={"audit": audit})


@dataclass(frozen=True, slots=True)
class IndexOffice:
    """What commands about the index work with, open as long as :func:`index_office` lasts."""

    database: AuditDatabase
    index: SearchIndex
    indexer: AuditIndexer


@contextmanager
def index_office(settings: Settings) -> Iterator[IndexOffice]:
    """The trail, its index and who keeps it up.

    Raises:
        CannotStart: one of them, or the keys, cannot be used.
    """
    clock = SystemClock()
    with readable(settings):
        database = build_audit_database(settings)
        try:
            database.open()
            index = build_index(settings, database, clock)
            try:
                yield IndexOffice(database, index, build_indexer(settings, database, index, clock, _tell_damage))
            finally:
                index.close()
        except AuditKeysUnusable as error:
            raise CannotStart(f"audit.keys: {error}") from None
        except IndexUnusable as error:
            raise CannotStart(str(error)) from None
        finally:
            database.close()


def _tell_damage(lane: Lane, n: int, problem: str) -> None:
    click.echo(f"warning: record {lane.id}:{n}: {problem}; run `smsp audit verify`", err=True)
