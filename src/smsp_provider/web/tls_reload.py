"""The TLS context of a worker, renewed when a file of it changes, while connections go on with the one they have.

Nobody has to tell a worker: each new connection looks whether certificate, key, authorities or revocation lists are
still the files that were read. What cannot be used is not taken over: the context in force stays, and an alert says so.

A context is renewed after a minute even if nothing has changed. TLS 1.2 resumes a session, without showing a
certificate again, from the memory of the context that it began with: so no session outlives a change of the revocation
lists, nor that minute.

Source: WS-SEC-01, serving.md section 3.
"""

import os
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from smsp_provider.certificates.reading import reason_of
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
        self._generation = Generation()
        self._context = server_context(files, self._generation)
        self._until = time.monotonic() + _LIFE_SECONDS

    def context(self) -> ssl.SSLContext:
        """The context for a new connection. Connections of files that were replaced are of a retired generation."""
        seen = _look_at(self._files.files)
        with self._turn:
            if seen not in (self._seen, self._refused) or time.monotonic() >= self._until:
                self._renew(seen)
            return self._context

    def _renew(self, seen: _Seen) -> None:
        generation = self._generation if seen == self._seen else Generation()
        self._until = time.monotonic() + _LIFE_SECONDS
        try:
            self._context = server_context(self._files, generation)
        except (OSError, ValueError) as error:
            if seen != self._refused:
                self._complain(f"the TLS files cannot be used, those read before stay in force: {reason_of(error)}")
            self._refused = seen
            return
        if generation is not self._generation:
            self._generation.retired = True
        self._generation, self._seen, self._refused = generation, seen, None


def _look_at(files: tuple[Path, ...]) -> _Seen:
    return tuple(_state_of(file) for file in files)


def _state_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - for each connection: this is a third of what Path.stat takes
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
