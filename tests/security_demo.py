"""The rules of admittance, shown against a served provider: ``python -m security_demo`` (``make demo-security``).

A Spine, a provider of two workers behind mutual TLS and a registry with two clients, each with a certificate of its
own, all as processes or sockets of this machine. Every rule is broken once, alone; then one client is disabled while
fifty of its requests are under way.
"""

import http.client
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from e2e.lies import ASKED, SHAPES
from e2e.world import Answer, CountedSpine, read_answer
from free_ports import free_port
from itk_messages import Request, request_for
from kept_output import keep_file
from sandbox_process import COMMAND, environment, run_smsp
from smsp_provider.domain.identifiers import OID
from smsp_provider.domain.service import Service
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.pki import KeyPair, Pki, make_pki
from smsp_provider.simulator.server import SpineTLS

__all__ = ["Check", "Demo", "Shutout", "checks", "running_demo", "shut_out"]

IN_FLIGHT: Final = 50
IN_FORCE_SECONDS: Final = 5.0
"""Within which a change of the registry has to be in force in every worker."""

WARD, LAB = "ward-system", "lab-system"
_VERIFY: Final = SHAPES[0]
_START_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.2
"""Between two calls of the client that is not disabled: four callers together stay within its rate."""
_TLS_REFUSED: Final = "refused by TLS"
_RATE: Final = {WARD: "1", LAB: "20"}
"""In requests a second: the first client goes beyond its limit on however slow a machine."""
_ORGANISATIONS: Final = {WARD: ("A1001", "200000000115"), LAB: ("B2002", "200000000222")}


@dataclass
class Demo:
    """The provider that runs; ``settings`` is its file, ``port`` that of its mutual TLS."""

    settings: Path
    port: int
    pki: Pki
    strangers: Pki
    spine: CountedSpine

    def client(self, *arguments: str | Path) -> None:
        """Run ``smsp client``; the registry of this provider is changed."""
        _client(self.settings, *arguments)

    def ask(self, system: str = WARD, *, keys: KeyPair | None = None, **changes: Any) -> str:
        """Ask in the name of ``system`` over a new connection; the response code, the fault, or refused by TLS."""
        try:
            return self.send(self.request(system, **changes), keys or self.pki.client(system)).said
        except (ssl.SSLError, ConnectionError):
            return _TLS_REFUSED

    def send(self, request: Request, keys: KeyPair | None) -> Answer:
        """Send a request with a client certificate, or without one."""
        context = ssl.create_default_context(cafile=self.pki.ca.certificate)
        if keys is not None:
            context.load_cert_chain(keys.certificate, keys.key)
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=60)
        began = time.monotonic()
        try:
            headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": request.soap_action}
            connection.request("POST", "/smsp/pds", request.body(), headers)
            response = connection.getresponse()
            return read_answer(response.status, response.read(), time.monotonic() - began)
        finally:
            connection.close()

    def get(self, path: str, keys: KeyPair) -> int:
        """The status of a GET with a client certificate."""
        context = ssl.create_default_context(cafile=self.pki.ca.certificate)
        context.load_cert_chain(keys.certificate, keys.key)
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    @staticmethod
    def request(system: str, **changes: Any) -> Request:
        """A good request of a client of the demo but for ``changes``."""
        organisation, _ = _ORGANISATIONS[system]
        service = changes.pop("service", _VERIFY.service)
        plain = request_for(service, _VERIFY.fields(ASKED), now=datetime.now(UTC))
        good = {
            "username": system,
            "message_id": str(uuid4()).upper(),
            "audit_ids": ((None, f"urn:nhs-uk:identity:ods:{organisation}"),),
        }
        return replace(plain, **{**good, **changes})


@dataclass(frozen=True)
class Check:
    """One rule broken, alone: what was sent, what must come back, and what came back."""

    rule: str
    sent: str
    expected: str
    found: str

    @property
    def holds(self) -> bool:
        return self.found == self.expected


