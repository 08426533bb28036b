"""The harness's own data: cases, expectations, rules, templates. They travel with the package."""

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["data_tables", "data_text", "environment"]


def data_path(name: str) -> Path:
    """A file or folder of the package's ``data`` on disk: the package is never run from an archive."""
    return Path(str(files("smsp_provider.conformance") / "data" / name))


def data_text(name: str) -> str:
    """A file of the package's ``data`` folder, by its path there."""
    return (files("smsp_provider.conformance") / "data" / name).read_text(encoding="utf-8")


def data_tables(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The TOML files of a folder of ``data`` in the order of their names: file name and content."""
    for entry in sorted((files("smsp_provider.conformance") / "data" / folder).iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".toml"):
            yield entry.name, tomllib.loads(entry.read_text(encoding="utf-8"))


def environment() -> Environment:
    """Jinja2 over the templates of ``data``: everything is escaped, and an unknown name is an error."""
    return Environment(
        loader=PackageLoader("smsp_provider.conformance", "data"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
