"""Runs a command of ``smsp`` in this process, as far as no child processes are involved."""

import sys
from dataclasses import dataclass

import pytest

from smsp_provider.cli.main import main

__all__ = ["Done", "run_main"]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


def run_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> Done:
    """Run ``smsp`` with these arguments, to its exit code."""
    monkeypatch.setattr(sys, "argv", ["smsp", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    written = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return Done(int(ended.value.code), written.out, written.err)
