"""A provider as processes whose callers guess: the log says so once, whichever workers their requests came to."""

import json
import os
import signal
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from itk_messages import Fields, Request
from probing_traffic import stems
from served_provider import ATTENDED, PATH, ServedProvider, code_of, served
from smsp_provider.domain.service import Service
from throttles import wait_until

pytestmark = pytest.mark.rule("SMSP-SEC-001")

_MINE, _OTHER = "9990000034", "9990000026"
"""Of the shipped population; the date of birth that is sent belongs to the first."""
_SEARCH = Fields(date_of_birth="19791103", gender="2", family="CORRIEHILL", given="TAMSIN")
_GUESSES, _NEIGHBOURS, _POSTCODES = 8, 12, 8


def _lines(provider: ServedProvider, event: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in provider.log.read_bytes().splitlines() if line.startswith(b"{"))
    return [line for line in lines if line.get("event") == event]


def _alerts(provider: ServedProvider) -> list[tuple[str, str | None, int | None]]:
    told = [line for line in _lines(provider, "alert") if line["kind"].startswith("probing")]
    return [(line["reason"], line.get("client"), line.get("count")) for line in told]


def _search(provider: ServedProvider, postcode: str | None) -> str:
    plain = Request(service=Service.GET_NHS_NUMBER, now=datetime.now(UTC), fields=replace(_SEARCH, postcode=postcode))
    request = replace(plain, message_id=str(uuid.uuid4()).upper(), audit_ids=((None, ATTENDED),))
    connection = provider.connection()
    try:
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": request.soap_action}
        connection.request("POST", PATH, request.body(), headers)
        return code_of(connection.getresponse().read())
    finally:
        connection.close()


@contextmanager
def _paused(worker: int) -> Iterator[None]:
    """For so long, somebody else has to answer."""
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def _ask_all(provider: ServedProvider, numbers: Iterable[str]) -> set[str]:
    return {provider.ask(number=number).code for number in numbers}


def test_guessing_is_told_once_with_the_stated_call_by_all_workers_together(tmp_path: Path) -> None:
    with served(tmp_path / "state") as (provider, _):
        assert _ask_all(provider, [_MINE] * 20) == {"SMSP-0000"}
        assert _alerts(provider) == []

        assert _ask_all(provider, [_OTHER] * (_GUESSES // 2)) == {"DEMOG-0040"}
        worker = _lines(provider, "request-answered")[-1]["pid"]
        with _paused(worker):
            assert _ask_all(provider, [_OTHER] * (_GUESSES - _GUESSES // 2 - 1)) == {"DEMOG-0040"}
            assert _alerts(provider) == []
            assert _ask_all(provider, [_OTHER] * 3) == {"DEMOG-0040"}
        # Requests by number are counted a little after they were answered.
        assert len({line["pid"] for line in _lines(provider, "request-answered") if line["code"] == "DEMOG-0040"}) > 1
        client = _lines(provider, "request-answered")[-1]["username"]
        guessed = ("details-guessed", client, _GUESSES)
        wait_until(lambda: _alerts(provider) == [guessed])

        for turn in range(_POSTCODES + 3):
            assert _search(provider, None if turn % 2 else "ZZ13 3AA") == "SMSP-0000"
            expected = [guessed] if turn < _POSTCODES else [guessed, ("postcodes-tried", client, _POSTCODES)]
            assert _alerts(provider) == expected

        _ask_all(provider, [number.digits for number in islice(stems(999_500_000), 2 * _NEIGHBOURS - 1)])
        neighbours = ("neighbouring-numbers", client, _NEIGHBOURS)
        wait_until(lambda: _alerts(provider) == [guessed, ("postcodes-tried", client, _POSTCODES), neighbours])
        wait_until(lambda: b'smsp_alerts_total{kind="probing-suspected"} 3.0' in provider.ops_get("/metrics").body)
        log = provider.log.read_bytes()
        for clear in (_MINE, _OTHER, "CORRIEHILL", "TAMSIN", "19791103", "ZZ13"):
            assert clear.encode() not in log


def test_without_its_table_the_service_goes_on_and_each_worker_says_so_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "audit" / "probing.table").mkdir(mode=0o700, parents=True)
    (state / "audit").chmod(0o700)
    with served(state, workers=1) as (provider, _):
        assert _ask_all(provider, [_MINE, _OTHER] * 10) == {"SMSP-0000", "DEMOG-0040"}
        wait_until(lambda: bool(_lines(provider, "alert")))
        assert _ask_all(provider, [_MINE, _OTHER]) == {"SMSP-0000", "DEMOG-0040"}
    # At its end the worker counted what was left.
    assert [line["kind"] for line in _lines(provider, "alert")] == ["probing-watch-unavailable"]


def test_a_worker_that_is_told_to_end_counts_what_it_answered(tmp_path: Path) -> None:
    with served(tmp_path / "state", workers=1) as (provider, _):
        assert _ask_all(provider, [_OTHER] * _GUESSES) == {"DEMOG-0040"}
    assert [(reason, count) for reason, _, count in _alerts(provider)] == [("details-guessed", _GUESSES)]
