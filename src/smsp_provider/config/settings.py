"""The settings: a TOML file, environment variables over it (``SMSP_SECTION__NAME``), safe defaults under it.

Every section refuses unknown names, so that a typo cannot pass as a default. Durations carry their unit in their name.
Relaxed values are refused where ``environment`` is ``live``. The reference page is made from these models.
"""

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from smsp_provider.config.alerts import AlertSettings
from smsp_provider.config.audit import AuditSettings
from smsp_provider.config.operators import OperatorSettings
from smsp_provider.config.probing import ProbingSettings
from smsp_provider.config.protection import BreakerSettings, ThrottleSettings
from smsp_provider.config.section import Seconds, Section, has_control_character
from smsp_provider.config.server import HTTPSListener, LeastTLS, ProxyListener, Server, is_loopback, relaxed_tls
from smsp_provider.config.spine import SpineSettings
from smsp_provider.config.upstream import FHIRAccess, FHIRSettings, SmartcardPolicy, Upstream, UpstreamSettings
from smsp_provider.domain.clients import SignaturePolicy
from smsp_provider.soap.security import UsernamePolicy

__all__ = [
    "AlertSettings",
    "AuditSettings",
    "BreakerSettings",
    "ClientPolicy",
    "ClientSettings",
    "Environment",
    "FHIRAccess",
    "FHIRSettings",
    "HTTPSListener",
    "LeastTLS",
    "Limits",
    "LogSettings",
    "OperatorSettings",
    "ProbingSettings",
    "ProxyListener",
    "ReplayPolicy",
    "SchemaSettings",
    "SecuritySettings",
    "Server",
    "ServiceSettings",
    "Settings",
    "SpineSettings",
    "ThrottleSettings",
    "Upstream",
    "UpstreamSettings",
    "load_settings",
]


class Environment(StrEnum):
    """Where this provider runs; ``live`` refuses every relaxed value."""

    SANDBOX = "sandbox"
    TEST = "test"
    LIVE = "live"


class ReplayPolicy(StrEnum):
    """What happens to a MessageID that the same caller uses again within the replay window."""

    ANSWER = "answer"
    REJECT = "reject"


class ServiceSettings(Section):
    """How requests are read and answered."""

    accepted_to: tuple[str, ...] = Field(
        (), description="Addresses accepted in wsa:To; empty accepts any, which is warned of in live."
    )
    clock_skew_seconds: float = Field(300, ge=0, le=86_400, description="How far ahead a caller's clock may be.")
    max_message_seconds: Seconds = Field(
        86_400, le=31_536_000, description="Longest time from wsu:Created to wsu:Expires; senders usually take 600."
    )
    replay_window_seconds: Seconds = Field(900, le=2_592_000, description="How long a MessageID counts as used.")
    replay_policy: ReplayPolicy = Field(
        ReplayPolicy.ANSWER, description="answer: mark the repeat in the audit; reject: fault 1000."
    )
    accepted_profiles: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Profile ids accepted for an operation besides the standard one, by operation name (COR-DEH-09).",
    )
    confirm_trace: bool = Field(
        True, description="Retrieve a traced number before getNHSNumber gives it out (ADR 0004)."
    )

    def outlives_its_id(self) -> bool:
        """Whether repeats are rejected, and one can come when its MessageID is forgotten and it is still in time."""
        in_time = self.max_message_seconds + self.clock_skew_seconds
        return self.replay_policy is ReplayPolicy.REJECT and in_time > self.replay_window_seconds


class Limits(Section):
    """Bounds on what a caller can make the provider do."""

    max_body_bytes: int = Field(
        65_536, ge=4_096, le=100_000_000, description="Largest request body; a larger one is answered 413."
    )
    max_payload_bytes: int = Field(
        65_536, ge=4_096, le=100_000_000, description="Largest payload after base64 and gzip are undone."
    )
    request_seconds: Seconds = Field(
        20, le=600, description="From the request's arrival to its answer, Spine included."
    )


class ClientPolicy(StrEnum):
    """Who may call; the value is the word of the settings."""

    REGISTERED = "registered"
    ANY = "any"


