"""The configuration of nginx in front of the provider, made of the settings.

Two readers of one request are two opinions of it, so nginx and the provider have the same bounds from the same
settings. Source: serving.md section 3, ADR 0009.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined

from smsp_provider.config.settings import LeastTLS, ProxyListener, Settings
from smsp_provider.domain.faults import ToolkitFault, access_denied, invalid_message, try_again
from smsp_provider.domain.service import Service
from smsp_provider.soap.fault import build_fault
from smsp_provider.web.proxy import ADDRESS_HEADER, CERTIFICATE_HEADER
from smsp_provider.xmlcore.resources import config_file

__all__ = ["Places", "render_nginx"]

_TEMPLATE: Final = "nginx.conf.j2"
_LONGER_THAN_A_REQUEST_SECONDS: Final = 5
_PROTOCOLS: Final = {
    LeastTLS.V1_0: "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3",
    LeastTLS.V1_2: "TLSv1.2 TLSv1.3",
    LeastTLS.V1_3: "TLSv1.3",
}
_CIPHERS: Final = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
"""Those of Python's own default, so that both ways into the service offer the same."""

_EVERY_CIPHER: Final = "DEFAULT:@SECLEVEL=0"
_WILDCARDS: Final = frozenset({"", "0.0.0.0", "[::]"})  # noqa: S104 - compared with, not listened on
_WORD: Final = re.compile(r"[^\s\"'$\\;{}]+")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Places:
    """What nginx keeps where: ``runtime`` its pid and whatever is temporary (best in memory), ``logs`` its two logs.

    ``user`` is who its workers run as, where it is started by root; empty: whoever it was built for.
    """

    runtime: Path
    logs: Path
    user: str = ""


@dataclass(frozen=True, slots=True)
class _Fault:
    name: str
    status: int
    body: str
    retry_after: int | None


def render_nginx(settings: Settings, proxy: ProxyListener, places: Places) -> str:
    """A whole nginx.conf.

    Raises:
        ValueError: a path or a name that nginx cannot be told; the text does not repeat it.
    """
    if places.user and _USER.fullmatch(places.user) is None:
        raise ValueError("the user of nginx is not the name of a user")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=False)  # noqa: S701 - not HTML
    template = environment.from_string(config_file(_TEMPLATE).read_text(encoding="utf-8"))
    old_tls = proxy.min_tls is LeastTLS.V1_0
    return template.render(
        user=places.user,
        runtime=_path(places.runtime),
        logs=_path(places.logs),
        paths=[_word(path) for path in (*_service_paths(settings), "/healthz", "/readyz")],
        max_body=settings.limits.max_body_bytes,
        socket=f"unix:{_path(proxy.socket)}",
        answer_seconds=math.ceil(settings.limits.request_seconds) + _LONGER_THAN_A_REQUEST_SECONDS,
        address_header=ADDRESS_HEADER,
        certificate_header=CERTIFICATE_HEADER,
        listen=_listen(proxy.bind),
        certificate=_path(proxy.certificate),
        key=_path(proxy.key),
        client_ca=_path(proxy.client_ca),
        crl=None if proxy.crl is None else _path(proxy.crl),
        protocols=_PROTOCOLS[proxy.min_tls],
        ciphers=f'"{_EVERY_CIPHER if old_tls else _CIPHERS}"',
        health=_listen(proxy.health),
        health_from=_health_from(settings.server.ops),
        faults=_faults(settings),
    )


def _service_paths(settings: Settings) -> tuple[str, ...]:
    server = settings.server
    return (*server.service_paths, *(f"{server.operation_path_prefix}{service.value}" for service in Service))


def _faults(settings: Settings) -> list[_Fault]:
    """What nginx answers by itself: no certificate that is accepted, too large, and no provider there."""
    refused = access_denied("a client certificate that this service accepts is required", rule="WS-SEC-01")
    too_large = invalid_message("the message is larger than this service accepts", rule="WS-STD-01", status=413)
    gone = try_again("The service is not available at the moment", rule="WS-FDT-02")
    url = (settings.server.public_url.rstrip("/") or "https://localhost") + settings.server.service_paths[0]
    return [
        _fault("certificate", refused, url),
        _fault("too_large", too_large, url),
        _fault("unavailable", gone, url),
    ]


def _fault(name: str, fault: ToolkitFault, url: str) -> _Fault:
    message = build_fault(
        fault, error_id="$smsp_error_id", message_id="$smsp_message_id", relates_to=None, endpoint_url=_word(url)
    )
    text = message.decode("utf-8").replace("\\", "\\\\").replace("'", "\\'")
    return _Fault(name, fault.status, f"'{text}'", fault.retry_after)


def _health_from(ops: str | None) -> str:
    """Who answers health checks: the process that does nothing else, where there is one."""
    if ops is None:
        return "smsp_provider"
    host, _, port = ops.rpartition(":")
    return _word(f"{'127.0.0.1' if host in _WILDCARDS else host}:{port}")


def _listen(bind: str) -> str:
    return _word(bind.removeprefix(":"))


def _path(path: Path) -> str:
    """Absolute, because nginx counts from a directory of its own."""
    return _word(str(path.absolute()))


def _word(text: str) -> str:
    """``text``, if it is one word to nginx.

    Raises:
        ValueError: it has characters that mean something there, or space; quoting does not help against ``$``.
    """
    if _WORD.fullmatch(text) is None:
        raise ValueError("a path or an address with space, quotes, $ or \\ ; { } cannot stand in a file of nginx")
    return text
