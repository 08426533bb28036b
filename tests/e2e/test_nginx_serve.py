"""`smsp serve` behind nginx with the file that `smsp deploy nginx` prints: the two as an operator sets them up."""

import grp
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace as replaced
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest

from certificate_zoo import make_zoo, replace
from edge_process import PATH, until
from free_ports import free_port
from itk_messages import request_for
from kept_output import keep_file
from nginx_server import NEWEST, nginx_binary, nginx_context
from sandbox_process import COMMAND, environment, members, run_smsp
from smsp_provider.domain.service import Service


@pytest.mark.rule("WS-SEC-01", "WS-SEC-07")
def test_a_provider_behind_nginx_is_set_up_reloaded_and_stopped(tmp_path: Path) -> None:
    binary = nginx_binary()
    zoo = make_zoo(tmp_path / "zoo")
    port, health = free_port(), free_port()
    group = grp.getgrgid(os.getegid()).gr_name
    config = tmp_path / "provider.toml"
    config.write_text(
        f"""
environment = "test"
[server]
workers = 1
threads = 4
[server.proxy]
bind = "127.0.0.1:{port}"
health = "127.0.0.1:{health}"
certificate = "{zoo.server.certificate}"
key = "{zoo.server.key}"
client_ca = "{zoo.ca}"
crl = "{zoo.crl}"
socket = "{tmp_path}/provider.sock"
socket_group = "{group}"
[spine]
endpoint = "http://127.0.0.1:9/"
pds_asid = "928942012545"
default_asid = "200000000205"
[audit]
database = "{tmp_path}/audit/audit.db"
synchronous = "NORMAL"
[clients]
policy = "any"
[security]
username = "ignore"
"""
    )
    user = ("--user", "root") if os.getuid() == 0 else ()
    made = run_smsp(
        "deploy",
        "nginx",
        "--config",
        config,
        "--runtime-directory",
        tmp_path / "run",
        "--log-directory",
        tmp_path,
        *user,
    )
    assert made.returncode == 0, made.stderr
    (tmp_path / "run").mkdir()
    (tmp_path / "nginx.conf").write_text(made.stdout)
    with (tmp_path / "provider.log").open("wb") as output:
        provider = subprocess.Popen(
            [*COMMAND, "serve", "--config", str(config)], stdout=output, stderr=subprocess.STDOUT, env=environment()
        )
    front = subprocess.Popen(
        [binary, "-e", str(tmp_path / "start.log"), "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"]
    )
    try:
        until(lambda: ready(health), (tmp_path / "provider.log").read_text)
        assert stat.S_IMODE((tmp_path / "provider.sock").stat().st_mode) == 0o660
        secure = nginx_context(zoo, zoo.good, NEWEST)
        # A machine that is busy with something else may be slow once.
        waits: list[float] = []
        while not waits or (min(waits) >= 9 and len(waits) < 3):
            waits.append(seconds_beside_slow_callers(port, secure))
        print("with 30 slow callers:", *(f"{wait * 1000:.0f} ms" for wait in waits))  # noqa: T201 - the figure to be shown
        assert min(waits) < 9, "it waited for the slow callers, who are cut off after ten seconds"
        reload_and_refuse(provider, tmp_path, zoo.ca)
    finally:
        front.terminate()
        provider.send_signal(signal.SIGTERM)
        front.wait(60)
        for file in tmp_path.glob("*.log"):
            keep_file("log", file)
        assert provider.wait(60) == 0
    assert not (tmp_path / "provider.sock").exists()
    events = [json.loads(line) for line in (tmp_path / "provider.log").read_text().splitlines() if line[:1] == "{"]
    assert [event["code"] for event in events if event["event"] == "request-answered"] == ["SMSP-0004"] * len(waits)


def seconds_beside_slow_callers(port: int, secure: ssl.SSLContext) -> float:
    """How long a request takes, from being sent to its answer; Spine is nowhere."""
    request = request_for(Service.VERIFY_NHS_NUMBER, now=datetime.now(UTC))
    fresh = replaced(request, message_id=str(uuid.uuid4()).upper())
    with (
        slow_callers(port, secure),
        closing(HTTPSConnection("127.0.0.1", port, timeout=60, context=secure)) as connection,
    ):
        headers = {"Content-Type": "text/xml", "SOAPAction": fresh.soap_action}
        began = time.monotonic()
        connection.request("POST", PATH, fresh.body(), headers)
        response = connection.getresponse()
        answer = response.read()
        waited = time.monotonic() - began
    assert (response.status, b"SMSP-0004" in answer) == (200, True)
    return waited


@contextmanager
def slow_callers(port: int, secure: ssl.SSLContext) -> Iterator[None]:
    """Ten half-open handshakes, ten half headers and ten half bodies: more than the provider has threads."""
    with ExitStack() as held:
        for _ in range(10):
            half = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            half.sendall(b"\x16\x03\x01")
            for sent in ("X-Slow:", "Content-Type: text/xml\r\nContent-Length: 3000\r\n\r\n<soap"):
                plain = held.enter_context(socket.create_connection(("127.0.0.1", port)))
                caller = held.enter_context(secure.wrap_socket(plain, server_hostname="localhost"))
                caller.sendall(f"POST {PATH} HTTP/1.1\r\nHost: a\r\n{sent}".encode())
        yield


def reload_and_refuse(provider: "subprocess.Popen[bytes]", folder: Path, ca: Path) -> None:
    """A hangup changes the workers where all files can be used, and nothing where they cannot."""
    log = (folder / "provider.log").read_text
    before = set(members(provider.pid))
    provider.send_signal(signal.SIGHUP)
    until(lambda: log().count("Booting worker") == 2, log)
    until(lambda: len(set(members(provider.pid)) - before) == 1 and len(members(provider.pid)) == len(before), log)
    good = ca.read_bytes()
    replace(ca, b"nothing")
    after = set(members(provider.pid))
    provider.send_signal(signal.SIGHUP)
    until(lambda: "No reload: the files cannot be used" in log(), log)
    assert re.search(r"smsp: no reload: .*server\.proxy\.client_ca: ", log(), re.DOTALL)
    assert set(members(provider.pid)) == after
    replace(ca, good)


def ready(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
