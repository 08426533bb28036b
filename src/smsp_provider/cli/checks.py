"""What must hold before a provider starts: every file that the settings name is there, readable and usable.

`config check` and `serve` ask the same questions, so that what passes the one starts with the other.
"""

import grp
import os
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from smsp_provider.certificates.reading import read_certificates, reason_of
from smsp_provider.certificates.revocation import check_lists, read_lists
from smsp_provider.cli.exit_codes import UnusableConfiguration
from smsp_provider.cli.files import refuse_irregular
from smsp_provider.config.settings import Environment, HTTPSListener, Settings, Upstream
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_keys import AuditKeysUnusable, key_ring_from_environment, read_key_ring
from smsp_provider.storage.audit_signing_key import SigningKeyUnusable
from smsp_provider.web.application import listeners
from smsp_provider.wiring.alerts import build_alert_sinks
from smsp_provider.wiring.provider import build_policy
from smsp_provider.wiring.roots import build_signing_keys, build_witnesses
from smsp_provider.wiring.upstream import fhir_context, signing_keys
from smsp_provider.xmlcore.schemas import SchemaPackError, Schemas

__all__ = ["check_files"]


def check_files(settings: Settings) -> None:
    """Load everything once, as a start would.

    Raises:
        UnusableConfiguration: something cannot be used; the text names each such setting, all of them at once.
    """
    problems = [text for name, load in _loads(settings) if (text := _problem(name, load)) is not None]
    if len(problems) == 1:
        raise UnusableConfiguration(problems[0])
    if problems:
        raise UnusableConfiguration("\n  ".join([f"{len(problems)} settings cannot be used", *problems]))


def _loads(settings: Settings) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is loaded, by the settings that name it."""
    server, spine = settings.server, settings.spine
    yield "server.https.bind, server.http", lambda: listeners(settings)
    if server.https is not None:
        yield from _tls_loads("server.https", server.https, _key_pair)
    if server.proxy is not None:
        yield from _tls_loads("server.proxy", server.proxy, _key_of_nginx)
        proxy = server.proxy
        yield "server.proxy.socket", lambda: _place_for_socket(proxy.socket)
        yield "server.proxy.socket_group", lambda: _known_group(proxy.socket_group)
    if spine.certificate is not None and spine.key is not None and spine.ca is not None:
        ca, pair = spine.ca, (spine.certificate, spine.key)
        yield "spine.ca", lambda: _authorities(ca)
        yield "spine.certificate, spine.key", lambda: _key_pair(*pair)
    if settings.upstream.uses(Upstream.PDS_FHIR):
        yield "pds_fhir.ca", lambda: fhir_context(settings.pds_fhir)
        yield "pds_fhir.key, pds_fhir.other_key", lambda: signing_keys(settings.pds_fhir)
    yield "alerts.webhook, alerts.webhook_ca", lambda: build_alert_sinks(settings.alerts, SystemClock())
    yield "audit.database", lambda: refuse_irregular(settings.audit.database)
    yield "audit.keys, audit.keys_variable", lambda: _audit_keys(settings)
    yield "audit.signing_key", lambda: _audit_signing_key(settings)
    yield "audit.witness_url, audit.witness_ca", lambda: build_witnesses(settings, SystemClock())
    yield "schemas.directory", lambda: _schemas(settings.schemas.directory)
    if settings.vocabulary is not None:
        vocabulary = settings.vocabulary
        yield "vocabulary", lambda: refuse_irregular(vocabulary)
    yield "vocabulary, service.accepted_profiles", lambda: _policy(settings)


def _tls_loads(
    section: str, listener: HTTPSListener, key_pair: Callable[[Path, Path], object]
) -> Iterator[tuple[str, Callable[[], object]]]:
    yield f"{section}.certificate, {section}.key", lambda: key_pair(listener.certificate, listener.key)
    yield f"{section}.client_ca", lambda: _authorities(listener.client_ca)
    if listener.crl is not None:
        lists, authorities = listener.crl, listener.client_ca
        yield f"{section}.crl", lambda: _revocation_lists(lists, authorities)


def _problem(name: str, load: Callable[[], object]) -> str | None:
    try:
        load()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{name}: {place + ': ' if place else ''}{first['msg']}"
    except RecursionError:
        return f"{name}: a file is nested too deeply"
    except SchemaPackError as error:
        return f"{name}: {error}"
    except (OSError, ValueError) as error:
        return f"{name}: {reason_of(error)}"
    return None


def _key_pair(certificate: Path, key: Path) -> None:
    _readable(certificate)
    _readable(key)
    # Without a password callback OpenSSL would ask on the terminal, and a service would hang at its start.
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)


def _no_password() -> str:
    raise ValueError("the private key is encrypted, which is not supported")


def _key_of_nginx(certificate: Path, key: Path) -> None:
    """Root reads the key for nginx: where this user may not, there is nothing to compare."""
    _readable(certificate)
    read_certificates(certificate)
    if os.access(key, os.R_OK) or not key.exists():
        _key_pair(certificate, key)


def _authorities(file: Path) -> None:
    _readable(file)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)


def _revocation_lists(lists: Path, authorities: Path) -> None:
    """A list that is missing or past its end would let nobody in."""
    _readable(lists)
    check_lists(read_lists(lists), read_certificates(authorities), datetime.now(UTC))


def _place_for_socket(socket: Path) -> None:
    if not os.access(socket.parent, os.W_OK | os.X_OK):
        raise ValueError(f"{socket.parent}: no directory that this user can make a socket in")
    if socket.exists() and not socket.is_socket():
        raise ValueError(f"{socket}: something else is there")


def _known_group(name: str) -> None:
    if not name:
        return
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        raise ValueError("there is no such group") from None
    if os.geteuid() != 0 and group not in {os.getegid(), *os.getgroups()}:
        raise ValueError("this user does not belong to it, and cannot give it the socket")


def _policy(settings: Settings) -> None:
    file = settings.vocabulary
    # What is no file was told above, and must not be opened.
    if file is None or file.is_file() or not file.exists():
        build_policy(settings)


def _audit_keys(settings: Settings) -> None:
    """Outside live the first start makes them, with the trail."""
    audit = settings.audit
    try:
        if audit.keys_variable is not None:
            key_ring_from_environment(audit.keys_variable)
            return
        file = audit.keys_file()
        refuse_irregular(file)
        if settings.environment is Environment.LIVE or (audit.keys is not None and file.exists()):
            read_key_ring(file)
    except AuditKeysUnusable as error:
        raise ValueError(f"{error} (`smsp audit keys init` makes a first key)") from None


def _audit_signing_key(settings: Settings) -> None:
    """Outside live the first start makes it."""
    keys = build_signing_keys(settings)
    try:
        refuse_irregular(keys.file)
        named = settings.audit.signing_key is not None
        if settings.environment is Environment.LIVE or (named and keys.file.exists()):
            keys.current()
    except SigningKeyUnusable as error:
        raise ValueError(str(error)) from None


def _schemas(directory: Path | None) -> None:
    for file in () if directory is None else directory.rglob("*.xsd"):
        refuse_irregular(file)
    Schemas(directory)


def _readable(file: Path) -> None:
    """OpenSSL does not say which of two files is missing."""
    refuse_irregular(file)
    with file.open("rb"):
        pass
