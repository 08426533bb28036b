"""`smsp simulate load` and `list`; `serve` has a test with a real process."""

import contextlib
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import run_main
from smsp_provider.simulator.loader import COLUMNS
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.population import patients, scenarios

ROW = {
    "NHS_NUMBER": "9990000018",
    "DATE_OF_BIRTH": "19710523",
    "FAMILY_NAME": "QUILLFEATHER",
    "GIVEN_NAME": "ORLA",
    "GENDER": "Female",
    "POST_CODE": "ZZ99 9ZZ",
}


OUR_TABLE = "PRAGMA user_version=1; CREATE TABLE patient (nhs_number TEXT, document TEXT); "


@pytest.fixture
def signals() -> Iterator[None]:
    """`serve` takes the signals of its process, which is the one of the tests here."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def csv_file(folder: Path, *rows: dict[str, str]) -> Path:
    file = folder / "patients.csv"
    lines = [",".join(COLUMNS), *(",".join(row.get(column, "") for column in COLUMNS) for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_file_is_loaded_and_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "store.db"
    done = run_main(monkeypatch, capsys, "simulate", "load", csv_file(tmp_path, ROW), "--store", store)
    assert done.code == 0, done.err
    assert f"{store}: 1 patients" in done.out
    listed = run_main(monkeypatch, capsys, "simulate", "list", "--store", store)
    assert listed.out.splitlines()[2].split() == ["9990000018", "QUILLFEATHER", "ORLA", "19710523", "2", "ZZ99", "9ZZ"]


def test_a_line_that_cannot_be_used_is_told_without_its_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = csv_file(tmp_path, ROW, {**ROW, "NHS_NUMBER": "9990000019"})
    done = run_main(monkeypatch, capsys, "simulate", "load", file, "--store", tmp_path / "store.db")
    assert done.code == 1
    assert "line 3: NHS_NUMBER" in done.err
    assert "9990000019" not in done.err


def test_generated_and_shipped_patients_are_loaded_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "store.db"
    done = run_main(monkeypatch, capsys, "simulate", "load", "--population", "--generate", "25", "--store", store)
    assert done.code == 0
    assert f"{store}: {len(patients()) + 25} patients" in done.out


def test_nothing_to_load_and_a_file_of_something_else_are_readable_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_main(monkeypatch, capsys, "simulate", "load", "--store", tmp_path / "a.db").code == 2
    other = tmp_path / "other.db"
    other.write_text("this is no database, and longer than a header of one would be: " * 20)
    done = run_main(monkeypatch, capsys, "simulate", "load", "--population", "--store", other)
    assert done.code == 3
    assert str(other) in done.err
    table = tmp_path / "table.csv"
    table.write_text("a,b\n")
    done = run_main(monkeypatch, capsys, "simulate", "load", table, "--store", tmp_path / "b.db")
    assert done.code == 3
    assert "table.csv has no column" in done.err


def test_the_list_can_be_paged_and_narrowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_main(monkeypatch, capsys, "simulate", "list", "--limit", "2").out.splitlines()
    assert first[-1] == f"2 of {len(patients())} patients"
    last_number = first[-2].split()[0]
    second = run_main(monkeypatch, capsys, "simulate", "list", "--limit", "1", "--after", last_number).out.splitlines()
    assert second[2].split()[0] > last_number
    family = run_main(monkeypatch, capsys, "simulate", "list", "--family", "alderwick").out.splitlines()
    assert [line.split()[1] for line in family[2:-1]] == ["ALDERWICK"]


def test_the_scenarios_tell_what_to_ask_and_what_comes_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = run_main(monkeypatch, capsys, "simulate", "list", "--scenarios").out.splitlines()
    assert len(lines) == 2 + len(scenarios())
    stuck = run_main(monkeypatch, capsys, "simulate", "list", "--scenarios", "--family", "stuckley").out.splitlines()
    assert len(stuck) == 3
    assert stuck[2].split()[-4:] == ["SMSP-0004"] * 4


@pytest.mark.parametrize("arguments", [["--cert", "KEY"], ["--key", "KEY"], ["--client-ca", "KEY"]])
def test_half_a_tls_identity_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str]
) -> None:
    key = tmp_path / "key.pem"
    key.write_text("")
    given = [str(key) if argument == "KEY" else argument for argument in arguments]
    assert run_main(monkeypatch, capsys, "simulate", "serve", *given).code == 2


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("name", ["faults.json", "faults.toml"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x = " + b"[" * 50_000, b"[" * 100_000])
def test_a_faults_file_that_cannot_be_read_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, content: bytes
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    done = run_main(monkeypatch, capsys, "simulate", "serve", "--listen", "127.0.0.1:0", "--faults", file)
    assert done.code == 2
    assert str(file) in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--delay", "inf"),
        ("serve", "--delay", "nan"),
        ("serve", "--delay", "1e300"),
        ("serve", "--listen", "a\x00b:80"),
        ("serve", "--listen", "a" * 70 + ".example:80"),
        ("list", "--limit", "9" * 30),
        ("list", "--limit", "0"),
        ("list", "--family", "\udcff"),
        ("list", "--scenarios", "--family", "\udcff"),
        ("list", "--after", "\udcff"),
    ],
)
def test_values_that_nothing_can_be_done_with_are_usage_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    done = run_main(monkeypatch, capsys, "simulate", *arguments)
    assert done.code == 2
    assert arguments[-2] in done.err


@pytest.mark.parametrize(
    ("tables", "document"),
    [
        ("CREATE TABLE other (x TEXT);", None),
        ("CREATE TABLE other (x TEXT); PRAGMA user_version=1;", None),
        (OUR_TABLE, None),
        (OUR_TABLE, "x"),
        (OUR_TABLE, "{}"),
    ],
    ids=["no version", "our version", "a table of our name", "no document", "another document"],
)
@pytest.mark.parametrize("command", [["list"], ["load", "--generate", "1"]], ids=["list", "load"])
def test_a_database_of_another_program_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tables: str,
    document: str | None,
    command: list[str],
) -> None:
    file = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.executescript(tables)
        if document is not None:
            database.execute("INSERT INTO patient VALUES ('1', ?)", (document,))
            database.commit()
    done = run_main(monkeypatch, capsys, "simulate", *command, "--store", file)
    assert done.code == 3
    assert done.err == f"smsp: {file}: the file is not a patient store of this version\n"


def test_a_store_that_fails_while_it_is_used_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(PatientStore, "add_all", full)
    file = tmp_path / "store.db"
    done = run_main(monkeypatch, capsys, "simulate", "load", "--generate", "1", "--store", file)
    assert (done.code, done.err) == (3, f"smsp: {file}: database or disk is full\n")
