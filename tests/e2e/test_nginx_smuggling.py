"""What nginx and the provider could read differently: a request that hides another, or something with two spellings."""

import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from edge_process import PATH
from nginx_server import (
    BODY,
    Front,
    all_that_comes,
    fault,
    request_text,
    running_front,
    statuses,
)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("front"), threads=4) as running:
        yield running


CHUNKED = "Transfer-Encoding: chunked\r\n"
HIDDEN = b"POST /hidden HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
SMUGGLED = {
    "length and coding": ("Content-Length: 6\r\n" + CHUNKED, b"0\r\n\r\n" + HIDDEN),
    "coding and length": (CHUNKED + "Content-Length: 3\r\n", b"8\r\nSMUGGLED\r\n0\r\n\r\n"),
    "two lengths": ("Content-Length: 0\r\nContent-Length: 50\r\n", HIDDEN),
    "two equal lengths": ("Content-Length: 0\r\nContent-Length: 0\r\n", HIDDEN),
    "a list of lengths": ("Content-Length: 0, 50\r\n", HIDDEN),
    "a signed length": ("Content-Length: +0\r\n", HIDDEN),
    "a folded coding": ("Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "a coding with space before the colon": ("Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "a coding with a tab": ("Transfer-Encoding: \tchunked\x0b\r\n", b"0\r\n\r\n" + HIDDEN),
    "stacked codings": ("Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "two codings": (CHUNKED + "Transfer-Encoding: identity\r\n", b"0\r\n\r\n" + HIDDEN),
    "a coding in HTTP/1.0": (CHUNKED, b"0\r\n\r\n" + HIDDEN),
    "an underscore length": ("Content_Length: 50\r\nContent-Length: 0\r\n", HIDDEN),
    "a bare line feed": ("X: a\nContent-Length: 50\r\nContent-Length: 0\r\n", HIDDEN),
    "no host": ("", HIDDEN),
}
"""Header lines, and what follows them: read one way it is a body, read another way a second request."""


def attack(name: str) -> bytes:
    lines, rest = SMUGGLED[name]
    version = "1.0" if "1.0" in name else "1.1"
    host = "" if name == "no host" else "Host: a\r\n"
    return f"POST {PATH} HTTP/{version}\r\n{host}Content-Type: text/xml\r\n{lines}\r\n".encode() + rest


ANSWERED = {"an underscore length": [500, 404]}
"""Such a header counts for nobody: an empty body, and a second request that the caller could have sent by itself."""


@pytest.mark.rule("WS-SEC-07")
@pytest.mark.parametrize("name", SMUGGLED)
def test_nothing_is_smuggled_past_nginx(front: Front, name: str) -> None:
    found = statuses(front.raw(attack(name), len(ANSWERED.get(name, [0]))))
    assert found in ([ANSWERED[name]] if name in ANSWERED else ([400], [501]))
    # The next caller gets its own answer.
    assert front.post(front.zoo.good)[0] == 200


@pytest.mark.rule("WS-SEC-07")
@pytest.mark.parametrize("name", SMUGGLED)
def test_nothing_is_smuggled_at_the_socket_itself(front: Front, name: str) -> None:
    certificate = quote(front.zoo.good.certificate.read_text(), safe="")
    ours = f"X-SSL-Client-Cert: {certificate}\r\nX-Real-IP: 192.0.2.1\r\nContent-Type".encode()
    sent = attack(name).replace(b"Content-Type", ours, 1)
    found = statuses(at_the_socket(front, sent, len(ANSWERED.get(name, [0]))))
    assert found in ([ANSWERED[name]] if name in ANSWERED else ([400], [501]))


def at_the_socket(front: Front, sent: bytes, answers: int = 1) -> bytes:
    """What the provider itself answers, with nothing in front."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(front.provider.socket))
        connection.sendall(sent)
        return all_that_comes(connection, answers)


TARGETS = {
    "an encoded slash": "/smsp%2fpds",
    "an encoded letter": "/smsp/%70ds",
    "an encoded NUL": "/smsp/pds%00",
    "an absolute target": "http://a/smsp/pds",
    "an absolute target elsewhere": "https://192.0.2.1/smsp/pds",
    "a fragment": "/smsp/pds#x",
    "a star": "*",
    "an authority": "a:443",
    "a path going up": "/x/../smsp/pds",
    "a double slash": "//smsp/pds",
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_service_has_one_spelling(front: Front, name: str) -> None:
    sent = request_text(BODY, target=TARGETS[name])
    through = statuses(front.raw(sent))
    directly = statuses(at_the_socket(front, sent))
    assert directly in ([400], [404]), name
    # nginx takes an absolute target apart, and the provider gets what every other caller sends.
    assert through in ([200], [400]) if "absolute" in name else through in ([400], [404])


CERTIFICATES = {
    "none": [],
    "empty": [""],
    "the same twice": ["{good}", "{good}"],
    "two": ["{good}", "{bad}"],
    "two in one": ["{good}{bad}"],
    "a list": ["{good},{bad}"],
    "not escaped": ["-----BEGIN CERTIFICATE----- MIIB -----END CERTIFICATE-----"],
    "half": ["{half}"],
    "a name": ["CN=client"],
    "with something before it": ["x%0A{good}"],
    "with something behind it": ["{good}x"],
    "of a weak key": ["{weak}"],
}


@pytest.mark.rule("WS-SEC-07")
@pytest.mark.parametrize("name", CERTIFICATES)
def test_at_the_socket_one_certificate_in_nginx_s_own_form_is_believed(front: Front, name: str) -> None:
    zoo = front.zoo
    escaped = {
        "good": quote(zoo.good.certificate.read_text(), safe=""),
        "bad": quote(zoo.elsewhere.certificate.read_text(), safe=""),
        "weak": quote(zoo.bad["RSA 1024"].certificate.read_text(), safe=""),
    }
    escaped["half"] = escaped["good"][: len(escaped["good"]) // 2]
    lines = "".join(f"X-SSL-Client-Cert: {value.format(**escaped)}\r\n" for value in CERTIFICATES[name])
    answer = at_the_socket(front, request_text(BODY, f"X-Real-IP: 192.0.2.1\r\n{lines}"))
    status = statuses(answer)[0]
    if name in ("the same twice", "two"):
        assert status == 400
    else:
        assert (status, fault(answer.partition(b"\r\n\r\n")[2])) == (500, ("soap:Client", "3000"))
    assert b'"cn"' not in answer


@pytest.mark.rule("WS-SEC-07")
@pytest.mark.parametrize("lines", ["", "X-Real-IP: a\r\n", "X-Real-IP: 192.0.2.1, 192.0.2.2\r\n"])
def test_at_the_socket_one_address_is_believed(front: Front, lines: str) -> None:
    certificate = quote(front.zoo.good.certificate.read_text(), safe="")
    answer = at_the_socket(front, request_text(BODY, f"X-SSL-Client-Cert: {certificate}\r\n{lines}"))
    assert statuses(answer) == [500]
    assert fault(answer.partition(b"\r\n\r\n")[2]) == ("soap:Client", "3000")
