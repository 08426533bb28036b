"""Where each effective setting comes from: the default, the file or the environment.

The same sources that make the settings are asked one by one, so that this can say nothing else than what was loaded.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import click
from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from smsp_provider.cli.exit_codes import UnusableConfiguration
from smsp_provider.cli.files import refuse_irregular
from smsp_provider.config.settings import Settings, load_settings

__all__ = [
    "EffectiveValue",
    "Origin",
    "config_option",
    "effective_values",
    "print_warnings",
    "read_settings",
    "unknown_variables",
]

_PREFIX: Final = "SMSP_"

config_option: Final = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    required=True,
    help="TOML file of the settings; variables SMSP_SECTION__NAME stand over it.",
)
"""The option of every command that works on a provider's settings."""


class Origin(Enum):
    """Who set a value."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class EffectiveValue:
    """A setting by its dotted name, its value as text (empty for none), and its origin."""

    name: str
    value: str
    origin: Origin


def read_settings(file: Path) -> Settings:
    """The settings of a file and the environment.

    Raises:
        UnusableConfiguration: with a text that names file, setting and what is wrong with it.
    """
    try:
        refuse_irregular(file)
    except ValueError as error:
        raise UnusableConfiguration(str(error)) from None
    try:
        return load_settings(file)
    except OSError as error:
        raise UnusableConfiguration(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableConfiguration(f"{file}: is not TOML: {error}") from None
    except RecursionError:
        # The parsers of TOML and JSON go down one call a level.
        raise UnusableConfiguration(f"{file}: the settings or a variable of them are nested too deeply") from None
    except ValidationError as error:
        raise UnusableConfiguration(f"{file}: the settings cannot be used\n{_explained(error)}") from None
    except ValueError as error:
        # A variable that has to be JSON (a whole section, a list or a table) and is not; the value is not repeated.
        raise UnusableConfiguration(f"environment: {str(error).splitlines()[0]}") from None


def _explained(error: ValidationError) -> str:
    """One line for each mistake: the setting, what is wrong, and the word for a name that does not exist."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in problem["loc"]) or "settings"
        text = "there is no such setting" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"  {name}: {text.removeprefix('Value error, ')}")
    return "\n".join(lines)


def effective_values(file: Path, settings: Settings) -> Iterator[EffectiveValue]:
    """Every setting in the order of the model. ``settings`` is what :func:`read_settings` made of ``file``."""
    environment = EnvSettingsSource(Settings)()
    in_file = TomlConfigSettingsSource(Settings, toml_file=file)()
    yield from _walk(settings, environment, in_file, ())


def _walk(
    model: BaseModel, environment: Mapping[str, object], in_file: Mapping[str, object], path: tuple[str, ...]
) -> Iterator[EffectiveValue]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        here = (*path, name)
        if isinstance(value, BaseModel):
            yield from _walk(value, environment, in_file, here)
            continue
        origin = Origin.DEFAULT
        if _holds(environment, here):
            origin = Origin.ENVIRONMENT
        elif _holds(in_file, here):
            origin = Origin.FILE
        yield EffectiveValue(".".join(here), _shown(value), origin)


def _holds(source: Mapping[str, object], path: tuple[str, ...]) -> bool:
    found: object = source
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_shown(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def unknown_variables() -> tuple[str, ...]:
    """Variables with our prefix that set nothing: a section refuses a typo, the environment as such does not."""
    known = tuple(f"{_PREFIX}{name}".upper() for name in Settings.model_fields)
    return tuple(
        sorted(
            name
            for name in os.environ
            if name.upper().startswith(_PREFIX)
            and name.upper() not in known
            and not name.upper().startswith(tuple(f"{section}__" for section in known))
        )
    )


def print_warnings(settings: Settings) -> None:
    """Tell the operator on standard error what is allowed and still worth a look."""
    for text in settings.warnings():
        click.echo(f"warning: {text}", err=True)
    for name in unknown_variables():
        click.echo(f"warning: the environment variable {name} sets nothing", err=True)
