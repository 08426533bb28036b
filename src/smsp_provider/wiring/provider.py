"""One process of the provider, put together: the engine, and what it shares with the others of its host."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from smsp_provider.audit.operator_events import Observer
from smsp_provider.audit.trail import AuditTrail
from smsp_provider.config.probing import probing_policy
from smsp_provider.config.protection import throttle_policy
from smsp_provider.config.settings import ClientPolicy, Environment, ReplayPolicy, Settings, ThrottleSettings
from smsp_provider.config.vocabulary import load_vocabulary
from smsp_provider.config.ws_security import security_policy
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.organisations import ASIDDirectory
from smsp_provider.domain.service import Service
from smsp_provider.engine.admission_use import ClientUse
from smsp_provider.engine.pipeline import Pipeline
from smsp_provider.engine.policy import EnginePolicy
from smsp_provider.engine.ports import ClientRegistry, Clock, IdSource, RegistryUnavailable, SpineConnector
from smsp_provider.engine.refusals import RefusalLedger
from smsp_provider.engine.system import RandomIds, SystemClock
from smsp_provider.itk.distribution import DEFAULT_PROFILES, EnvelopePolicy
from smsp_provider.itk.services import ServicePaths
from smsp_provider.observe.logs import quieten_libraries
from smsp_provider.observe.metrics import CountingObserver
from smsp_provider.soap.addressing import AddressingPolicy
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.client_database import ClientDatabase
from smsp_provider.storage.client_registry import ClientStore
from smsp_provider.storage.client_snapshot import ClientSnapshot, SnapshotPolicy
from smsp_provider.storage.daily_notices import DailyNotices
from smsp_provider.storage.deferred_counters import DeferredCounters
from smsp_provider.storage.deferred_probing import DeferredProbingWatch
from smsp_provider.storage.mapped_replay import MappedReplayMemory
from smsp_provider.storage.shared_counters import SharedCounters
from smsp_provider.storage.shared_probing import SharedProbingWatch
from smsp_provider.storage.shared_refusals import SharedRefusals
from smsp_provider.storage.shared_throttle import SharedThrottle, current_use
from smsp_provider.wiring.alerts import build_log
from smsp_provider.wiring.audit import build_audit, vocabulary_file
from smsp_provider.wiring.upstream import ForComparisons, build_connector
from smsp_provider.xmlcore.schemas import Schemas

__all__ = [
    "Provider",
    "build_client_store",
    "build_counters",
    "build_policy",
    "build_probing_watch",
    "build_provider",
    "build_refusals",
    "build_registry",
    "build_throttle",
    "build_throttle_of_comparisons",
    "client_use",
    "service_paths",
    "shared_asids",
]


@dataclass(frozen=True, slots=True)
class Provider:
    """A wired provider: what a web adapter serves, and what a process has to look after."""

    pipeline: Pipeline
    schemas: Schemas
    audit: ChainedAuditTrail
    observer: Observer
    throttle: SharedThrottle
    registry: ClientRegistry | None

    def knows_clients(self) -> bool:
        """Whether this process can tell who may call; always where everybody may."""
        try:
            if self.registry is not None:
                self.registry.book()
        except RegistryUnavailable:
            return False
        return True


def build_policy(settings: Settings) -> EnginePolicy:
    """The engine's policy; reads the vocabulary file.

    Raises:
        OSError, tomllib.TOMLDecodeError, pydantic.ValidationError: the vocabulary file is unusable.
    """
    vocabulary, code_map = load_vocabulary(vocabulary_file(settings))
    service = settings.service
    return EnginePolicy(
        vocabulary=vocabulary,
        code_map=code_map,
        organisations=shared_asids(settings),
        addressing=AddressingPolicy(frozenset(service.accepted_to) or None),
        envelope=EnvelopePolicy(_profiles(service.accepted_profiles), settings.limits.max_payload_bytes),
        paths=service_paths(settings),
        security=security_policy(settings),
        request_seconds=settings.limits.request_seconds,
        reject_repeats=service.replay_policy is ReplayPolicy.REJECT,
        confirm_trace=service.confirm_trace,
    )


def service_paths(settings: Settings) -> ServicePaths:
    """Where the services are."""
    return ServicePaths(frozenset(settings.server.service_paths), settings.server.operation_path_prefix)


def build_client_store(settings: Settings, clock: Clock) -> ClientStore:
    """The registry of clients, as those who change it know it; nothing is opened yet.

    Raises:
        RegistryBroken: the URL of the settings is unusable, or the driver is not installed.
    """
    url = settings.clients.database or f"sqlite:///{settings.audit.database.with_name('clients.db')}"
    return ClientStore(ClientDatabase(url), clock)


def build_registry(settings: Settings, clock: Clock, observer: Observer) -> ClientSnapshot | None:
    """The registry of clients, as a worker knows it; None where everybody is let in. Nothing is opened yet.

    Raises:
        RegistryBroken: the URL of the settings is unusable, or the driver is not installed.
    """
    if settings.clients.policy is ClientPolicy.ANY:
        return None
    return ClientSnapshot(
        build_client_store(settings, clock),
        shared_asids(settings),
        clock,
        observer,
        DailyNotices(settings.audit.database.with_name("clients-notices")),
        SnapshotPolicy(
            settings.clients.refresh_seconds,
            settings.clients.stale_seconds,
            enforce_review=settings.environment is Environment.LIVE,
        ),
    )


def build_throttle(settings: Settings, clock: Clock) -> SharedThrottle:
    """The limits towards clients and Spine that the workers of this host keep together; nothing is opened yet."""
    return _throttle_at(_throttle_file(settings), settings, settings.throttle_in_force(), clock)


def build_throttle_of_comparisons(settings: Settings, clock: Clock) -> SharedThrottle | None:
    """The limits of comparisons where they have any of their own; nothing is opened yet."""
    throttle = settings.throttle_of_comparisons()
    if throttle is None:
        return None
    return _throttle_at(settings.audit.database.with_name("comparisons.table"), settings, throttle, clock)


def _throttle_at(file: Path, settings: Settings, throttle: ThrottleSettings, clock: Clock) -> SharedThrottle:
    policy = throttle_policy(
        throttle,
        settings.breaker,
        workers=settings.server.workers,
        threads=settings.server.threads,
        request_seconds=settings.limits.request_seconds,
    )
    return SharedThrottle(file, policy, clock)


def client_use(settings: Settings, name: str, clock: Clock) -> ClientUse | None:
    """What a client uses of its limits on this host; None where it has not called since the start.

    Raises:
        OSError: that cannot be looked up.
    """
    return current_use(_throttle_file(settings), name, clock)


def _throttle_file(settings: Settings) -> Path:
    return settings.audit.database.with_name("throttle.table")


def build_probing_watch(settings: Settings, clock: Clock, observer: Observer) -> DeferredProbingWatch | None:
    """The watch for guessing that the workers of this host keep together, or None; nothing is opened yet."""
    if not settings.probing.enabled:
        return None
    file = settings.audit.database.with_name("probing.table")
    return DeferredProbingWatch(SharedProbingWatch(file, probing_policy(settings.probing), clock, observer))


def build_refusals(settings: Settings, clock: Clock, observer: Observer, audit: AuditTrail) -> SharedRefusals:
    """What the processes of this host refused before they knew whose it was; nothing is opened yet."""
    return SharedRefusals(settings.audit.database.with_name("refusals.table"), audit, clock, observer)


def build_counters(settings: Settings) -> SharedCounters:
    """What all processes of this host count for the metrics; nothing is opened yet."""
    return SharedCounters(settings.audit.database.with_name("counters.table"))


def build_provider(
    settings: Settings,
    *,
    observer: Observer | None = None,
    connector: SpineConnector | None = None,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    registry: ClientRegistry | None = None,
    refusals: RefusalLedger | None = None,
    audit: ChainedAuditTrail | None = None,
) -> Provider:
    """Everything of one process.

    ``observer`` shares an operator log that is there already; ``connector``, ``clock``, ``ids``, ``registry``,
    ``refusals`` and ``audit`` replace the real ones in tests and benchmarks.

    Raises:
        OSError, ValueError, SchemaPackError: a file that the settings name is missing or unusable.
    """
    clock = clock or SystemClock()
    ids = ids or RandomIds()
    quieten_libraries()
    schemas = Schemas(settings.schemas.directory)
    audit = audit or build_audit(settings, clock)
    if observer is None:
        observer = build_log(settings, sys.stdout.buffer, clock)
    observer = CountingObserver(observer, DeferredCounters(build_counters(settings)), clock)
    throttle = build_throttle(settings, clock)
    policy = build_policy(settings)

    def for_comparisons() -> ForComparisons:
        budget = build_throttle_of_comparisons(settings, clock)
        return ForComparisons(budget or throttle, audit, policy.code_map)

    registry = registry or build_registry(settings, clock, observer)
    replay_file = settings.audit.database.with_name("replay.table")
    pipeline = Pipeline(
        policy=policy,
        schemas=schemas,
        connector=connector or build_connector(settings, clock, ids, throttle, for_comparisons),
        audit=audit,
        observer=observer,
        replay=MappedReplayMemory(replay_file, timedelta(seconds=settings.service.replay_window_seconds)),
        clock=clock,
        ids=ids,
        admission=throttle,
        registry=registry,
        probing=build_probing_watch(settings, clock, observer),
        refusals=refusals or build_refusals(settings, clock, observer, audit),
    )
    return Provider(pipeline, schemas, audit, observer, throttle, registry)


def shared_asids(settings: Settings) -> ASIDDirectory:
    """The ASIDs of organisations in the settings: for clients that bring none of their own."""
    spine = settings.spine
    return ASIDDirectory(
        {ODSCode(code): ASID(asid) for code, asid in spine.ods_to_asid.items()},
        ASID(spine.default_asid) if spine.default_asid is not None else None,
    )


def _profiles(configured: Mapping[str, tuple[str, ...]]) -> Mapping[Service, frozenset[str]]:
    """The standard profile ids, and those configured besides.

    Raises:
        ValueError: an operation that does not exist.
    """
    further = {Service(operation): frozenset(profiles) for operation, profiles in configured.items()}
    return {service: ids | further.get(service, frozenset()) for service, ids in DEFAULT_PROFILES.items()}
