"""Queries to several endpoints of Spine over mutual TLS, as the settings say which interaction is registered where."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripted_server import Peer, ScriptedServer, http_answer
from smsp_provider.config.settings import load_settings
from smsp_provider.connectors.hl7v3 import HL7v3Connector
from smsp_provider.domain.failures import NoCapacity, Refused, SentNoAnswer, SpineFailure
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SimpleTrace, SpineQuery
from smsp_provider.engine.ports import Deadline, SpineSender
from smsp_provider.wiring.provider import build_provider
from tls_fixtures import TestPKI, make_pki

Connecting = Callable[..., HL7v3Connector]

NUMBER, BORN = NHSNumber("9000000009"), HL7Date("19571231")
TRACE, CROSS_CHECK, RETRIEVE = SimpleTrace("SPECIMEN", "2", BORN), CrossCheckTrace(NUMBER, BORN), Retrieval(NUMBER)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPKI:
    return make_pki(tmp_path_factory.mktemp("pki"))


def refusing(peer: Peer) -> None:
    while peer.read_request() is not None:
        peer.send(http_answer(b"", "404 Not Found"))


@pytest.fixture
def main(pki: TestPKI) -> Iterator[ScriptedServer]:
    with ScriptedServer(refusing, context=pki.server_context()) as server:
        yield server


@pytest.fixture
def other(pki: TestPKI) -> Iterator[ScriptedServer]:
    with ScriptedServer(refusing, context=pki.server_context()) as server:
        yield server


@pytest.fixture
def connector(pki: TestPKI, tmp_path: Path) -> Connecting:
    """Makes the connector that a provider has with these settings."""

    def connect(endpoint: str, endpoints: dict[str, str], max_in_flight: int = 8) -> HL7v3Connector:
        file = tmp_path / "provider.toml"
        table = "\n".join(f'{interaction} = "{url}"' for interaction, url in endpoints.items())
        file.write_text(
            f"""
environment = "test"
[server]
http = "127.0.0.1:0"
[spine]
endpoint = "{endpoint}"
certificate = "{pki.client.certificate}"
key = "{pki.client.key}"
ca = "{pki.ca}"
pds_asid = "111122223333"
max_in_flight = {max_in_flight}
[spine.endpoints]
{table}
[audit]
database = "{tmp_path}/audit/audit.db"
"""
        )
        made = build_provider(load_settings(file)).pipeline._connector
        assert isinstance(made, HL7v3Connector)
        return made

    return connect


def ask(asking: HL7v3Connector, query: SpineQuery, seconds: float = 10.0) -> type[SpineFailure]:
    with pytest.raises(SpineFailure) as caught:
        asking.ask(query, SpineSender(ASID("444455556666")), Deadline(time.monotonic() + seconds))
    return type(caught.value)


def test_each_interaction_goes_where_it_is_registered_and_says_so(
    connector: Connecting, main: ScriptedServer, other: ScriptedServer
) -> None:
    elsewhere = other.url(path="/retrievals")
    asking = connector(main.url(), {"QUPA_IN000008UK02": elsewhere})
    for query in (TRACE, RETRIEVE, CROSS_CHECK):
        ask(asking, query)
    assert [b"QUPA_IN000005UK01" in main.requests[0], b"QUPA_IN000014UK01" in main.requests[1]] == [True, True]
    (retrieval,) = other.requests
    assert retrieval.startswith(b"POST /retrievals HTTP/1.1\r\n")
    assert f">{elsewhere}<".encode() in retrieval
    assert f">{main.url()}<".encode() in main.requests[0]


def test_one_url_has_one_set_of_connections(connector: Connecting, main: ScriptedServer, other: ScriptedServer) -> None:
    asking = connector(main.url(), {"QUPA_IN000005UK01": other.url(), "QUPA_IN000008UK02": other.url()})
    assert asking._elsewhere["QUPA_IN000005UK01"] is asking._elsewhere["QUPA_IN000008UK02"]


def test_the_bound_on_queries_under_way_counts_them_all(
    connector: Connecting, pki: TestPKI, main: ScriptedServer
) -> None:
    let_go = threading.Event()

    def holding(peer: Peer) -> None:
        peer.read_request()
        let_go.wait(60)

    with ScriptedServer(holding, context=pki.server_context()) as other, ThreadPoolExecutor(1) as caller:
        asking = connector(main.url(), {"QUPA_IN000008UK02": other.url()}, max_in_flight=1)
        waiting = caller.submit(ask, asking, RETRIEVE, 60.0)
        while not other.requests:
            time.sleep(0.005)
        assert ask(asking, TRACE) is NoCapacity
        assert main.connections == 0
        let_go.set()
        assert waiting.result(30) is SentNoAnswer
    assert ask(asking, TRACE) is Refused


def test_all_kept_connections_are_dropped_together(
    connector: Connecting, main: ScriptedServer, other: ScriptedServer
) -> None:
    asking = connector(main.url(), {"QUPA_IN000008UK02": other.url()})
    for query in (TRACE, RETRIEVE):
        ask(asking, query)
    pools = [asking._transport._pool, asking._elsewhere["QUPA_IN000008UK02"]._pool]
    assert None not in pools
    asking.close_idle()
    assert asking._transport._pool is None
    assert asking._elsewhere["QUPA_IN000008UK02"]._pool is None
