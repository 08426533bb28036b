"""What is believed of the headers that nginx sets: one certificate, one address, on a unix socket alone."""

import hashlib
import io
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificate_zoo import Zoo, make_zoo
from edge_endpoint import EventList, ReadingEndpoint
from smsp_provider.domain.faults import ErrorCode, ToolkitFault
from smsp_provider.web.edge import Documents, Edge
from smsp_provider.web.peer import check_certificate, is_secure, peer_of
from smsp_provider.web.proxy import forwarded_address, forwarded_certificate, is_behind_proxy
from smsp_provider.web.tls import BoundedSocket


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return make_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(params=["as accepted", "bounded"])
def unix(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    accepted, theirs = socket.socketpair()
    ours = BoundedSocket.taking_over(accepted) if request.param == "bounded" else accepted
    with ours, theirs:
        yield ours


def headers(zoo: Zoo, name: str = "", address: str = "192.0.2.1") -> dict[str, object]:
    identity = zoo.bad[name] if name else zoo.good
    certificate = quote(identity.certificate.read_text(), safe="")
    return {"HTTP_X_SSL_CLIENT_CERT": certificate, "HTTP_X_REAL_IP": address, "REMOTE_ADDR": ""}


def judge(environ: dict[str, object]) -> None:
    check_certificate(peer_of(environ), environ)


@pytest.mark.rule("WS-SEC-07")
def test_on_a_unix_socket_the_caller_is_who_nginx_says(zoo: Zoo, unix: socket.socket) -> None:
    environ = {**headers(zoo), "gunicorn.socket": unix}
    peer = peer_of(environ)
    assert (peer.address, peer.over_tls, peer.common_name) == ("192.0.2.1", True, "client")
    assert peer.certificate is not None
    assert peer.certificate.der == ssl.PEM_cert_to_DER_cert(zoo.good.certificate.read_text())
    assert is_secure(environ)


@pytest.mark.rule("WS-SEC-07")
def test_on_any_other_connection_the_headers_are_not_looked_at(zoo: Zoo) -> None:
    with socket.socket() as plain, BoundedSocket() as bounded:
        for connection in (plain, bounded, None, "a socket"):
            environ = {**headers(zoo), "gunicorn.socket": connection, "REMOTE_ADDR": "127.0.0.1"}
            assert not is_behind_proxy(connection)
            assert not is_secure(environ)
            peer = peer_of(environ)
            assert (peer.address, peer.over_tls, peer.certificate) == ("127.0.0.1", False, None)


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize(
    "name", ["RSA 1024", "P-224", "signed with SHA-1", "for servers", "for no stated use", "names in bits"]
)
def test_a_certificate_that_nginx_let_pass_is_judged_all_the_same(zoo: Zoo, unix: socket.socket, name: str) -> None:
    for _ in range(2):
        with pytest.raises(ToolkitFault, match="the client certificate is not accepted") as refused:
            judge({**headers(zoo, name), "gunicorn.socket": unix})
        assert refused.value.error_code is ErrorCode.ACCESS_DENIED


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize(("name", "why"), [("expired", "it has expired"), ("not valid yet", "it is not valid yet")])
def test_a_connection_that_outlives_its_certificate_is_refused(
    zoo: Zoo, unix: socket.socket, name: str, why: str
) -> None:
    """nginx and TLS look at the dates when a connection begins."""
    with pytest.raises(ToolkitFault, match=why) as refused:
        judge({**headers(zoo, name), "gunicorn.socket": unix})
    assert refused.value.error_code is ErrorCode.ACCESS_DENIED
    judge({**headers(zoo), "gunicorn.socket": unix})


@pytest.mark.rule("SMSP-AUDIT-004", "WS-SEC-01")
def test_who_is_refused_for_a_certificate_is_known_to_the_audit(zoo: Zoo, unix: socket.socket) -> None:
    endpoint, events = ReadingEndpoint(), EventList()
    edge = Edge(endpoint, Documents(lambda _: b"", lambda _name, _url: None), events, lambda: True)
    environ = {
        **headers(zoo, "RSA 1024"),
        "gunicorn.socket": unix,
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/smsp/pds",
        "CONTENT_TYPE": "text/xml",
        "wsgi.input": io.BytesIO(),
    }
    edge.respond(environ, lambda _status, _headers: None, lambda _: pytest.fail("the engine got it"))
    ((exchange, error),) = endpoint.refused
    assert "its key is too weak" in str(error)
    assert (exchange.peer.address, exchange.peer.common_name) == ("192.0.2.1", "client")
    assert exchange.peer.certificate is not None
    der = ssl.PEM_cert_to_DER_cert(zoo.bad["RSA 1024"].certificate.read_text())
    assert exchange.peer.certificate.fingerprint == hashlib.sha256(der).hexdigest()


@pytest.mark.rule("WS-SEC-07")
@given(st.text(max_size=200) | st.text("%0123456789ABCDEF-._~BEGINCRTFAD ", max_size=200))
def test_any_other_text_is_no_certificate(text: str) -> None:
    with pytest.raises(ToolkitFault) as refused:
        forwarded_certificate({"HTTP_X_SSL_CLIENT_CERT": text})
    assert refused.value.error_code is ErrorCode.ACCESS_DENIED
    assert not text or len(text) < 4 or text not in str(refused.value)


@given(st.integers(0, 10_000), st.sampled_from(["", "x", "%00", "%0A", ",", " ", "%2D"]))
def test_a_certificate_with_something_put_into_it_is_refused_or_the_same(zoo: Zoo, at: int, put: str) -> None:
    whole = str(headers(zoo)["HTTP_X_SSL_CLIENT_CERT"])
    at = min(at, len(whole))
    changed = whole[:at] + put + whole[at:]
    original = ssl.PEM_cert_to_DER_cert(zoo.good.certificate.read_text())
    try:
        der = forwarded_certificate({"HTTP_X_SSL_CLIENT_CERT": changed})
    except ToolkitFault:
        assert put
    else:
        assert der == original


@pytest.mark.parametrize(
    ("text", "address"), [("192.0.2.1", "192.0.2.1"), ("2001:DB8::1", "2001:db8::1"), ("::1", "::1")]
)
def test_an_address_has_its_usual_form(text: str, address: str) -> None:
    assert forwarded_address({"HTTP_X_REAL_IP": text}) == address


@pytest.mark.parametrize("text", ["", "unix:", "192.0.2.1,192.0.2.2", "192.0.2.1:80", "localhost", "192.0.2"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ToolkitFault, match="the address of the caller is not known"):
        forwarded_address({"HTTP_X_REAL_IP": text})
