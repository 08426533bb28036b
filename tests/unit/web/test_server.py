"""What the server refuses before it listens, and how it names the peer."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from smsp_provider.certificates.identity import certificate_of
from smsp_provider.web.peer import peer_of
from smsp_provider.web.server import Listener
from smsp_provider.web.tls import ServerTLS, server_context
from tls_fixtures import TestPKI, make_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPKI:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize(
    "bind", ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "smsp.example:80", ":80", "127.0.0.1.example:80"]
)
def test_plain_http_is_refused_outside_loopback(bind: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Listener(bind)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "127.9.9.9:80", "[::1]:80", "localhost:8080"])
def test_plain_http_may_listen_on_loopback(bind: str) -> None:
    assert Listener(bind).tls is None


@pytest.mark.parametrize("bind", ["127.0.0.1", "localhost:", "localhost:http", ""])
def test_an_address_needs_a_port(bind: str) -> None:
    with pytest.raises(ValueError, match="port"):
        Listener(bind)


def test_with_tls_any_address_may_be_listened_on(pki: TestPKI) -> None:
    files = ServerTLS(pki.server.certificate, pki.server.key, pki.ca)
    assert Listener("0.0.0.0:8443", files).tls is files


@pytest.mark.rule("WS-SEC-01")
def test_a_key_of_another_certificate_is_refused_before_listening(pki: TestPKI) -> None:
    with pytest.raises(ssl.SSLError):
        server_context(ServerTLS(pki.server.certificate, pki.client.key, pki.ca))
    with pytest.raises(OSError, match="No such file"):
        server_context(ServerTLS(pki.server.certificate, pki.server.key, Path("missing")))


@pytest.fixture
def connected(pki: TestPKI) -> Iterator[ssl.SSLSocket]:
    """The server's side of a real mutual TLS connection."""
    context = server_context(ServerTLS(pki.server.certificate, pki.server.key, pki.ca))
    client_context = ssl.create_default_context(cafile=str(pki.ca))
    client_context.load_cert_chain(pki.client.certificate, pki.client.key)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as raw:
        accepted, _ = listener.accept()
        client = client_context.wrap_socket(raw, server_hostname="127.0.0.1", do_handshake_on_connect=False)
        client.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        server = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.do_handshake()
        client.setblocking(True)
        client.do_handshake()
        server.setblocking(True)
        server.do_handshake()
        yield server
        client.close()
        server.close()


@pytest.mark.rule("WS-SEC-07")
def test_the_name_of_the_peer_comes_from_its_verified_certificate(connected: ssl.SSLSocket) -> None:
    peer = peer_of({"REMOTE_ADDR": "192.0.2.1", "gunicorn.socket": connected, "HTTP_X_SSL_CLIENT_CERT": "x"})
    assert (peer.address, peer.over_tls, peer.common_name) == ("192.0.2.1", True, "client")


@pytest.mark.rule("WS-SEC-07")
def test_without_tls_nobody_has_a_name() -> None:
    with socket.socket() as plain:
        peer = peer_of({"gunicorn.socket": plain, "wsgi.url_scheme": "https"})
    assert (peer.address, peer.over_tls, peer.common_name) == ("", False, None)


def test_a_certificate_is_known_by_fingerprint_subject_and_issuer(pki: TestPKI) -> None:
    certificate = x509.load_pem_x509_certificate(pki.client.certificate.read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    found = certificate_of(der)
    assert found is not None
    assert found.common_name == "client"
    assert found.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
    assert (found.subject, found.issuer) == (certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string())
    assert certificate_of(der[:-20]) is None
    assert certificate_of(b"") is None
