"""A real nginx in front of a provider, with the configuration that `smsp deploy nginx` makes.

    with running_nginx(tmp_path, zoo, server.socket) as nginx:
        nginx.port, nginx.health_port

Tests that use it are skipped where nginx is not installed, but fail there if CI is set.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from certificate_zoo import Zoo, make_zoo
from edge_process import PATH, Server
from free_ports import free_port
from itk_messages import request_for
from kept_output import keep_file
from smsp_provider.config.settings import AuditSettings, Environment, Settings, SpineSettings
from smsp_provider.config.settings import Server as ServerSettings
from smsp_provider.domain.service import Service
from smsp_provider.web.nginx import Places, render_nginx
from tls_fixtures import Identity

__all__ = [
    "Front",
    "Nginx",
    "all_that_comes",
    "fault",
    "nginx_binary",
    "nginx_context",
    "request_text",
    "running_front",
    "running_nginx",
    "settings_behind_nginx",
    "statuses",
]

NEWEST = ssl.TLSVersion.TLSv1_3
BODY = request_for(Service.GET_NHS_NUMBER).body()
XML = {"Content-Type": "text/xml"}

FAULT = "/s:Envelope/s:Body/s:Fault"
NAMES = {"s": "http://schemas.xmlsoap.org/soap/envelope/", "i": "urn:nhs-itk:ns:201005"}
UUID = r"[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}"


@dataclass
class Nginx:
    """A running nginx."""

    port: int
    health_port: int
    directory: Path
    process: "subprocess.Popen[bytes]"

    @property
    def logs(self) -> str:
        """Everything it has written."""
        return "".join(path.read_text() for path in sorted((self.directory / "logs").iterdir()))

    def workers(self) -> list[int]:
        """The processes that serve."""
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def reload(self) -> None:
        """Read all files again, as `nginx -s reload` does; returns when other workers serve."""
        before = set(self.workers())
        self.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while set(self.workers()) & before or not self.workers():
            assert time.monotonic() < until, self.logs
            time.sleep(0.02)

    def temporary_files(self) -> list[str]:
        """Files below its temporary directories that its workers have open, deleted ones too."""
        below = str(self.directory / "run")
        found = []
        for worker in self.workers():
            for descriptor in Path(f"/proc/{worker}/fd").iterdir():
                with suppress(OSError):
                    target = str(descriptor.readlink())
                    if target.startswith(below) and ".pid" not in target:
                        found.append(target)
        return found


def nginx_binary() -> str:
    """Where nginx is; without it the test is skipped, but not where CI runs."""
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if binary is None:
        assert not os.environ.get("CI"), "nginx must be installed where CI runs"
        pytest.skip("nginx is not installed")
    return binary


def nginx_context(zoo: Zoo, identity: Identity | None, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A caller that shows ``identity`` and knows the authority of the server."""
    context = ssl.create_default_context(cafile=str(zoo.ca))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the caller's own library must not be what refuses
    context.maximum_version = version
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def settings_behind_nginx(folder: Path, zoo: Zoo, provider: Path, **proxy: Any) -> Settings:
    """Settings of a provider at the unix socket ``provider``; Spine is nowhere."""
    listener = {
        "bind": f"127.0.0.1:{free_port()}",
        "health": f"127.0.0.1:{free_port()}",
        "certificate": zoo.server.certificate,
        "key": zoo.server.key,
        "client_ca": zoo.ca,
        "crl": zoo.crl,
        "socket": provider,
        **proxy,
    }
    return Settings(
        environment=Environment.TEST,
        server=ServerSettings.model_validate({"proxy": listener}),
        spine=SpineSettings(endpoint="http://127.0.0.1:9/sync", pds_asid="928942012545", default_asid="200000000205"),
        audit=AuditSettings(database=folder / "audit" / "audit.db", synchronous="NORMAL"),
    )


@contextmanager
def running_nginx(directory: Path, settings: Settings, *, change: tuple[str, str] = ("", "")) -> Iterator[Nginx]:
    """nginx with the configuration of these settings; ``change`` replaces a text in it."""
    binary = nginx_binary()
    proxy = settings.server.proxy
    assert proxy is not None
    places = Places(directory / "run", directory / "logs", "root" if os.getuid() == 0 else "")
    for place in (places.runtime, places.logs):
        place.mkdir(parents=True)
    text = render_nginx(settings, proxy, places)
    assert change[0] in text
    config = directory / "nginx.conf"
    config.write_text(text.replace(*change) if change[0] else text)
    command = [binary, "-e", str(places.logs / "start.log"), "-p", str(directory), "-c", str(config)]
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen([*command, "-g", "daemon off;"])
    nginx = Nginx(int(proxy.bind.rpartition(":")[2]), int(proxy.health.rpartition(":")[2]), directory, process)
    try:
        _wait_until_it_listens(nginx)
        yield nginx
    finally:
        process.terminate()
        process.wait(60)
        for file in places.logs.iterdir():
            keep_file("log", file)


