"""The TLS context of a worker, renewed when a file of it changes, while connections go on with the one they have.

Nobody has to tell a worker: each new connection looks whether certificate, key, authorities or revocation lists are
still the files that were read. What cannot be used is not taken over: the context in force stays, and an alert says so.

A context is renewed after a minute even if nothing has changed. TLS 1.2 resumes a session, without showing a
certificate again, from the memory of the context that it began with: so no session outlives a change of the revocation
lists, nor that minute.

A connection of before looks at the files with each request, is answered once more and then closed; where a new list has
its certificate it is refused instead.

Source: WS-SEC-01, serving.md section 3.
"""

import os
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509

from smsp_provider.certificates.reading import reason_of
from smsp_provider.certificates.revocation import is_revoked, read_lists
from smsp_provider.web.tls import Generation, ServerTLS, server_context

__all__ = ["ReloadedTLS"]

_LIFE_SECONDS: Final = 60.0
"""How long a context, and with it a TLS 1.2 session, lives at most."""

_Seen = tuple[tuple[int, int, int] | None, ...]


class ReloadedTLS:
    """The contexts of one listener in one process.

    ``complain`` is told, once for each change, why the files cannot be used any more; the text names no content.

    Raises:
        OSError, ssl.SSLError, ValueError: the files cannot be used from the start (see :func:`server_context`).
    """

    def __init__(self, files: ServerTLS, complain: Callable[[str], object]) -> None:
        self._files: Final = files
        self._complain: Final = complain
        self._turn: Final = threading.Lock()
        self._seen = _look_at(files.files)
        self._refused: _Seen | None = None
        self._generation = self._next_generation()
        self._context = server_context(files, self._generation)
        self._lists = _lists_of(files)
        self._until = time.monotonic() + _LIFE_SECONDS

    def context(self) -> ssl.SSLContext:
        """The context for a new connection. Connections of files that were replaced are of a retired generation."""
        seen = _look_at(self._files.files)
        with self._turn:
            if seen not in (self._seen, self._refused) or time.monotonic() >= self._until:
                self._renew(seen)
            return self._context

    def _renew(self, seen: _Seen) -> None:
        generation = self._generation if seen == self._seen else self._next_generation()
        self._until = time.monotonic() + _LIFE_SECONDS
        try:
            context, lists = server_context(self._files, generation), _lists_of(self._files)
        except (OSError, ValueError) as error:
            if seen != self._refused:
                self._complain(f"the TLS files cannot be used, those read before stay in force: {reason_of(error)}")
            self._refused = seen
            return
        self._context, self._lists = context, lists
        if generation is not self._generation:
            self._generation.retired = True
        self._generation, self._seen, self._refused = generation, seen, None

    def _next_generation(self) -> Generation:
        return Generation(look=self.context, revokes=self._revokes)

    def _revokes(self, der: bytes) -> bool:
        return is_revoked(x509.load_der_x509_certificate(der), self._lists)


def _lists_of(files: ServerTLS) -> list[x509.CertificateRevocationList]:
    return [] if files.crl is None else read_lists(files.crl)


def _look_at(files: tuple[Path, ...]) -> _Seen:
    return tuple(_state_of(file) for file in files)


def _state_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - for each connection: this is a third of what Path.stat takes
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
