"""The section ``[server]`` of the settings: where callers reach the provider, and by which TLS."""

import ipaddress
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, field_validator, model_validator

from smsp_provider.config.section import Seconds, Section, has_control_character, http_url, split_bind

__all__ = ["HTTPSListener", "LeastTLS", "ProxyListener", "Server", "is_loopback", "relaxed_tls"]

_WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on
_MOST_SOCKET_BYTES: Final = 100
"""The kernel's bound is 107, with room for what a server puts behind the name."""

_Path = Annotated[str, Field(pattern="^/")]


class LeastTLS(StrEnum):
    """The oldest TLS that is spoken; the value is the word of the settings. 1.0 includes 1.1."""

    V1_0 = "1.0"
    V1_2 = "1.2"
    V1_3 = "1.3"


class HTTPSListener(Section):
    """The listener with mutual TLS: callers must present a certificate that chains to `client_ca`."""

    bind: str = Field("0.0.0.0:8443", description="Address and port to listen on.")
    certificate: Path = Field(description="PEM file of this endpoint's certificate and its chain.")
    key: Path = Field(description="PEM file of its private key.")
    client_ca: Path = Field(description="PEM file of the authorities that callers' certificates must chain to.")
    crl: Path | None = Field(
        None, description="PEM file with a revocation list of each of these authorities; required in live."
    )
    min_tls: LeastTLS = Field(LeastTLS.V1_2, description="The oldest TLS that is spoken; 1.0 is refused in live.")

    @field_validator("bind")
    @classmethod
    def _with_a_port(cls, value: str) -> str:
        split_bind(value)
        return value


class ProxyListener(HTTPSListener):
    """nginx in front, over a unix socket: `smsp deploy nginx` makes its configuration of these settings.

    Address and files are nginx's own. Whoever can write to the socket can call in the name of every client.
    """

    bind: str = Field("0.0.0.0:443", description="Address and port that nginx listens on.")
    socket: Path = Field(description="Unix socket that nginx reaches the provider at; absolute, made at the start.")
    socket_mode: str = Field(
        "0660", pattern="^0[0-7][0-7]0$", description="Mode of the socket, in octal digits; nothing for others."
    )
    socket_group: str = Field("", description="Group of the socket, that of nginx's workers; empty: the provider's.")
    health: str = Field(
        "127.0.0.1:8081", description="Where nginx serves /healthz and /readyz without TLS; a loopback address."
    )

    @field_validator("socket")
    @classmethod
    def _fits_the_system(cls, value: Path) -> Path:
        text = str(value)
        if not value.is_absolute() or has_control_character(text) or len(text.encode()) > _MOST_SOCKET_BYTES:
            raise ValueError(f"not an absolute path of at most {_MOST_SOCKET_BYTES} bytes")
        return value

    @field_validator("health")
    @classmethod
    def _on_loopback(cls, value: str) -> str:
        return _loopback_address(value)


class Server(Section):
    """Where callers reach the provider."""

    http: str | None = Field(
        None, description="Loopback address and port for plain HTTP (local use only); none when unset."
    )
    https: HTTPSListener | None = Field(None, description="The mutual TLS listener; none when unset.")
    proxy: ProxyListener | None = Field(None, description="The listener behind nginx; none when unset.")
    workers: int = Field(2, ge=1, le=64, description="Worker processes of each listener.")
    pin_workers: bool = Field(
        True,
        description="Whether each worker keeps to one CPU, which makes it faster. It does so only where workers is as "
        "many as the CPUs that this host gives the provider, or a multiple of them.",
    )
    threads: int = Field(
        64, ge=1, le=4096, description="Threads of each worker: requests that can wait for Spine at once."
    )
    public_url: str = Field(
        "", description="Scheme, host and port in WSDL addresses and faults; empty: as the caller addressed it."
    )
    service_paths: tuple[_Path, ...] = Field(("/smsp/pds",), description="Paths that serve all five services.")
    operation_path_prefix: _Path = Field(
        "/interoperability.toolkit/HL7v3/", description="Before the operation name: one path for each service."
    )
    graceful_stop_seconds: Seconds = Field(
        30, le=3600, description="How long a stopping worker may finish its requests."
    )
    drain_seconds: float = Field(
        0,
        ge=0,
        le=600,
        description="How long, before it stops, the provider serves on with /readyz saying that it drains: for a load "
        "balancer to notice.",
    )

    ops: str | None = Field(
        None,
        description="Address and port where a process of its own answers /healthz, /readyz and /metrics, in plain HTTP "
        "and however busy the workers are; on loopback, or a network that only operators reach. None when unset.",
    )

    @field_validator("http")
    @classmethod
    def _loopback_only(cls, value: str | None) -> str | None:
        return None if value is None else _loopback_address(value)

    @field_validator("ops")
    @classmethod
    def _ops_with_a_port(cls, value: str | None) -> str | None:
        if value is not None:
            split_bind(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _scheme_host_and_port(cls, value: str) -> str:
        # The path of each service is put behind it, so it must end where a path begins.
        if value:
            parts = http_url(value)
            if parts.path.strip("/") or parts.query or parts.fragment:
                raise ValueError("only scheme, host and port: paths have settings of their own")
        return value

    @model_validator(mode="after")
    def _addresses_of_their_own(self) -> Self:
        named = {"http": self.http, "ops": self.ops, "https": None if self.https is None else self.https.bind}
        if self.proxy is not None:
            named |= {"proxy": self.proxy.bind, "proxy.health": self.proxy.health}
        taken = [(name, *split_bind(bind)) for name, bind in named.items() if bind is not None]
        for (one, host, port), (other, other_host, other_port) in combinations(taken, 2):
            # Port 0 is a free port for each.
            if port and port == other_port and _meet(host, other_host):
                raise ValueError(f"{one} and {other} cannot listen on the same address and port")
        return self


def _meet(one: str, other: str) -> bool:
    return one == other or bool({one, other} & _WILDCARDS) or {one, other} == {"localhost", "127.0.0.1"}


def is_loopback(bind: str) -> bool:
    """Whether an address and port to listen on is of this machine alone."""
    host, _ = split_bind(bind)
    return host == "localhost" or _is_loopback(host)


def _loopback_address(value: str) -> str:
    """Address and port, unchanged.

    Raises:
        ValueError: it is not on this machine alone.
    """
    if not is_loopback(value):
        raise ValueError("plain HTTP is for loopback addresses only")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def relaxed_tls(name: str, listener: HTTPSListener | None) -> dict[str, bool]:
    """What is relaxed of a listener, by the name to be told; nothing for a listener that is not there."""
    if listener is None:
        return {}
    return {
        f"{name} without crl": listener.crl is None,
        f"{name}.min_tls": listener.min_tls is LeastTLS.V1_0,
    }
