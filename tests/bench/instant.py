"""A Spine that answers at once: the real connector over a transport that fills the ids into a prepared answer.

What it does itself is no work of a provider, and the floor does without it: it takes as little as can be.
"""

import re
from typing import Final

from smsp_provider.connectors.http import HTTPAnswer, SpineTransport
from smsp_provider.engine.ports import Deadline
from smsp_provider.engine.system import SystemClock

_BEFORE_WSA_ID: Final = b"MessageID>uuid:"
_BEFORE_HL7_ID: Final = b'<id root="'
_ID_BYTES: Final = 36
URL: Final = "http://127.0.0.1/sync-service"
WSA_ID: Final = b"11111111-0000-4000-8000-000000000001"
HL7_ID: Final = b"11111111-0000-4000-8000-000000000002"


class InstantTransport(SpineTransport):
    """Connects to nothing; ``answer`` carries the two ids above."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(URL, SystemClock())
        self._pieces: Final = re.split(b"(" + WSA_ID + b"|" + HL7_ID + b")", answer)

    def post(self, body: bytes, headers: dict[str, str], deadline: Deadline) -> HTTPAnswer:
        """The prepared answer with the ids of this question."""
        del headers, deadline
        wsa_at = body.index(_BEFORE_WSA_ID) + len(_BEFORE_WSA_ID)
        hl7_at = body.index(_BEFORE_HL7_ID, wsa_at) + len(_BEFORE_HL7_ID)
        ids = {WSA_ID: body[wsa_at : wsa_at + _ID_BYTES], HL7_ID: body[hl7_at : hl7_at + _ID_BYTES]}
        return HTTPAnswer(200, b"".join([ids.get(piece, piece) for piece in self._pieces]))
