"""What nginx says of a caller: address and verified certificate, in headers that are believed on the unix socket alone.

A caller can send such headers itself, so on every other listener they are not looked at. On the socket they come from
nginx, which sets each of them once; anything else means that something other than our nginx is in front.

Source: WS-SEC-07, serving.md section 3.
"""

import ipaddress
import re
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smsp_provider.certificates.reading import UNREADABLE
from smsp_provider.domain.faults import access_denied
from smsp_provider.web.tls import BoundedSocket

__all__ = ["ADDRESS_HEADER", "CERTIFICATE_HEADER", "forwarded_address", "forwarded_certificate", "is_behind_proxy"]

CERTIFICATE_HEADER: Final = "X-SSL-Client-Cert"
"""The verified certificate of the caller as PEM, percent-encoded (nginx: ``$ssl_client_escaped_cert``)."""

ADDRESS_HEADER: Final = "X-Real-IP"
"""The address of the caller (nginx: ``$remote_addr``)."""

_ENCODED: Final = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+")
_ONE_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,64}\n)+-----END CERTIFICATE-----\n?"
)


def is_behind_proxy(connection: object) -> bool:
    """Whether a connection came in at the unix socket: asked of the connection itself, not of a setting or header."""
    if isinstance(connection, BoundedSocket):
        return connection.is_unix
    return isinstance(connection, socket.socket) and connection.family == socket.AF_UNIX


def forwarded_certificate(environ: Mapping[str, object]) -> bytes:
    """The DER of the certificate that nginx verified.

    Raises:
        ToolkitFault: 3000, there is none, more than one (they come joined by a comma), or something else.
    """
    value = str(environ.get(_variable(CERTIFICATE_HEADER)) or "")
    if not value:
        raise access_denied("a client certificate is required", rule="WS-SEC-01")
    # A form that nginx does not write: two headers, a list, or what somebody else put there.
    unusable = access_denied(
        "the client certificate cannot be read", rule="WS-SEC-01", reason=f"{CERTIFICATE_HEADER} is not one certificate"
    )
    if _ENCODED.fullmatch(value) is None:
        raise unusable
    pem = unquote_to_bytes(value)
    if _ONE_CERTIFICATE.fullmatch(pem) is None:
        raise unusable
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except UNREADABLE:
        raise unusable from None


def forwarded_address(environ: Mapping[str, object]) -> str:
    """The caller's address in its usual form.

    Raises:
        ToolkitFault: 3000, there is not exactly one.
    """
    try:
        return str(ipaddress.ip_address(str(environ.get(_variable(ADDRESS_HEADER)) or "")))
    except ValueError:
        raise access_denied(
            "the address of the caller is not known", rule="WS-SEC-07", reason=f"{ADDRESS_HEADER} is not one address"
        ) from None


def _variable(header: str) -> str:
    """The name of a header in a WSGI environment."""
    return "HTTP_" + header.upper().replace("-", "_")
