"""The servers of the benchmark, each in a process of its own: ``python -m bench.server ROLE '{"port": ..., ...}'``.

``floor``, ``recording`` and ``provider`` are the same gunicorn around three applications (the floor's work in a bare
WSGI handler, alone and between two durable records; the provider behind Spyne with an instant Spine); ``audited`` is
that provider with a trail or without, ``whole`` the provider as ``smsp serve`` runs it, and ``spine`` the embedded
Spine behind mutual TLS.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.admittance import make_registry, registered, server_tls
from bench.in_process import Work, floor_work
from bench.material import edge_of, instant_connector, observer, patients, prepared_answer, settings, spine_settings
from bench.recording import RecordFile
from smsp_provider.audit.events import Ending, Intent
from smsp_provider.config.settings import SpineSettings
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.logs import Level, LogLevel
from smsp_provider.simulator.pki import make_pki
from smsp_provider.simulator.server import EmbeddedSpine, SpineTLS
from smsp_provider.storage.audit_lane import ProcessFacts
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.sqlite_file import Synchronous
from smsp_provider.web import spyne_app
from smsp_provider.web.application import build_application
from smsp_provider.web.edge import Environ, StartResponse, WSGIApplication
from smsp_provider.web.server import Listener, Supervision, run
from smsp_provider.wiring.audit import build_audit_database, build_audit_keys
from smsp_provider.wiring.provider import build_provider

Options = dict[str, Any]


def _own_store(state: Path) -> Path:
    """A file for each worker: both begin at the same time."""
    return state / f"patients-{os.getpid()}.db"


def _floor_app(options: Options) -> WSGIApplication:
    """A bare WSGI handler: read the body, do the floor's work, answer."""
    return _bare(_floor_of(Path(options["state"])))


def _recording_app(options: Options) -> WSGIApplication:
    """The bare handler with a durable record before its work and one after it, as an audit trail needs them."""
    state = Path(options["state"])
    floor, records = _floor_of(state), RecordFile(state / "records.db", Synchronous[options["synchronous"]])

    def work(body: bytes) -> bytes:
        records.keep()
        response = floor(body)
        records.keep()
        return response

    return _bare(work)


def _floor_of(state: Path) -> Work:
    return floor_work(build_provider(settings(state, "NORMAL")), prepared_answer(patients(_own_store(state))))


def _bare(work: Work) -> WSGIApplication:

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(str(environ["CONTENT_LENGTH"])))  # type: ignore[attr-defined]  # WSGI's file
        response = work(body)
        headers = [("Content-Type", "text/xml; charset=utf-8"), ("Content-Length", str(len(response)))]
        start_response("200 OK", headers)
        return [response]

    return app


def _provider_app(options: Options) -> WSGIApplication:
    state = Path(options["state"])
    answer = prepared_answer(patients(_own_store(state)))
    provider = build_provider(settings(state, options["synchronous"]), connector=instant_connector(answer))
    return spyne_app.make_app(edge_of(provider))


class _NoTrail(ChainedAuditTrail):
    """Takes every record, and keeps none."""

    def open_intent(self, intent: Intent) -> None:
        """Nothing."""

    def close(self, ending: Ending) -> None:
        """Nothing."""


def _audited_app(options: Options) -> WSGIApplication:
    """The provider with the trail of ``sink``, or none, in front of the Spine at ``spine`` or an instant one."""
    state = Path(options["state"])
    spine = connector = None
    if options["spine"]:
        spine = _spine_of(state, options["spine"])
    else:
        connector = instant_connector(prepared_answer(patients(_own_store(state))))
    chosen = settings(state, "FULL", threads=options["threads"], spine=spine, store=options["store"])
    sink = None
    if options["sink"] == "none":
        nothing = ProcessFacts("", "", "")
        sink = _NoTrail(build_audit_database(chosen), build_audit_keys(chosen), SystemClock(), nothing)
    return spyne_app.make_app(edge_of(build_provider(chosen, connector=connector, audit=sink)))


def _spine_of(state: Path, url: str) -> SpineSettings:
    pki = make_pki(state / "keys")
    client = pki.provider_client
    return spine_settings(url, certificate=client.certificate, key=client.key, ca=pki.ca.certificate)


def _registered_app(options: Options) -> WSGIApplication:
    """The provider for registered clients, over mutual TLS."""
    state = Path(options["state"])
    chosen = registered(settings(state, options["synchronous"]))
    provider = build_provider(chosen, connector=instant_connector(prepared_answer(patients(_own_store(state)))))
    return spyne_app.make_app(edge_of(provider))


def _whole_app(options: Options) -> WSGIApplication:
    state = Path(options["state"])
    spine = _spine_of(state, options["spine"])
    chosen = settings(state, options["synchronous"], threads=options["threads"], spine=spine)
    return build_application(chosen, observer())


def _serve(make_app: Callable[[Options], WSGIApplication], options: Options) -> None:
    """Two workers of threads, as the provider's own settings have them."""
    tls = server_tls(Path(options["state"]) / "keys") if make_app is _registered_app else None
    listener = Listener(f"127.0.0.1:{options['port']}", tls, 2, options["threads"], 5, options.get("pinned", True))
    watch = Supervision(observer(), LogLevel(Level.ERROR), lambda: None)
    run(lambda: make_app(options), listener, watch)


def _spine(options: Options) -> None:
    state = Path(options["state"])
    pki = make_pki(state / "keys")
    tls = SpineTLS(pki.spine_server.certificate, pki.spine_server.key, pki.ca.certificate)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    with EmbeddedSpine(patients(state / "spine.db"), tls=tls, port=options["port"], delay=options["delay"]):
        told.wait()


_APPS = {
    "floor": _floor_app,
    "recording": _recording_app,
    "provider": _provider_app,
    "audited": _audited_app,
    "registered": _registered_app,
    "whole": _whole_app,
}

if __name__ == "__main__":
    role, chosen = sys.argv[1], json.loads(sys.argv[2])
    if role == "registered":
        folder = Path(chosen["state"])
        make_registry(registered(settings(folder, chosen["synchronous"])), folder / "keys")
    if role == "spine":
        _spine(chosen)
    else:
        _serve(_APPS[role], chosen)
