"""Where the schemas, the WSDL and the default configuration stand, in a checkout and in an installed wheel.

They live at the root of the project, beside ``src``; a wheel carries them inside the package, under ``_data`` (the
force-include table in ``pyproject.toml``). Nothing else in the code may know which of the two it is.
"""

from pathlib import Path
from typing import Final

__all__ = ["config_file", "schemas_directory", "wsdl_file"]

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_WSDL: Final = "PDSMiniServices-v1-0.wsdl"


def schemas_directory() -> Path:
    """The folder of the project's own schemas.

    Raises:
        FileNotFoundError: neither a checkout nor a whole wheel.
    """
    return _existing(_root() / "schemas")


def wsdl_file() -> Path:
    """The WSDL of the five services, with placeholder addresses and relative schema locations.

    Raises:
        FileNotFoundError: neither a checkout nor a whole wheel.
    """
    return _existing(_root() / "wsdl" / _WSDL)


def config_file(name: str) -> Path:
    """A file of the default configuration, by its bare name.

    Raises:
        ValueError: ``name`` is not a bare file name.
        FileNotFoundError: there is no such file.
    """
    if not name or Path(name).name != name or name == "..":
        raise ValueError("a configuration file is asked for by its bare name")
    return _existing(_root() / "config" / name)


def _root() -> Path:
    """A wheel's data folder where there is one, else the root of the checkout (the parent of ``src``)."""
    data = _PACKAGE / "_data"
    return data if data.is_dir() else _PACKAGE.parents[1]


def _existing(path: Path) -> Path:
    """The path itself, when something is there."""
    if not path.exists():
        raise FileNotFoundError(f"smsp-provider is installed incompletely: {path} is missing")
    return path
