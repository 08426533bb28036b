"""Roots and witnesses of the audit trail as the settings want them."""

from typing import Final

from smsp_provider.audit.chain import TrailReader
from smsp_provider.audit.operator_events import Observer
from smsp_provider.audit.trail_books import TrailBooks
from smsp_provider.audit.witness import Witness, WitnessUnavailable
from smsp_provider.config.settings import Environment, Settings
from smsp_provider.connectors.http import server_only_context
from smsp_provider.connectors.witness_webhook import WitnessWebhook
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_folder import AuditFolder
from smsp_provider.storage.audit_signing_key import SigningKeyFile, make_signing_key
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.witness_file import WitnessFile
from smsp_provider.storage.witness_handing import NOT_BEGUN, WitnessHanding, compare
from smsp_provider.wiring.postgres import importing_postgres

__all__ = [
    "build_books",
    "build_folder",
    "build_signing_keys",
    "build_witnesses",
    "check_witnesses",
    "have_signing_key",
    "witness_warnings",
]

_WITNESS_SECONDS: Final = 5.0
_KEEPER_WITNESS_SECONDS: Final = 3.0
"""Less than `smsp serve` gives the keeper for its end: a witness that is silent must not cost the end of its lane."""


def build_books(settings: Settings) -> TrailBooks:
    """What the database of the trail holds beside the records.

    Raises:
        StorageUnsafe: it is in PostgreSQL, and the driver is not installed.
    """
    if settings.audit.store:
        with importing_postgres():
            from smsp_provider.storage.postgres_audit_books import PostgresTrailBooks  # noqa: PLC0415 - its driver is an extra of the package
        return PostgresTrailBooks(settings.audit.store)
    return SqliteTrailBooks(settings.audit.database)


def build_signing_keys(settings: Settings) -> SigningKeyFile:
    """The key that roots are signed with; nothing is read yet."""
    return SigningKeyFile(settings.audit.signing_key_file())


def have_signing_key(settings: Settings) -> None:
    """Make the signing key where there is none, but never in live; and see that it can be used.

    Raises:
        SigningKeyUnusable: it cannot.
    """
    keys = build_signing_keys(settings)
    if settings.environment is not Environment.LIVE:
        make_signing_key(keys.file)
    keys.current()


def build_witnesses(settings: Settings, clock: Clock, seconds: float = _WITNESS_SECONDS) -> tuple[Witness, ...]:
    """Who gets the roots; nothing is opened or connected to yet. A service has so many seconds for each answer.

    Raises:
        OSError: the file of the authorities of the service is missing or holds something else.
    """
    audit = settings.audit
    witnesses: tuple[Witness, ...] = ()
    if audit.witness_file is not None:
        witnesses += (WitnessFile(audit.witness_file),)
    if audit.witness_url:
        context = server_only_context(audit.witness_ca)
        witnesses += (WitnessWebhook(audit.witness_url, clock, context, audit.witness_token, seconds),)
    return witnesses


def build_folder(settings: Settings, database: AuditDatabase, clock: Clock, observer: Observer) -> AuditFolder:
    """Who makes the roots of a trail.

    Raises:
        OSError: see :func:`build_witnesses`.
    """
    witnesses = build_witnesses(settings, clock, _KEEPER_WITNESS_SECONDS)
    handings = [WitnessHanding(witness, database, clock, observer) for witness in witnesses]
    return AuditFolder(database, build_books(settings), build_signing_keys(settings), handings, clock, observer)


def witness_warnings(settings: Settings) -> tuple[str, ...]:
    """What an operator should know of where the witness's file is."""
    audit = settings.audit
    if audit.witness_file is None or audit.store:
        return ()
    try:
        places = [file.parent.stat().st_dev for file in (audit.witness_file, audit.database)]
    except OSError:
        return ()
    if places[0] != places[1]:
        return ()
    return ("audit.witness_file is on the same volume as the trail: whoever can write the one can write the other",)


def check_witnesses(settings: Settings, database: TrailReader, clock: Clock) -> tuple[str, ...]:
    """See that no witness knows of roots that the database has not.

    Returns a text for each that cannot be asked, and for each that has none although the trail has.

    Raises:
        WitnessDiffers: one does.
        AuditUnavailable: the database cannot be read.
        OSError: see :func:`build_witnesses`.
    """
    silent = []
    for witness in build_witnesses(settings, clock):
        try:
            if compare(witness, database) is None and next(iter(database.roots()), None) is not None:
                silent.append(f"the witness {witness.name}: {NOT_BEGUN}")
        except WitnessUnavailable as error:
            silent.append(f"the witness {witness.name} cannot be asked: {error}")
    return tuple(silent)
