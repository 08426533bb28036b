"""Alerts of a served provider: from workers to a file and an HTTPS webhook, which may be slow, dead or out of order."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_process import until
from kept_output import keep_file
from scripted_server import Behaviour, Peer, ScriptedServer, answering, http_answer
from served_provider import ServedProvider, served
from smsp_provider.simulator.faults import Fault, FaultKind
from smsp_provider.simulator.population.book import number
from tls_fixtures import TestPKI, make_pki

pytestmark = pytest.mark.rule("IFC-ALT-01", "IG-ALERT-2.26")

_SENSITIVE, _BORN = number(301), "19800505"
_TAKEN = http_answer(b"", "204 No Content")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPKI:
    return make_pki(tmp_path_factory.mktemp("pki"))


class _Receiver(ScriptedServer):
    """A webhook over HTTPS; ``alerts`` are those that it got, whatever it answered."""

    def __init__(self, pki: TestPKI, *scripts: Behaviour) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.server.certificate, pki.server.key)
        super().__init__(*scripts, context=context)

    def alerts(self) -> list[dict[str, object]]:
        return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in self.requests]

    def kinds(self) -> list[object]:
        return [alert["kind"] for alert in self.alerts()]


def _ask(provider: ServedProvider) -> None:
    assert provider.ask(number=_SENSITIVE, born=_BORN).status == 200


def _ready(provider: ServedProvider) -> int:
    """What a worker says of itself."""
    with closing(provider.connection()) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status


def _lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


@pytest.fixture(autouse=True)
def _kept(tmp_path: Path) -> Iterator[None]:
    yield
    keep_file("alerts", tmp_path / "alerts")


def _alerts(receiver: ScriptedServer, pki: TestPKI, file: Path) -> str:
    return f'file = "{file}", webhook = "{receiver.url()}", webhook_ca = "{pki.ca}", repeat_seconds = 0.5'


def _gathered(alerts: list[dict[str, object]]) -> int:
    return sum(int(str(alert.get("repeated", 1))) for alert in alerts)


def test_every_worker_sends_its_own_and_all_are_accounted_for(pki: TestPKI, tmp_path: Path) -> None:
    file = tmp_path / "alerts"
    with (
        _Receiver(pki, answering(_TAKEN)) as receiver,
        served(tmp_path / "state", workers=2, alerts=_alerts(receiver, pki, file)) as (provider, _),
    ):
        for _ in range(8):
            _ask(provider)
        provider.stop()
        sent, written = receiver.alerts(), _lines(file)
    for alerts in (sent, written):
        assert {alert["kind"] for alert in alerts} - {"alerts-undelivered"} == {"sensitive-record-accessed"}
    assert _gathered(written) == 8, "also what was gathered at the end"
    # Who ends gives a receiver seconds, and says what it could not hand on.
    assert _gathered(sent) == 8 or any(line.get("kind") == "alerts-undelivered" for line in _lines_of_log(provider))
    assert sum(line.get("kind") == "sensitive-record-accessed" for line in _lines_of_log(provider)) == 8


def test_a_receiver_that_fails_gets_what_it_missed_when_it_works_again(pki: TestPKI, tmp_path: Path) -> None:
    file, works = tmp_path / "alerts", threading.Event()

    def failing(peer: Peer) -> None:
        while peer.read_request() is not None:
            peer.send(_TAKEN if works.is_set() else http_answer(b"", "500 Oops"))

    with (
        _Receiver(pki, failing) as receiver,
        served(tmp_path / "state", workers=1, alerts=_alerts(receiver, pki, file)) as (provider, _),
    ):
        _ask(provider)
        until(lambda: bool(receiver.requests))
        until(lambda: "alerts-undelivered" in [line["kind"] for line in _lines(file)])
        works.set()
        until(lambda: receiver.alerts()[-1].get("reason") == "webhook: works again")
        assert receiver.kinds()[-3:] == ["sensitive-record-accessed", "alerts-undelivered", "alerts-undelivered"]
    reasons = [line["reason"] for line in _lines(file)]
    assert (reasons[0], reasons[-1]) == ("IG-ALERT-2.26", "webhook: works again")
    assert "webhook: HTTP status 500" in reasons


def test_no_request_waits_for_a_receiver_and_its_loss_is_counted(pki: TestPKI, tmp_path: Path) -> None:
    file = tmp_path / "alerts"
    with (
        _Receiver(pki, lambda peer: peer.wait_until_closed()) as receiver,
        served(tmp_path / "state", workers=1, threads=1, alerts=_alerts(receiver, pki, file)) as (provider, _),
    ):
        for _ in range(3):
            _ask(provider)
        # The first attempt still hangs; only a machine that stood still for as long as one may take has seen it fail.
        assert receiver.connections <= 1 or "alerts-undelivered" in [line["kind"] for line in _lines(file)]
        assert provider.stop() == 0
    lost = [line for line in _lines_of_log(provider) if line.get("kind") == "alerts-undelivered"]
    assert str(lost[-1]["reason"]).startswith("webhook: not delivered when process")
    assert lost[-1]["count"]
    of_records = [line for line in _lines(file) if line["kind"] == "sensitive-record-accessed"]
    assert _gathered(of_records) == 3, "the file does not wait for it"


def _lines_of_log(provider: ServedProvider) -> list[dict[str, object]]:
    return [json.loads(line) for line in provider.log.read_bytes().splitlines() if line.startswith(b'{"')]


@pytest.mark.rule("IFC-ALT-01")
def test_an_outage_of_spine_is_one_alert_of_the_host_and_one_when_it_is_over(tmp_path: Path) -> None:
    file = tmp_path / "alerts"
    alerts = f'file = "{file}", window_seconds = 10, most_requests = 5'
    breaker = "failures = 4, probe_seconds = 0.2, successes = 1"
    with served(tmp_path / "state", workers=2, request_seconds=60, alerts=alerts, breaker=breaker) as (provider, spine):
        spine.faults.every(1, Fault(FaultKind.HTTP_STATUS, status=503))

        def told(kind: str) -> list[dict[str, object]]:
            return [line for line in _lines(file) if line["kind"] == kind]

        def is_over() -> bool:
            provider.ask()
            return bool(told("spine-outage-over"))

        def has_begun() -> bool:
            provider.ask()
            return bool(told("spine-outage"))

        until(has_begun)
        spine.faults.clear()
        until(is_over)
        assert (len(told("spine-outage")), len(told("spine-outage-over"))) == (1, 1)
        assert "after about" in str(told("spine-outage-over")[0]["reason"])
        until(lambda: provider.ask().status == 200 and bool(told("throughput")))


def test_a_table_of_limits_that_is_deleted_is_an_alert_and_the_provider_serves_on(tmp_path: Path) -> None:
    file = tmp_path / "alerts"
    with served(tmp_path / "state", workers=2, alerts=f'file = "{file}"') as (provider, _):
        table = tmp_path / "state" / "audit" / "throttle.table"
        assert provider.ask().code == "SMSP-0000"
        # Who watches has looked once.
        until(table.with_name("keeper.json").exists)
        table.unlink()
        until(lambda: [line["kind"] for line in _lines(file)] == ["limits-unavailable"])
        until(table.exists)
        assert provider.ask().code == "SMSP-0000"
        table.unlink()
        table.mkdir()
        until(lambda: provider.ops_get("/readyz").status == 503)
        until(lambda: _ready(provider) == 503)
        until(lambda: "cannot be used" in str(_lines(file)[-1]["reason"]))
        table.rmdir()
        until(lambda: provider.ops_get("/readyz").status == 200)
        until(lambda: str(_lines(file)[-1]["reason"]).startswith("over: "))
        assert provider.ask().code == "SMSP-0000"
