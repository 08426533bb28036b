"""The search for patients' values finds what is there, however it is written, and nothing that only looks like it."""

import base64
import gzip
import html
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from kept_output import FOLDER_VARIABLE, keep
from leaks.search import Searcher
from leaks.values import ROOT, Values, known_values
from sandbox_process import environment
from smsp_provider.simulator.population import patients

pytestmark = pytest.mark.rule("IFC-LOG-02")

_PERSON = next(one for one in patients() if one.telecoms and one.addresses and one.names[0].given)
_ADDRESS = _PERSON.addresses[0]
_LEAKS: dict[str, str] = {
    "number": _PERSON.nhs_number,
    "grouped number": f"{_PERSON.nhs_number[:3]} {_PERSON.nhs_number[3:6]} {_PERSON.nhs_number[6:]}",
    "family name and forename": f"{_PERSON.names[0].family}, {_PERSON.names[0].given[0]}".lower(),
    "postcode": str(_ADDRESS.postcode),
    "postcode without a blank": str(_ADDRESS.postcode).replace(" ", ""),
    "address line": next(line for line in _ADDRESS.lines if line and any(map(str.isdigit, line))),
    "telephone number": _PERSON.telecoms[0].value.removeprefix("tel:"),
}
_WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 within more": lambda text: base64.b64encode(f"<x>{text}</x>".encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"??>>{text}".encode()).decode(),
    "base64 of gzip": lambda text: base64.b64encode(gzip.compress(text.encode())).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(f"<x>{text}</x>".encode())).decode(),
    "percent-encoding": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "a query": lambda text: f"/patient?q={quote(text)}",
    "HTML references": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "HTML": lambda text: f"<td>{html.escape(text)}</td>",
    "JSON escapes": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"reason": f"\n{text}"})),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal with blanks": lambda text: text.encode().hex(" ").upper(),
    "a traceback": lambda text: f"ValueError: invalid literal for int(): {text!r}",
}


@pytest.fixture(scope="module")
def searcher() -> Searcher:
    return Searcher(known_values())


@pytest.mark.parametrize("leak", _LEAKS)
@pytest.mark.parametrize("written", _WRITTEN)
def test_a_seeded_leak_is_found(searcher: Searcher, leak: str, written: str) -> None:
    line = f'{{"at":"2026-03-01T12:00:00Z","reason":"about {_WRITTEN[written](_LEAKS[leak])} here"}}'
    assert list(searcher.search(b"harmless\n" + line.encode() + b"\nharmless\n")), "nothing was found"


@pytest.mark.parametrize(
    "line",
    [
        '{"at":"2026-11-21T15:14:57.123456Z","level":"info","event":"request-answered","pid":9990000034000}',
        'smsp_request_seconds_sum{service="x"} 0.9990000034',
        '{"exchange_id":"F56E9300-F7BD-4519-A953-3647000B3455"}',
        "urn:uuid:9D2F1C80-7B1E-4B5C-9C0A-1E6A52F4A7D1 9990000035 is no NHS number",
        "the name of a field is wrong, see the given name in the family of services",
    ],
    ids=["a log line", "a metric", "an id with such digits", "an id, and a wrong check digit", "words"],
)
def test_what_only_looks_like_it_is_not_found(searcher: Searcher, line: str) -> None:
    assert list(searcher.search(line.encode())) == []


def test_the_number_of_somebody_known_is_found_within_an_id_too(searcher: Searcher) -> None:
    number = _LEAKS["number"]
    line = f"F56E9300-F7BD-4519-A{number[:3]}-{number[3:]}B3455".encode()
    assert [found.kind for found in searcher.search(line)] == ["NHS number"]


def test_a_name_that_is_another_word_needs_its_forename() -> None:
    values = Values()
    values.add_name("Green", ["Mary Ann", "Ann"])
    searcher = Searcher(values)
    assert list(searcher.search(b"the state is green")) == []
    assert list(searcher.search(b"green and ann"))


def _program(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    variables = {**environment(), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
    command = [sys.executable, "-m", "leaks", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


def test_the_program_fails_for_a_leak_and_for_a_run_that_kept_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    keep("log", "all is well\n")
    clean, empty = _program(tmp_path, "--part"), _program(tmp_path)
    assert (clean.returncode, empty.returncode) == (0, 1)
    assert "searched 12 bytes" in clean.stdout
    assert "nothing was kept of: " in empty.stdout
    keep("fault", _WRITTEN["base64"](_LEAKS["number"]))
    leaky = _program(tmp_path, "--part")
    assert leaky.returncode == 1
    assert "NHS number, base64" in leaky.stdout
