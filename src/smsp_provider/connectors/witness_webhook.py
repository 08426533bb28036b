"""A witness behind HTTPS: it is POSTed each root as a line of JSON, and tells the last one it has when it is asked.

The service has to answer ``POST`` with a status from 200 to 299 once it has the root for good, also for one it has
already, and ``GET`` with status 200 and its last line, or with 204 where it has none.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from smsp_provider.audit.chain import SignedRoot
from smsp_provider.audit.witness import WitnessLineInvalid, WitnessUnavailable, read_line, write_line
from smsp_provider.connectors.bearer_token import TokenUnusable, authorisation
from smsp_provider.connectors.http import HTTPAnswer, HTTPTransport, TransportLimits
from smsp_provider.domain.failures import SpineFailure
from smsp_provider.engine.ports import Clock, Deadline

__all__ = ["WitnessWebhook"]

_OK: Final = 200
_NO_CONTENT: Final = 204
_MULTIPLE_CHOICES: Final = 300
_LIMITS: Final = TransportLimits(max_in_flight=1, connect_seconds=5.0, max_answer_bytes=4_000_000)


class WitnessWebhook:
    """One address, with a bearer token from a file where the service wants one; each call takes ``seconds`` at most.

    Raises:
        ValueError: the URL is not https (http is for loopback hosts only).
    """

    def __init__(
        self, url: str, clock: Clock, context: ssl.SSLContext | None, token: Path | None = None, seconds: float = 5.0
    ) -> None:
        self._transport: Final = HTTPTransport(url, clock, context, _LIMITS)
        self._clock: Final = clock
        self._token: Final = token
        self._seconds: Final = seconds
        # (Without its query: that may hold a secret.)
        self.name: Final = urlsplit(url)._replace(query="").geturl()

    def last(self) -> SignedRoot | None:
        """See :meth:`smsp_provider.audit.witness.Witness.last`."""
        answer = self._call("GET", None, self._deadline())
        if answer.status == _NO_CONTENT:
            return None
        if answer.status != _OK:
            raise WitnessUnavailable(f"HTTP status {answer.status}")
        try:
            return read_line(answer.body)
        except WitnessLineInvalid:
            raise WitnessUnavailable("its answer is no root") from None

    def append(self, roots: Sequence[SignedRoot]) -> None:
        """See :meth:`smsp_provider.audit.witness.Witness.append`."""
        # (One time for all: whoever hands them over has other things to do.)
        deadline = self._deadline()
        for root in roots:
            status = self._call("POST", write_line(root), deadline).status
            if not _OK <= status < _MULTIPLE_CHOICES:
                raise WitnessUnavailable(f"HTTP status {status}")

    def _deadline(self) -> Deadline:
        return Deadline(self._clock.monotonic() + self._seconds)

    def _call(self, method: str, body: bytes | None, deadline: Deadline) -> HTTPAnswer:
        try:
            headers = {"Content-Type": "application/json", "Accept": "application/json", **authorisation(self._token)}
        except TokenUnusable as unusable:
            raise WitnessUnavailable(str(unusable)) from None
        try:
            return self._transport.call(method, self._transport.target, headers, body, deadline)
        except SpineFailure as failure:
            raise WitnessUnavailable(failure.reason) from None
