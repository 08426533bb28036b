"""Commands that are imported when they are asked for, and the garbage collector meanwhile."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from smsp_provider.cli.lazy import LazyGroup

_GOOD = "import gc\nimport click\n\ncollected = gc.isenabled()\nhello = click.Command('hello')\n"


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LazyGroup]:
    """A group whose commands stand in modules of their own, which nobody has imported."""
    (tmp_path / "lazy_good.py").write_text(_GOOD)
    (tmp_path / "lazy_broken.py").write_text("import a_module_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield LazyGroup("group", places={"hello": "lazy_good:hello", "broken": "lazy_broken:hello"})
    for name in ("lazy_good", "lazy_broken"):
        sys.modules.pop(name, None)


@pytest.fixture
def context(group: LazyGroup) -> click.Context:
    return click.Context(group)


def test_a_command_is_imported_when_it_is_asked_for(group: LazyGroup, context: click.Context) -> None:
    assert group.list_commands(context) == ["hello", "broken"]
    assert "lazy_good" not in sys.modules
    command = group.get_command(context, "hello")
    assert command is sys.modules["lazy_good"].hello
    assert group.get_command(context, "hello") is command
    assert group.get_command(context, "another") is None


def test_nothing_is_collected_during_an_import_and_everything_else_is(group: LazyGroup, context: click.Context) -> None:
    group.get_command(context, "hello")
    assert not sys.modules["lazy_good"].collected
    assert gc.isenabled()


def test_an_import_that_fails_leaves_the_collector_as_it_was(group: LazyGroup, context: click.Context) -> None:
    with pytest.raises(ModuleNotFoundError):
        group.get_command(context, "broken")
    assert gc.isenabled()
    gc.disable()
    try:
        group.get_command(context, "hello")
        assert not gc.isenabled()
    finally:
        gc.enable()
