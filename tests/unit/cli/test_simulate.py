"""`smsp simulate load` and `list`; `serve` has a test with a real process."""

from pathlib import Path

import pytest

from command_line import run_main
from smsp_provider.simulator.loader import COLUMNS
from smsp_provider.simulator.population import patients, scenarios

ROW = {
    "NHS_NUMBER": "9990000018",
    "DATE_OF_BIRTH": "19710523",
    "FAMILY_NAME": "QUILLFEATHER",
    "GIVEN_NAME": "ORLA",
    "GENDER": "Female",
    "POST_CODE": "ZZ99 9ZZ",
}


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
