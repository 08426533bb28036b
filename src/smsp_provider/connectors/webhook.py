"""POSTs JSON documents to a webhook: one attempt within a bounded time, and whether another one makes sense.

Nothing is kept or repeated here: who sends decides about that.
"""

import ssl
from pathlib import Path
from typing import Final

from smsp_provider.connectors.bearer_token import TokenUnusable, authorisation
from smsp_provider.connectors.http import HTTPTransport, TransportLimits
from smsp_provider.domain.failures import SpineFailure
from smsp_provider.engine.ports import Clock, Deadline

__all__ = ["Webhook", "WebhookFailed"]

_LEAST_OF_SUCCESS: Final = 200
_LEAST_OF_REDIRECT: Final = 300
_LEAST_OF_SERVER_ERROR: Final = 500
_LATER: Final = frozenset({408, 425, 429})
"""Statuses below 500 that say nothing against the document: a timeout, too early, too many."""
_LIMITS: Final = TransportLimits(max_in_flight=1, connect_seconds=5.0, max_answer_bytes=65_536)


class WebhookFailed(Exception):
    """A document was not taken; the text is fixed words or a status. ``again``: it may be taken later."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.reason: Final = reason
        self.again: Final = again


class Webhook:
    """One address. The connection is made at the first document in each process; one thread at a time may send.

    ``context`` is needed for https; ``token`` is a file with a bearer token, read for each document, so that another
    one is in force at once.

    Raises:
        ValueError: the URL is not https (http is for loopback hosts only).
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        context: ssl.SSLContext | None = None,
        token: Path | None = None,
    ) -> None:
        self._transport: Final = HTTPTransport(url, clock, context, _LIMITS)
        self._clock: Final = clock
        self._token: Final = token

    def post(self, document: bytes, seconds: float) -> None:
        """Send a document, within so many seconds; it was taken when this returns (a status from 200 to 299).

        Raises:
            WebhookFailed: it was not, or that is not known.
        """
        try:
            headers = {"Content-Type": "application/json", "User-Agent": "smsp-provider", **authorisation(self._token)}
        except TokenUnusable as unusable:
            raise WebhookFailed(str(unusable), again=True) from None
        deadline = Deadline(self._clock.monotonic() + seconds)
        try:
            status = self._transport.call("POST", self._transport.target, headers, document, deadline).status
        except SpineFailure as failure:
            raise WebhookFailed(failure.reason, again=True) from None
        if not _LEAST_OF_SUCCESS <= status < _LEAST_OF_REDIRECT:
            raise WebhookFailed(f"HTTP status {status}", again=status >= _LEAST_OF_SERVER_ERROR or status in _LATER)
