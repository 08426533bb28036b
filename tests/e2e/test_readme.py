"""The README's own commands, run as they stand: only the address of the sandbox differs."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_process import RunningSandbox, environment, running_sandbox

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def only(language: str, part: str) -> str:
    (found,) = [block for block in blocks(language) if part in block]
    return found


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme") / "state"


@pytest.fixture(scope="module")
def sandbox(state: Path) -> Iterator[RunningSandbox]:
    with running_sandbox(state) as running:
        yield running


def here(command: str, sandbox: RunningSandbox) -> str:
    for scheme, port in (("http", 8080), ("https", 8443)):
        command = command.replace(f"{scheme}://127.0.0.1:{port}/smsp/pds", sandbox.url(scheme))
    return command


@pytest.mark.slow
def test_the_zeep_client_verifies_a_number(sandbox: RunningSandbox) -> None:
    script = here(only("python", "zeep"), sandbox)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert 'code="SMSP-0000"' in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_the_curl_command_gets_the_answer(sandbox: RunningSandbox, state: Path) -> None:
    command = here(only("sh", "curl"), sandbox).replace("@state/", f"@{state}/")
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert 'code="SMSP-0000"' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_command_line_client_gets_the_answer(sandbox: RunningSandbox, state: Path, scheme: str) -> None:
    command = here(only("sh", f"smsp call verifyNHSNumber --url {scheme}:"), sandbox)
    words = shlex.split(command.replace(" state/", f" {state}/"))
    assert words[0] == ".venv/bin/smsp"
    done = subprocess.run(
        [sys.executable, "-m", "smsp_provider.cli", *words[1:]],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert "SMSP-0000" in done.stdout


def test_both_commands_of_a_newcomer_come_first_and_every_page_named_is_there() -> None:
    assert blocks("sh")[0].split() == ["make", "sandbox", "make", "test"]
    folder = "docs/reference/"
    named = re.findall(r"`((?:docs|config)/[\w./-]+|[A-Z]+\.md|LICENSE|Dockerfile|[a-z-]+\.md)`", README)
    for name in named:
        assert (ROOT / name).exists() or (ROOT / folder / name).exists(), name
