"""As much of HTTP/1.1 as a Spine endpoint needs, bounded, and fast enough not to be what a benchmark measures."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedReader
from typing import Final

__all__ = ["HTTPProblem", "HTTPRequest", "read_request", "response"]

MAX_HEADER: Final = 32_768
"""Bytes of request line and headers together."""
MAX_BODY: Final = 1_048_576
"""Bytes of a body; a query has about four thousand."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class HTTPProblem(Exception):
    """The request cannot be read; ``status`` is the answer, and the connection is closed after it."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """A whole request; header names in lower case, ``query`` is what follows the question mark."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    query: str = ""


def read_request(stream: BufferedReader, send: Callable[[bytes], None]) -> HTTPRequest | None:
    """The next request on a connection, or None where the client has closed it.

    ``send`` is used for an interim answer to a client that waits for one.

    Raises:
        HTTPProblem: the request is not understood or too large.
        OSError: the connection broke.
    """
    head = _head(stream)
    if head is None:
        return None
    try:
        request_line, *lines = head.decode("latin-1").split("\r\n")
        method, path, version = request_line.split(" ")
    except ValueError:
        raise HTTPProblem(HTTPStatus.BAD_REQUEST) from None
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise HTTPProblem(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    headers = dict(_header(line) for line in lines)
    length = _length(method, headers)
    if headers.get("expect", "").lower() == "100-continue":
        send(_CONTINUE)
    body = stream.read(length)
    if len(body) < length:
        return None
    asked = headers.get("connection", "").lower()
    keep_alive = "close" not in asked and (version == "HTTP/1.1" or "keep-alive" in asked)
    path, _, query = path.partition("?")
    return HTTPRequest(method, path, headers, body, keep_alive, query)


def _head(stream: BufferedReader) -> bytes | None:
    lines: list[bytes] = []
    size = 0
    while True:
        line = stream.readline(MAX_HEADER)
        size += len(line)
        if not line.endswith(b"\n"):
            if size >= MAX_HEADER:
                raise HTTPProblem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return None
        if size > MAX_HEADER:
            raise HTTPProblem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        line = line.rstrip(b"\r\n")
        if line:
            lines.append(line)
        elif lines:
            return b"\r\n".join(lines)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise HTTPProblem(HTTPStatus.BAD_REQUEST)
    return name.lower(), value.strip()


def _length(method: str, headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise HTTPProblem(HTTPStatus.NOT_IMPLEMENTED)
    length = headers.get("content-length")
    if length is None:
        if method == "POST":
            raise HTTPProblem(HTTPStatus.LENGTH_REQUIRED)
        return 0
    if not (length.isascii() and length.isdigit()):
        raise HTTPProblem(HTTPStatus.BAD_REQUEST)
    if int(length) > MAX_BODY:
        raise HTTPProblem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(length)


def response(status: int, content_type: str, body: bytes, *, keep_alive: bool, extra: str = "") -> bytes:
    """A whole HTTP answer, to be written at once; ``extra`` holds further header lines, each ended."""
    phrase = _PHRASES.get(status, "Unknown")
    connection = "keep-alive" if keep_alive else "close"
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nServer: embedded-spine\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: {connection}\r\n{extra}\r\n"
    )
    return head.encode("latin-1") + body


_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