@dataclass
class Shutout:
    """What happened when a client was disabled with requests under way; moments in seconds after the change.

    ``answered`` are the codes of the requests under way, ``later`` the moment and code of each call after the change,
    ``others`` the codes that the other client got all the while.
    """

    answered: list[str] = field(default_factory=list)
    later: list[tuple[float, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def last_let_in(self) -> float:
        """When a call of the disabled client was last let in; 0 if none was after the change.

        A worker that cannot look at the registry in time, as on a machine that stands still, refuses with 2100.
        """
        return max((at for at, code in self.later if code not in ("fault 3000", "fault 2100")), default=0.0)


@contextmanager
def running_demo(directory: Path) -> Iterator[Demo]:
    """A provider with two registered clients, and a Spine behind it, until the end of the ``with``."""
    pki, strangers = make_pki(directory / "pki"), make_pki(directory / "strangers")
    tls = SpineTLS(pki.spine_server.certificate, pki.spine_server.key, pki.ca.certificate)
    with PatientStore() as store:
        store.add_all([ASKED])
        with CountedSpine(store, tls=tls) as spine:
            settings = directory / "provider.toml"
            port = free_port()
            settings.write_text(_configuration(directory, pki, spine.url, port))
            _register(settings, pki)
            log = directory / "provider.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [*COMMAND, "serve", "--config", str(settings)], stdout=output, stderr=output, env=environment()
                )
            try:
                _wait_for(process, port, log)
                yield Demo(settings, port, pki, strangers, spine)
            finally:
                process.terminate()
                process.wait(60)
                keep_file("log", log)


def checks(demo: Demo) -> Iterator[Check]:
    """Every rule of admittance, broken one at a time; the first two checks break none."""

    def check(rule: str, sent: str, expected: str, **asked: Any) -> Check:
        return Check(rule, sent, expected, demo.ask(**asked))

    now = datetime.now(UTC)
    past, future = (_instant(now + timedelta(minutes=minutes)) for minutes in (-1, 30))
    smartcard = ((OID.ROLE_PROFILE, "100000000001"), (OID.USER, "200000000002"), (OID.ROLE, "S0080:G0450:R5080"))
    ward = (None, "urn:nhs-uk:identity:ods:A1001")
    yield check("WS-SEC-08", "a good request of the first client", "SMSP-0000")
    yield check("WS-SEC-08", "a good request of the second client", "SMSP-0000", system=LAB)
    yield Check("WS-SEC-01", "no client certificate", _TLS_REFUSED, _without_certificate(demo))
    yield check("WS-SEC-01", "a certificate of another authority", _TLS_REFUSED, keys=demo.strangers.client(WARD))
    yield check("WS-SEC-08", "a trusted certificate that nobody registered", "fault 3000", keys=demo.pki.client("new"))
    yield check("WS-SEC-07", "the certificate of the one, the username of the other", "fault 3000", username=LAB)
    yield check("WS-SEC-07", "no username", "fault 3000", username=None)
    yield check("WS-SEC-05", "a message that has expired", "fault 3000", expires=past)
    yield check(
        "WS-SEC-04",
        "a message from the future",
        "fault 3000",
        created=future,
        expires=_instant(now + timedelta(hours=1)),
    )
    yield check(
        "WS-SEC-08", "a service that it is not registered for", "fault 3000", service=Service.GET_PATIENT_DETAILS
    )
    yield check(
        "SMSP-IG-003",
        "an organisation of the other client",
        "fault 3000",
        audit_ids=((None, "urn:nhs-uk:identity:ods:B2002"),),
    )
    yield check(
        "SMSP-IG-003", "an access method that it is not registered for", "fault 3000", audit_ids=(ward, *smartcard)
    )
    yield check(
        "SMSP-IG-003", "an ASID of the other client", "fault 3000", audit_ids=(ward, (OID.ASID, "200000000222"))
    )
    yield check("WS-SEC-08", "a signature that signs nothing", "fault 3000", extra_security_markup=_NO_SIGNATURE)
    codes = [demo.ask() for _ in range(_OVER_THE_LIMIT)]
    yield Check("SMSP-PERF-001", "more requests at once than its rate", "fault 2100", codes[-1])


def shut_out(demo: Demo) -> Shutout:
    """Disable the first client while fifty of its requests wait for Spine, and see what everybody gets."""
    found, ended = Shutout(), threading.Event()
    demo.client("set", WARD, "--rate", "0", "--burst", "0")
    _wait_until(lambda: [demo.ask() for _ in range(_OVER_THE_LIMIT)].count("fault 2100") == 0)

    def under_way() -> None:
        found.answered.append(demo.ask())

    def other() -> None:
        while not ended.is_set():
            found.others.append(demo.ask(LAB))
            ended.wait(_PAUSE_SECONDS)

    callers = [threading.Thread(target=under_way) for _ in range(IN_FLIGHT)]
    neighbours = [threading.Thread(target=other) for _ in range(4)]
    before = len(demo.spine.received)
    with demo.spine.silent():
        for thread in callers:
            thread.start()
        _wait_until(lambda: len(demo.spine.received) >= before + IN_FLIGHT)
        demo.client("disable", WARD, "--reason", "its key was stolen")
        changed = time.monotonic()
    for thread in neighbours:
        thread.start()
    # Each call over a new connection: both workers are met many times, some of them after the change must be in force.
    while (at := time.monotonic() - changed) < IN_FORCE_SECONDS + 1 or found.later[-1][1] != "fault 3000":
        if at > _START_SECONDS:
            raise TimeoutError
        found.later.append((at, demo.ask()))
        if found.later[-1][1] == "fault 3000":
            time.sleep(0.02)
    ended.set()
    for thread in (*callers, *neighbours):
        thread.join()
    return found


_OVER_THE_LIMIT: Final = 60
_NO_SIGNATURE: Final = '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'


def _without_certificate(demo: Demo) -> str:
    try:
        return demo.send(demo.request(WARD), None).said
    except (ssl.SSLError, ConnectionError):
        return _TLS_REFUSED


def _client(settings: Path, *arguments: str | Path) -> None:
    done = run_smsp("client", *arguments, "--config", settings)
    if done.returncode:
        raise RuntimeError(done.stderr)


def _register(settings: Path, pki: Pki) -> None:
    _client(settings, "init")
    for name, (organisation, asid) in _ORGANISATIONS.items():
        _client(
            settings,
            "add",
            name,
            *("--ods", organisation, "--organisation", f"{organisation}={asid}", "--contact", "service desk"),
            *("--certificate", pki.client(name).certificate, "--service", "verifyNHSNumber"),
            *("--approval", "DARS-1", "--legal-basis", "direct care", "--use-case", "demonstration"),
            *("--review-on", f"{datetime.now(UTC).year + 1}-01-01", "--rate", _RATE[name], "--burst", "20"),
        )


def _configuration(directory: Path, pki: Pki, spine: str, port: int) -> str:
    return f"""\
environment = "test"

[server]
workers = 2
threads = 64

[server.https]
bind = "127.0.0.1:{port}"
certificate = "{pki.provider_server.certificate}"
key = "{pki.provider_server.key}"
client_ca = "{pki.ca.certificate}"

[spine]
endpoint = "{spine}"
certificate = "{pki.provider_client.certificate}"
key = "{pki.provider_client.key}"
ca = "{pki.ca.certificate}"
pds_asid = "100000000104"

[audit]
database = "{directory / "audit" / "audit.db"}"
synchronous = "NORMAL"

[operators]
policy = "os-user"

[limits]
request_seconds = 60
"""


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Until somebody listens."""

    def is_there() -> bool:
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        with suppress(OSError), socket.create_connection(("localhost", port), timeout=60):
            return True
        return False

    _wait_until(is_there)


def _wait_until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while not holds():
        if time.monotonic() > give_up:
            raise TimeoutError
        time.sleep(0.05)


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _main() -> int:
    with tempfile.TemporaryDirectory() as directory, running_demo(Path(directory)) as demo:
        failed = 0
        for check in checks(demo):
            failed += not check.holds
            sys.stdout.write(f"{'ok  ' if check.holds else 'FAIL'}  {check.found:14}  {check.rule:14}  {check.sent}\n")
        found = shut_out(demo)
    others = found.others.count("SMSP-0000")
    sys.stdout.write(
        f"disabled with {IN_FLIGHT} requests under way: {found.answered.count('SMSP-0000')} of them answered; "
        f"last let in {found.last_let_in:.1f} s after the change, {len(found.later)} calls after it; "
        f"the other client: {others} of {len(found.others)} answered\n"
    )
    kept = found.last_let_in <= IN_FORCE_SECONDS and others == len(found.others)
    return 0 if kept and not failed else 1


if __name__ == "__main__":
    sys.exit(_main())
