"""What it costs to know the caller: mutual TLS, the registry and the security header, beside plain loopback HTTP.

Both are the same provider with an instant Spine and kept connections. The one lets everybody in over plain HTTP; the
other knows two hundred clients, and recognises one of them by its certificate.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bench.processes import Server, loaded
from free_ports import free_port
from smsp_provider.certificates.identity import certificate_of
from smsp_provider.config.settings import ClientPolicy, ClientSettings, Settings
from smsp_provider.domain.clients import Authority, Client, FingerprintPin
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.engine.system import SystemClock
from smsp_provider.simulator.pki import make_pki
from smsp_provider.storage.client_form import prepare
from smsp_provider.storage.client_registry import ClientChange
from smsp_provider.web.tls import ServerTLS
from smsp_provider.wiring.provider import build_client_store

__all__ = ["admittance", "make_registry", "registered", "server_tls"]

_WORKERS: Final = 2
_THREADS: Final = 16
_CONNECTIONS: Final = 16
_CLIENTS: Final = 200
_CALLER: Final = "client.example.nhs.uk"
"""The username in the messages of the benchmark."""


def admittance(state: Path, requests: int, rounds: int = 5) -> dict[str, Any]:
    """Server CPU and requests a second of both, ``requests`` in each of the rounds, that alternate; medians."""
    for folder in ("open", "known"):
        (state / folder).mkdir(mode=0o700)
    pki = make_pki(state / "known" / "keys")
    keys = pki.client(_CALLER)
    tls = {"certificate": str(keys.certificate), "key": str(keys.key), "ca": str(pki.ca.certificate)}
    options = {"synchronous": "NORMAL", "threads": _THREADS}
    everybody = Server("provider", {**options, "state": state / "open", "port": free_port()}, _WORKERS)
    known = Server("registered", {**options, "state": state / "known", "port": free_port()}, _WORKERS)
    with everybody, known:
        found = [(_round(everybody, requests, None), _round(known, requests, tls)) for _ in range(rounds)]
    both = {
        name: {key: round(median(pair[index][key] for pair in found), 1) for key in found[0][index]}
        for index, name in enumerate(("everybody", "registered"))
    }
    return {
        "clients": _CLIENTS,
        "connections": _CONNECTIONS,
        **both,
        "cpu_ratio": round(median(mine["server_cpu_us"] / plain["server_cpu_us"] for plain, mine in found), 3),
    }


def registered(settings: Settings) -> Settings:
    """The same settings, for registered clients only."""
    return settings.model_copy(update={"clients": ClientSettings(policy=ClientPolicy.REGISTERED)})


def make_registry(settings: Settings, keys: Path) -> None:
    """Two hundred clients in the registry of the settings; the caller of the benchmark is one of them."""
    store = build_client_store(settings, SystemClock())
    prepare(store.database)
    store.apply(_clients(keys), lambda _change, _version: None)
    store.database.close()


def server_tls(keys: Path) -> ServerTLS:
    """The listener's side of the keys."""
    pki = make_pki(keys)
    return ServerTLS(pki.provider_server.certificate, pki.provider_server.key, pki.ca.certificate)


def _clients(keys: Path) -> Iterator[ClientChange]:
    pem = make_pki(keys).client(_CALLER).certificate.read_bytes()
    caller = certificate_of(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))
    assert caller is not None
    for number in range(_CLIENTS):
        own = number == _CLIENTS // 2
        client = Client(
            name="bench" if own else f"client-{number}",
            ods_code=ODSCode("X26"),
            contact="nobody",
            authority=Authority("none", "none", "measuring", date(2099, 1, 1)),
            organisations={ODSCode("X26"): None},
            pins=(FingerprintPin(caller.fingerprint if own else f"{number:064x}"),),
        )
        yield ClientChange(client.name, None, client)


def _round(server: Server, requests: int, tls: dict[str, str] | None) -> dict[str, float]:
    before = server.cpu_seconds()
    figures = loaded(server.port, connections=_CONNECTIONS, requests=requests, tls=tls)
    if figures["failed"]:
        raise RuntimeError(f"{figures['failed']} requests failed")
    return {
        "per_s": figures["per_s"],
        "server_cpu_us": (server.cpu_seconds() - before) / (requests + _CONNECTIONS) * 1e6,
        "p50_ms": median(figures["latencies_ms"]),
    }
