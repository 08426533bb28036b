"""What must hold before a provider starts: every file that the settings name is there, readable and usable.

`config check` and `serve` ask the same questions, so that what passes the one starts with the other.
"""

import ssl
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from pydantic import ValidationError

from smsp_provider.cli.exit_codes import UnusableConfiguration
from smsp_provider.cli.files import refuse_irregular
from smsp_provider.config.settings import Settings
from smsp_provider.connectors.http import ClientTLS, client_context
from smsp_provider.web.application import listeners, tls_files
from smsp_provider.web.tls import server_context
from smsp_provider.wiring import build_policy
from smsp_provider.xmlcore.schemas import SchemaPackError, Schemas

__all__ = ["check_files", "expiring_certificates"]

_SOON: Final = timedelta(days=30)


def check_files(settings: Settings) -> None:
    """Load everything once, as a start would.

    Raises:
        UnusableConfiguration: the first thing that cannot be used; the text names the setting.
    """
    https, spine = settings.server.https, settings.spine
    _usable("server.https.bind, server.http", lambda: listeners(settings))
    if https is not None:
        _usable("server.https.certificate, server.https.key", lambda: _key_pair(https.certificate, https.key))
        _usable("server.https.client_ca", lambda: _authorities(https.client_ca))
        if https.crl is not None:
            crl = https.crl
            _usable("server.https.crl", lambda: _readable(crl))
            # The rest has been loaded above: what is wrong now is wrong with the lists.
            _usable("server.https.crl", lambda: server_context(tls_files(https)))
    if spine.certificate is not None and spine.key is not None and spine.ca is not None:
        ca, pair = spine.ca, (spine.certificate, spine.key)
        _usable("spine.ca", lambda: _authorities(ca))
        _usable("spine.certificate, spine.key", lambda: _key_pair(*pair))
        _usable("spine", lambda: client_context(ClientTLS(ca, *pair)))
    _usable("audit.database", lambda: refuse_irregular(settings.audit.database))
    _usable("schemas.directory", lambda: _schemas(settings.schemas.directory))
    if settings.vocabulary is not None:
        vocabulary = settings.vocabulary
        _usable("vocabulary", lambda: refuse_irregular(vocabulary))
    _usable("vocabulary, service.accepted_profiles", lambda: build_policy(settings))


def _usable(name: str, load: Callable[[], object]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        reason = (error.reason or "no PEM certificate or key in it").lower().replace("_", " ")
        raise UnusableConfiguration(f"{name}: {reason}") from None
    except OSError as error:
        raise UnusableConfiguration(f"{name}: {error.filename or 'the file'}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UnusableConfiguration(f"{name}: {place + ': ' if place else ''}{first['msg']}") from None
    except RecursionError:
        raise UnusableConfiguration(f"{name}: a file is nested too deeply") from None
    except (SchemaPackError, tomllib.TOMLDecodeError, ValueError) as error:
        raise UnusableConfiguration(f"{name}: {error}") from None


def _key_pair(certificate: Path, key: Path) -> None:
    _readable(certificate)
    _readable(key)
    # Without a password callback OpenSSL would ask on the terminal, and a service would hang at its start.
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)


def _no_password() -> str:
    raise ValueError("the private key is encrypted, which is not supported")


def _authorities(file: Path) -> None:
    _readable(file)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)


def _schemas(directory: Path | None) -> None:
    for file in () if directory is None else directory.rglob("*.xsd"):
        refuse_irregular(file)
    Schemas(directory)


def _readable(file: Path) -> None:
    """OpenSSL does not say which of two files is missing."""
    refuse_irregular(file)
    with file.open("rb"):
        pass


def expiring_certificates(settings: Settings) -> Iterator[str]:
    """A warning for every certificate that has run out or will within 30 days; call after :func:`check_files`."""
    https, spine = settings.server.https, settings.spine
    files = {
        "server.https.certificate": None if https is None else https.certificate,
        "spine.certificate": spine.certificate,
    }
    now = datetime.now(UTC)
    for name, file in files.items():
        if file is None:
            continue
        end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
        if end < now + _SOON:
            yield f"{name}: valid until {end:%d.%m.%Y %H:%M} UTC" + (" (expired)" if end < now else "")
