"""The embedded Spine's socket: the admin page against hostile descriptions, and connections that break it."""

import http.client
import json

import pytest

from smsp_provider.simulator.faults import Fault, FaultKind
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.server import ADMIN_PATH, PATHS, EmbeddedSpine


def posted(spine: EmbeddedSpine, body: bytes, path: str = ADMIN_PATH) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", spine.port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": "text/xml"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        b'{"once": [{"kind": "delay", "seconds": 1e999}]}',
        b'{"once": [{"kind": "delay", "seconds": 1e300}]}',
        b'{"once": [{"kind": "delay", "seconds": NaN}]}',
        b'{"once": ' + b"[" * 100_000,
        b'{"once": [{"kind": ' + b"[" * 900 + b"]" * 900 + b"}]}",
        b"[" * 100_000,
        b"\xff",
        b'{"once": [{"kind": "wrong-patient", "nhs_number": "\\ud800"}]}',
    ],
    ids=["infinite", "endless", "not a number", "deep", "deep kind", "only deep", "no text", "half a character"],
)
def test_a_description_that_cannot_be_planned_is_400_and_leaves_no_trace(
    capfd: pytest.CaptureFixture[str], body: bytes
) -> None:
    with PatientStore() as store, EmbeddedSpine(store) as spine:
        status, answer = posted(spine, body)
        assert status == 400
        assert "error" in json.loads(answer)
        assert spine.faults.describe() == {"once": [], "every": [], "patient": []}
    assert capfd.readouterr().err == ""


def test_a_connection_that_breaks_the_server_leaves_no_traceback(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with PatientStore() as store, EmbeddedSpine(store) as spine:

        def broken(*_: object) -> None:
            raise RuntimeError("9990000018")

        monkeypatch.setattr(spine, "converse", broken)
        with pytest.raises((http.client.HTTPException, OSError)):
            posted(spine, b"<x/>", PATHS[0])
    assert capfd.readouterr().err == ""


def test_a_fault_of_the_plan_can_be_waited_for() -> None:
    with PatientStore() as store, EmbeddedSpine(store) as spine:
        status, _ = posted(spine, b'{"once": [{"kind": "delay", "seconds": 3600}]}')
        assert status == 200
        assert spine.faults.take("QUPA_IN000005UK01") == Fault(FaultKind.DELAY, seconds=3600)