class ClientSettings(Section):
    """The registry of clients."""

    policy: ClientPolicy = Field(
        ClientPolicy.REGISTERED,
        description="registered: only clients of the registry; any: every certificate of the authority, and no limits "
        "of a client (sandbox and test only, refused in live).",
    )
    database: str = Field(
        "",
        description="SQLAlchemy URL of the registry: sqlite:///FILE or postgresql+psycopg://HOST/DATABASE; empty: "
        "clients.db beside the audit trail. A password belongs into a file that the driver reads, not in here. Live "
        "takes PostgreSQL of another host with ?sslmode=verify-full only: who speaks for it decides who is let in.",
    )
    refresh_seconds: Seconds = Field(1, le=4, description="How often each worker looks for changes in the registry.")
    stale_seconds: Seconds = Field(
        5,
        le=3600,
        description="How old a worker's knowledge of the registry may be, more than refresh_seconds; without newer, "
        "every request is fault 2100. With more than 5 a disabled client may be let in for longer than 5 s.",
    )

    @field_validator("database")
    @classmethod
    def _without_a_password(cls, value: str) -> str:
        # The value is shown by `config check` and stands in messages.
        if not value:
            return value
        try:
            parts = urlsplit(value)
            has_password = parts.password is not None or "password=" in parts.query.lower()
        except ValueError:
            raise ValueError("not a URL") from None
        if has_password:
            raise ValueError("a password does not belong in here: PostgreSQL's driver reads a passfile")
        if parts.scheme not in ("sqlite", "postgresql+psycopg") or has_control_character(value):
            raise ValueError("sqlite:///FILE or postgresql+psycopg://HOST/DATABASE")
        return value

    @model_validator(mode="after")
    def _looked_at_before_it_is_old(self) -> Self:
        if self.stale_seconds <= self.refresh_seconds:
            raise ValueError("stale_seconds must be more than refresh_seconds, or nobody is let in between two looks")
        return self

    def relaxed(self) -> dict[str, bool]:
        """What is relaxed of these, by the name to be told."""
        parts = urlsplit(self.database)
        options = parse_qs(parts.query)
        hosts = (parts.hostname or "", *options.get("host", ()), *options.get("hostaddr", ()))
        # (A service names a host in a file of the driver's.)
        is_local = "service" not in options and all(_is_here(host) for named in hosts for host in named.split(","))
        return {
            "clients.policy": self.policy is not ClientPolicy.REGISTERED,
            "clients.database without sslmode=verify-full": not is_local and options.get("sslmode") != ["verify-full"],
        }


