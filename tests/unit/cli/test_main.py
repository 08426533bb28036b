"""How the command line ends, addresses, and tables."""

import socket
import subprocess
import sys

import click
import pytest

from command_line import run_main
from sandbox_process import COMMAND, environment
from smsp_provider import __version__
from smsp_provider.cli.addresses import HostPort, free_port_near, host_port
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.cli.reference import reference
from smsp_provider.cli.table import print_table
from smsp_provider.cli.vocabulary import has_patient, meaning_of


def test_the_version_and_the_help_are_no_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = run_main(monkeypatch, capsys, "--version")
    assert (version.code, version.out) == (0, f"smsp, version {__version__}\n")
    assert run_main(monkeypatch, capsys, "sandbox", "--help").code == 0


@pytest.mark.parametrize("arguments", [["nonsense"], ["serve"], ["call", "nonsense"], ["sandbox", "--http", "8080"]])
def test_a_wrong_command_line_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run_main(monkeypatch, capsys, *arguments).code == ExitCode.USAGE


@pytest.mark.parametrize(("arguments", "meant"), [(["serv"], "'serve'"), (["audit", "verfy"], "'verify'")])
def test_a_mistyped_command_is_told_what_it_may_have_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], meant: str
) -> None:
    done = run_main(monkeypatch, capsys, *arguments)
    assert done.code == ExitCode.USAGE
    assert meant in done.err


def test_ctrl_c_before_the_end_is_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(reference, "invoke", lambda _context: interrupted())
    done = run_main(monkeypatch, capsys, "reference", "settings")
    assert done.code == 130
    assert done.err.endswith("smsp: interrupted\n")


def test_a_reader_that_has_seen_enough_gets_no_traceback() -> None:
    command = " ".join([*COMMAND, "simulate", "list", "--limit", "1000", "--scenarios"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=120,
    )
    assert done.stdout.startswith("what ")
    assert done.stderr == ""


def test_every_exit_code_has_a_meaning_of_its_own() -> None:
    meanings = [code.meaning for code in ExitCode]
    assert len(set(meanings)) == len(meanings)
    assert sorted(ExitCode) == [0, 1, 2, 3, 4, 5, 6, 130]


class TestAddresses:
    def test_addresses_are_read_and_written(self) -> None:
        assert host_port.convert("127.0.0.1:80", None, None) == HostPort("127.0.0.1", 80)
        assert str(host_port.convert("[::1]:80", None, None)) == "[::1]:80"

    @pytest.mark.parametrize("text", ["8080", "localhost:", ":80", "localhost:x", "localhost:70000", "localhost:٣"])
    def test_what_is_no_address_is_refused(self, text: str) -> None:
        with pytest.raises(click.BadParameter):
            host_port.convert(text, None, None)

    def test_a_taken_port_is_replaced_and_a_free_one_is_kept(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            taken = HostPort("127.0.0.1", server.getsockname()[1])
            assert not taken.is_free()
            others = [free_port_near(taken) for _ in range(5)]
            assert not {other.port for other in others} & {0, taken.port}
            # (One of them may be somebody else's by now.)
            assert any(free_port_near(other) == other for other in others)


def test_a_table_is_aligned_and_holds_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "name"), [("1", "x\x1b[31m"), ("234", "")])
    assert capsys.readouterr().out.splitlines() == ["a    name", "---  ------", "1    x [31m", "234"]


def test_codes_have_their_meanings() -> None:
    assert meaning_of("DEMOG-0001") == "No match"
    assert meaning_of("XYZ") == meaning_of(None) == ""
    assert [code for code in ("SMSP-0000", "DEMOG-0017", "DEMOG-0001", None) if has_patient(code)] == [
        "SMSP-0000",
        "DEMOG-0017",
    ]


def test_the_module_runs_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smsp_provider.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert __version__ in done.stdout