def _wait_until_it_listens(nginx: Nginx) -> None:
    until = time.monotonic() + 60
    while True:
        assert nginx.process.poll() is None, nginx.logs
        with suppress(OSError), socket.create_connection(("127.0.0.1", nginx.health_port), timeout=60):
            return
        assert time.monotonic() < until, nginx.logs
        time.sleep(0.02)


@dataclass
class Front:
    """nginx with a provider behind it, and callers."""

    nginx: Nginx
    provider: Server
    zoo: Zoo

    def context(self, identity: Identity | None, version: ssl.TLSVersion = NEWEST) -> ssl.SSLContext:
        return nginx_context(self.zoo, identity, version)

    def connection(self, identity: Identity | None, version: ssl.TLSVersion = NEWEST) -> http.client.HTTPSConnection:
        context = self.context(identity, version)
        return http.client.HTTPSConnection("127.0.0.1", self.nginx.port, timeout=60, context=context)

    def post(
        self,
        identity: Identity | None,
        version: ssl.TLSVersion = NEWEST,
        body: bytes = BODY,
        **headers: str,
    ) -> tuple[int, bytes]:
        with closing(self.connection(identity, version)) as connection:
            connection.request("POST", PATH, body, {**XML, **headers})
            response = connection.getresponse()
            return response.status, response.read()

    def secure(self) -> ssl.SSLSocket:
        """A connection of the good client on which nothing was sent."""
        raw = socket.create_connection(("127.0.0.1", self.nginx.port), timeout=60)
        return self.context(self.zoo.good).wrap_socket(raw, server_hostname="localhost")

    def raw(self, sent: bytes, answers: int = 1) -> bytes:
        """Everything that comes back for these bytes; see :func:`all_that_comes`."""
        with self.secure() as connection:
            with suppress(ConnectionError, ssl.SSLError):
                connection.sendall(sent)
            return all_that_comes(connection, answers)


def all_that_comes(connection: socket.socket, answers: int = 1) -> bytes:
    """What comes until the other side closes or, after so many answers, says nothing for a second."""
    came = b""
    with suppress(TimeoutError, ConnectionError, ssl.SSLError):
        while True:
            connection.settimeout(1 if len(statuses(came)) >= answers else 60)
            part = connection.recv(65_536)
            if not part:
                break
            came += part
    return came


@contextmanager
def running_front(folder: Path, **options: Any) -> Iterator[Front]:
    """nginx and a provider of :mod:`edge_process` behind it; ``options`` are the provider's."""
    zoo = make_zoo(folder / "zoo")
    provider = Server(folder, None, bind=f"unix:{folder}/provider.sock", **options)
    try:
        assert provider.socket is not None
        with running_nginx(folder / "nginx", settings_behind_nginx(folder, zoo, provider.socket)) as nginx:
            yield Front(nginx, provider, zoo)
    finally:
        provider.stop()


def fault(body: bytes) -> tuple[str, str]:
    """Fault code and error code of a whole, valid fault."""
    root = etree.fromstring(body, etree.XMLParser(resolve_entities=False))

    def one(path: str) -> str:
        found = root.xpath(f"string({path})", namespaces=NAMES)
        assert isinstance(found, str)
        assert found
        return found

    detail = f"{FAULT}/detail/i:ToolkitErrorInfo"
    for identifier in (f"{detail}/i:ErrorID", "//*[local-name()='MessageID']"):
        assert re.fullmatch(UUID, one(identifier))
    assert one(f"{FAULT}/faultstring") == one(f"{detail}/i:ErrorText")
    return one(f"{FAULT}/faultcode"), one(f"{detail}/i:ErrorCode")


def request_text(body: bytes, lines: str = "", target: str = PATH) -> bytes:
    """A request with its length, written by hand; ``lines`` end in CRLF."""
    head = f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\n{lines}Connection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def statuses(answer: bytes) -> list[int]:
    """The status of each response in what came back."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]
