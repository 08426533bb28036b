"""Sends a request as bytes and keeps the answer as bytes: kept connections, TLS with a client certificate, a proxy."""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError

__all__ = ["Answer", "Exchange", "Target", "Transport", "UnusableTarget"]

_REDACTED: Final = "Authorization"


class UnusableTarget(ValueError):
    """The address, a certificate or the proxy cannot be used."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send to, and how: PEM files, ``headers`` added to every request, the proxy's URL."""

    url: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    proxy: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 60.0

    @property
    def over_tls(self) -> bool:
        """Whether the address is one of HTTPS."""
        return urlsplit(self.url).scheme == "https"


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """An HTTP answer: status, headers as they came, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """A header's value, whatever its case; None where it is absent."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True, repr=False)
class Exchange:
    """One request and what came of it; ``answer`` is None where nothing usable came, ``problem`` then says why."""

    request_line: str
    request_headers: tuple[tuple[str, str], ...]
    request: bytes
    answer: Answer | None
    problem: str
    seconds: float


class Transport:
    """Two pools: one shows the client certificate, one (for the cases about it) shows none.

    Raises:
        UnusableTarget: the address is no HTTP URL, or a PEM file cannot be used.
    """

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnusableTarget(f"{target.url} is not an http or https address")
        self.target: Final = target
        self._pools: Final = {shown: _pool(target, show=shown) for shown in (True, False)}

    def close(self) -> None:
        """Close the kept connections."""
        for pool in self._pools.values():
            pool.clear()

    def send(
        self,
        body: bytes,
        headers: Mapping[str, str],
        *,
        method: str = "POST",
        path: str = "",
        query: str = "",
        certificate: bool = True,
    ) -> Exchange:
        """Send one request; ``path`` replaces the address's own. No redirect is followed."""
        parts = urlsplit(self.target.url)
        url = urlunsplit((parts.scheme, parts.netloc, path or parts.path or "/", query or parts.query, ""))
        sent = {**self.target.headers, **headers}
        line = f"{method} {urlsplit(url).path}{f'?{query}' if query else ''} HTTP/1.1"
        # What goes over the line is told by the report, but not a secret of the tester's.
        told = tuple((name, "..." if name.title() == _REDACTED else value) for name, value in sent.items())
        started = time.monotonic()
        answer, problem = self._attempt(method, url, body, sent, certificate=certificate)
        if problem.startswith("ProtocolError"):
            # A kept connection that the server has closed meanwhile says nothing about the server: once more, afresh.
            self._pools[certificate].clear()
            answer, problem = self._attempt(method, url, body, sent, certificate=certificate)
        return Exchange(line, told, body, answer, problem, time.monotonic() - started)

    def _attempt(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], *, certificate: bool
    ) -> tuple[Answer | None, str]:
        """The answer, or why there is none."""
        try:
            response = self._pools[certificate].request(
                method,
                url,
                body=body if method not in ("GET", "HEAD") else None,
                headers=urllib3.HTTPHeaderDict(headers),
                timeout=self.target.timeout_seconds,
                retries=False,
                redirect=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            return None, _readable(error)
        return Answer(response.status, tuple(response.headers.items()), response.data), ""


def _pool(target: Target, *, show: bool) -> urllib3.PoolManager:
    context = None
    if target.over_tls:
        context = _context(target, show=show)
    # A name that urllib3 would write by itself is never part of a test.
    if target.proxy:
        return urllib3.ProxyManager(target.proxy, ssl_context=context, maxsize=2)
    return urllib3.PoolManager(ssl_context=context, maxsize=2)


def _context(target: Target, *, show: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=target.ca)
        if show and target.certificate is not None:
            context.load_cert_chain(target.certificate, target.key)
    except (OSError, ssl.SSLError) as error:
        raise UnusableTarget(f"a certificate, key or authority cannot be used: {error}") from None
    return context


def _readable(error: Exception) -> str:
    """Type and reason in one line."""
    reason = getattr(error, "reason", None) or error
    return f"{type(error).__name__}: {reason}".splitlines()[0]