def _is_here(host: str) -> bool:
    """Whether a host of PostgreSQL is this machine: none at all, a directory of sockets, or a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return not host or host.startswith("/") or host.partition(":")[0] in ("localhost", "127.0.0.1")


class SecuritySettings(Section):
    """What the WS-Security header of a request over TLS has to prove; on plain loopback HTTP nothing is compared."""

    username: UsernamePolicy = Field(
        UsernamePolicy.REQUIRE_MATCH,
        description="require-match: the common name of the client certificate; known-name: a registered name of the "
        "client; ignore: any (sandbox and test only, refused in live).",
    )
    signatures: SignaturePolicy = Field(
        SignaturePolicy.VERIFY_IF_PRESENT,
        description="verify-if-present, require, or ignore (sandbox and test only, refused in live); a client of the "
        "registry may have its own.",
    )
    allow_sha1: bool = Field(
        False, description="Accept signatures with SHA-1, which old toolkits make (sandbox and test only)."
    )


class SchemaSettings(Section):
    """Which schemas requests and responses are validated with."""

    directory: Path | None = Field(None, description="Folder of the official schema pack; unset: the provider's own.")


class LogSettings(Section):
    """Operator events on standard output, one JSON object a line."""

    level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Lowest level that is written.")


class Settings(BaseSettings):
    """All settings of a provider."""

    model_config = SettingsConfigDict(
        env_prefix="SMSP_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    environment: Environment = Field(Environment.LIVE, description="sandbox, test or live.")
    server: Server = Server()
    service: ServiceSettings = ServiceSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    spine: SpineSettings = SpineSettings()
    pds_fhir: FHIRSettings = FHIRSettings()
    audit: AuditSettings
    limits: Limits = Limits()
    throttle: ThrottleSettings = ThrottleSettings()
    breaker: BreakerSettings = BreakerSettings()
    probing: ProbingSettings = ProbingSettings()
    clients: ClientSettings = ClientSettings()
    operators: OperatorSettings = OperatorSettings()
    security: SecuritySettings = SecuritySettings()
    schemas: SchemaSettings = SchemaSettings()
    log: LogSettings = LogSettings()
    alerts: AlertSettings = AlertSettings()
    vocabulary: Path | None = Field(
        None, description="TOML file of response codes and the map from PDS codes; unset: config/vocabulary.toml."
    )

    @model_validator(mode="after")
    def _nothing_relaxed_in_live(self) -> Self:
        if not (self.server.http or self.server.https or self.server.proxy):
            raise ValueError("server.http, server.https or server.proxy must be set")
        self._check_upstreams()
        if self.security.username is UsernamePolicy.KNOWN_NAME and self.clients.policy is ClientPolicy.ANY:
            raise ValueError("security.username: known-name needs the names of registered clients (clients.policy)")
        threads = self.server.workers * self.server.threads
        if (
            self.throttle.max_in_flight is not None
            and self.throttle.max_in_flight * self.throttle.host_share >= threads
        ):
            raise ValueError(
                f"throttle.max_in_flight: this host's part is not below its {threads} threads (workers times threads): "
                "a slow Spine would take all of them, and nobody could be told to try again"
            )
        if self.environment is Environment.LIVE:
            relaxed = {
                "server.http": self.server.http is not None,
                **relaxed_tls("server.https", self.server.https),
                **relaxed_tls("server.proxy", self.server.proxy),
                "spine.default_asid": self.spine.default_asid is not None,
                "spine.endpoint (http)": any(urlsplit(url).scheme == "http" for url in self.spine.urls()),
                **self.upstream.relaxed(),
                **(self.pds_fhir.relaxed() if self._reaches(Upstream.PDS_FHIR) else {}),
                **self.audit.relaxed(),
                **self.clients.relaxed(),
                "security.username": self.security.username is UsernamePolicy.IGNORE,
                "security.signatures": self.security.signatures is SignaturePolicy.IGNORE,
                "security.allow_sha1": self.security.allow_sha1,
                **self.operators.relaxed(),
                **self.alerts.relaxed(),
            }
            names = [name for name, is_relaxed in relaxed.items() if is_relaxed]
            if names:
                raise ValueError("not allowed in live: " + ", ".join(names))
        return self

    def throttle_in_force(self) -> ThrottleSettings:
        """How fast PDS may be asked: PDS FHIR has a budget of its own, which caps the rate of all queries."""
        if not self.upstream.uses(Upstream.PDS_FHIR):
            return self.throttle
        rate = min(self.throttle.rate_per_second, self.pds_fhir.rate_per_second)
        burst = min(self.throttle.burst, self.pds_fhir.burst)
        return self.throttle.model_copy(update={"rate_per_second": rate, "burst": burst})

    def throttle_of_comparisons(self) -> ThrottleSettings | None:
        """How fast the way that is compared with may be asked, beside the answers.

        None where nothing is compared, and where answers of some organisations come by that way too: what is compared
        then counts against their budget, because PDS knows one budget only.
        """
        if self.upstream.compare_with is None or self.upstream.uses(self.upstream.compare_with):
            return None
        return self.throttle.model_copy(
            update={"rate_per_second": self.pds_fhir.rate_per_second, "burst": self.pds_fhir.burst}
        )

    def _reaches(self, way: Upstream) -> bool:
        return self.upstream.uses(way) or self.upstream.compare_with is way

    def _check_upstreams(self) -> None:
        missing: tuple[str, ...] = ()
        if self._reaches(Upstream.HL7V3):
            missing += self.spine.missing()
        if self._reaches(Upstream.PDS_FHIR):
            missing += self.pds_fhir.missing()
        if missing:
            raise ValueError("needed for the upstream that is chosen, and not set: " + ", ".join(missing))

    def warnings(self) -> tuple[str, ...]:
        """What an operator of a live service should know about the values chosen."""
        found = []
        if not self.service.accepted_to:
            found.append("service.accepted_to is empty: any wsa:To is accepted")
        if self.service.outlives_its_id():
            found.append(
                "service.replay_policy is reject, and a message can be in time for longer than its MessageID is "
                "remembered: max_message_seconds and clock_skew_seconds together are above replay_window_seconds"
            )
        if not self.audit.has_witness():
            why = f" ({self.audit.without_witness})" if self.audit.without_witness else ""
            found.append(f"audit has no witness{why}: who holds database and signing key can rewrite the trail unseen")
        elif self.audit.without_witness:
            found.append("audit.without_witness says why there is no witness, and there is one: take it out")
        if not self.service.confirm_trace:
            found.append("service.confirm_trace is off: a traced number is given out on one answer alone")
        if self.server.ops is not None and not is_loopback(self.server.ops):
            found.append("server.ops is not on a loopback address: metrics are open to whoever reaches it")
        if self._reaches(Upstream.PDS_FHIR) and self.pds_fhir.smartcard is SmartcardPolicy.UNATTENDED:
            found.append(
                "pds_fhir.smartcard is unattended: users of smartcards are not named to PDS, only in the audit trail"
            )
        return tuple(found)


def load_settings(file: Path) -> Settings:
    """Read ``file`` and the environment.

    Raises:
        OSError: the file cannot be read.
        tomllib.TOMLDecodeError: it is not TOML.
        pydantic.ValidationError: a value is unknown, missing or not allowed; secrets are never in these settings.
    """
    with file.open("rb"):
        pass  # the settings source would take a missing file for an empty one

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del init_settings, dotenv_settings, file_secret_settings
            return env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    return FromFile()
