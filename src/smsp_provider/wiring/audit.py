"""The audit trail as the settings want it: which database, which keys, and as what this process writes."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from smsp_provider import __version__
from smsp_provider.audit.chain import SealBroken, Unsealer
from smsp_provider.audit.events import Start
from smsp_provider.config.settings import Environment, Settings
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_keys import AuditKeysUnusable, KeyRing, KeySource
from smsp_provider.storage.audit_lane import ProcessFacts
from smsp_provider.storage.audit_records import AuditRecords
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase, keep_to
from smsp_provider.storage.sqlite_file import Synchronous
from smsp_provider.wiring.postgres import importing_postgres
from smsp_provider.xmlcore.resources import config_file, schemas_directory

if TYPE_CHECKING:
    from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase

__all__ = [
    "build_audit",
    "build_audit_database",
    "build_audit_keys",
    "build_audit_reader",
    "build_id",
    "build_unsealer",
    "keep_to_trail",
    "load_audit_keys",
    "start_record",
    "vocabulary_file",
]

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_SECRET_PATHS: Final = frozenset({"webhook", "witness_url"})
_SHOWN_DIGITS: Final = 16
_COMMIT_DIGITS: Final = 12


def build_audit_database(settings: Settings) -> AuditDatabase:
    """Where the trail is kept; nothing is opened yet.

    Raises:
        StorageUnsafe: it is in PostgreSQL, and the driver is not installed.
    """
    audit, live = settings.audit, settings.environment is Environment.LIVE
    synchronous = Synchronous[audit.synchronous]
    if audit.store:
        return _postgres()(audit.store, durable=synchronous is Synchronous.FULL, live=live)
    return SqliteAuditDatabase(audit.database, synchronous=synchronous, on_disk_only=live)


def _postgres() -> "type[PostgresAuditDatabase]":
    with importing_postgres():
        from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase  # noqa: PLC0415 - its driver is an extra of the package
    return PostgresAuditDatabase


def build_audit_keys(settings: Settings) -> KeySource:
    """Where the keys of the contents are; outside live they are made with the trail."""
    audit = settings.audit
    may_begin = settings.environment is not Environment.LIVE
    return KeySource(audit.keys_file(), audit.keys_variable, may_begin=may_begin)


def load_audit_keys(settings: Settings, clock: Clock) -> KeyRing:
    """The keys of the contents as they are now; none are made.

    Raises:
        AuditKeysUnusable: they are missing or unusable.
    """
    return build_audit_keys(settings).load(clock.now(), is_new=False)


def build_audit(settings: Settings, clock: Clock) -> ChainedAuditTrail:
    """The audit trail of this process; nothing is opened yet.

    Raises:
        OSError: a file of reference data that the settings name cannot be read.
        StorageUnsafe: see :func:`build_audit_database`.
    """
    facts = ProcessFacts(build_id(), _rules(settings), _configuration(settings))
    return ChainedAuditTrail(build_audit_database(settings), build_audit_keys(settings), clock, facts)


def build_unsealer(settings: Settings, clock: Clock) -> Unsealer:
    """Who opens the contents of the trail.

    Raises:
        AuditKeysUnusable: the keys are missing or unusable.
    """

    def read_again() -> KeyRing:
        try:
            return load_audit_keys(settings, clock)
        except AuditKeysUnusable:
            raise SealBroken from None

    return KeyRingUnsealer(load_audit_keys(settings, clock), read_again)


def build_audit_reader(settings: Settings, clock: Clock) -> AuditRecords:
    """The records of the trail, opened.

    Raises:
        AuditKeysUnusable: the keys are missing or unusable.
    """
    return AuditRecords(build_audit_database(settings), build_unsealer(settings, clock))


def keep_to_trail(settings: Settings, mark: str) -> None:
    """From here on this process and its children write to the trail of this mark (:meth:`AuditDatabase.open`) only."""
    if settings.audit.store:
        _postgres().keep_to(settings.audit.store, mark)
    else:
        keep_to(settings.audit.database, mark)


def start_record(settings: Settings, clock: Clock) -> Start:
    """The audit record of a start: version, the settings, and digests of them and of reference data (SMSP-AUDIT-008).

    Of a URL that others are told alerts and roots by, the host alone: its path can be a secret.
    """
    files = [vocabulary_file(settings)]
    if settings.schemas.directory is not None:
        files += sorted(settings.schemas.directory.rglob("*.xsd"))
    return Start(
        clock.now(),
        __version__,
        settings.environment.value,
        _configuration(settings),
        tuple((file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files),
        json.dumps(_without_secrets(settings.model_dump(mode="json")), sort_keys=True, separators=(",", ":")),
    )


def _without_secrets(values: Mapping[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            kept[name] = _without_secrets(value)
        elif name in _SECRET_PATHS and isinstance(value, str) and value:
            kept[name] = urlsplit(value)._replace(path="/...", query="", fragment="").geturl()
        else:
            kept[name] = value
    return kept


def vocabulary_file(settings: Settings) -> Path:
    """The file of response codes and of the map from PDS codes."""
    return settings.vocabulary or config_file("vocabulary.toml")


@cache
def build_id() -> str:
    """What tells this build from any other: version, commit (of a checkout), and a digest of the package's files.

    The version alone does not: two builds can have the same.
    """
    files = (file for file in _PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    digest = _digest(_PACKAGE, files)[:_SHOWN_DIGITS]
    commit = _commit(_PACKAGE.parents[1] / ".git")
    return f"{__version__}+{digest}" if commit is None else f"{__version__}+{commit[:_COMMIT_DIGITS]}.{digest}"


def _commit(directory: Path) -> str | None:
    """What is checked out, by git's own files: the command need not be there."""
    try:
        head = (directory / "HEAD").read_text(encoding="ascii").strip()
        name = head.removeprefix("ref: ")
        if name == head:
            return head
        loose = directory / name
        if loose.is_file():
            return loose.read_text(encoding="ascii").strip()
        packed = (directory / "packed-refs").read_text(encoding="ascii").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
    except (OSError, ValueError):
        return None


def _rules(settings: Settings) -> str:
    """A digest of the reference data that decide what is answered: response codes and schemas."""
    schemas = settings.schemas.directory or schemas_directory()
    vocabulary = vocabulary_file(settings)
    return hashlib.sha256(
        f"{_digest(vocabulary.parent, [vocabulary])} {_digest(schemas, schemas.rglob('*.xsd'))}".encode("ascii")
    ).hexdigest()


def _configuration(settings: Settings) -> str:
    return hashlib.sha256(json.dumps(settings.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _digest(root: Path, files: Iterable[Path]) -> str:
    """One digest of names and contents."""
    whole = hashlib.sha256()
    for file in sorted(files):
        whole.update(f"{file.relative_to(root)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()
