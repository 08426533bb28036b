"""From settings to what a gunicorn worker serves, and to the listeners that it is served on."""

from ssl import TLSVersion
from typing import Final

from smsp_provider.audit.operator_events import Observer
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.config.settings import HTTPSListener, LeastTLS, Settings
from smsp_provider.itk.services import SERVICES
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.web.edge import Documents, Edge, EdgePolicy, WSGIApplication
from smsp_provider.web.server import Listener, SocketAccess
from smsp_provider.web.spyne_app import make_app
from smsp_provider.web.tls import ServerTLS
from smsp_provider.wiring.provider import Provider, build_provider, service_paths
from smsp_provider.xmlcore.resources import wsdl_file
from smsp_provider.xmlcore.wsdl import render_wsdl, render_xsd

__all__ = ["build_application", "is_writable", "listeners", "tls_files"]

_LEAST_TLS: Final = {
    LeastTLS.V1_0: TLSVersion.MINIMUM_SUPPORTED,
    LeastTLS.V1_2: TLSVersion.TLSv1_2,
    LeastTLS.V1_3: TLSVersion.TLSv1_3,
}


def build_application(settings: Settings, observer: Observer) -> WSGIApplication:
    """The application of one worker process, with connections, caches and an audit session of its own.

    Raises:
        OSError, ValueError, SchemaPackError: a file that the settings name is missing or unusable.
    """
    provider = build_provider(settings, observer=observer)
    edge = Edge(
        provider.pipeline,
        _documents(settings, provider),
        observer,
        lambda: is_writable(provider.audit) and provider.knows_clients() and provider.throttle.takes_requests(),
        EdgePolicy(service_paths(settings), settings.limits.max_body_bytes, settings.server.public_url),
        provider.throttle.is_draining,
    )
    return make_app(edge)


def listeners(settings: Settings) -> dict[str, Listener]:
    """The listeners of the settings by name: ``https``, ``proxy`` and ``http``, as far as they are set."""
    server = settings.server
    size = (server.workers, server.threads, server.graceful_stop_seconds, server.pin_workers)
    found: dict[str, Listener] = {}
    if server.https is not None:
        found["https"] = Listener(server.https.bind, tls_files(server.https), *size)
    if server.proxy is not None:
        access = SocketAccess(int(server.proxy.socket_mode, 8), server.proxy.socket_group)
        found["proxy"] = Listener(f"unix:{server.proxy.socket}", None, *size, access)
    if server.http is not None:
        found["http"] = Listener(server.http, None, *size)
    return found


def tls_files(listener: HTTPSListener) -> ServerTLS:
    """The files of a TLS listener, and the oldest TLS that it speaks."""
    return ServerTLS(listener.certificate, listener.key, listener.client_ca, listener.crl, _LEAST_TLS[listener.min_tls])


def _documents(settings: Settings, provider: Provider) -> Documents:
    wsdl, files = wsdl_file().read_bytes(), provider.schemas.files()
    prefix = settings.server.operation_path_prefix
    paths = {service.value: f"{prefix}{service.value}" for service in SERVICES}

    def xsd(name: str, url: str) -> bytes | None:
        return render_xsd(files[name], request_url=url) if name in files else None

    return Documents(lambda url: render_wsdl(wsdl, request_url=url, service_paths=paths), xsd)


def is_writable(audit: ChainedAuditTrail) -> bool:
    """Nothing is answered that is not on record: without the audit trail there is no service."""
    try:
        audit.open()
        return audit.has_room()
    except (AuditUnavailable, StorageUnsafe):
        return False
