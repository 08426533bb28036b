"""A Spine that answers at once: the real connector over a transport that fills the ids into a prepared answer."""

import re
from typing import Final

from smsp_provider.connectors.http import HTTPAnswer, SpineTransport
from smsp_provider.engine.ports import Deadline
from smsp_provider.engine.system import SystemClock

_IDS: Final = re.compile(rb"uuid:([0-9A-F-]{36}).*?<id root=\"([0-9A-F-]{36})\"", re.DOTALL)
URL: Final = "http://127.0.0.1/sync-service"
WSA_ID: Final = b"11111111-0000-4000-8000-000000000001"
HL7_ID: Final = b"11111111-0000-4000-8000-000000000002"


class InstantTransport(SpineTransport):
    """Connects to nothing; ``answer`` carries the two ids above."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(URL, SystemClock())
        self._prepared: Final = answer

    def post(self, body: bytes, headers: dict[str, str], deadline: Deadline) -> HTTPAnswer:
        """The prepared answer with the ids of this question."""
        del headers, deadline
        found = _IDS.search(body)
        assert found is not None
        return HTTPAnswer(200, self._prepared.replace(WSA_ID, found[1]).replace(HL7_ID, found[2]))
