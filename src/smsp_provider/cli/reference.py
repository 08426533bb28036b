"""``smsp reference``: the pages of the documentation that are made from the code, so that they cannot say otherwise.

The settings page comes from the settings model, the page of commands from the commands. A test compares both with what
stands in ``docs/reference``.
"""

import inspect
import json
import types
from collections.abc import Iterator
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin

import click
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from smsp_provider.audit.operator_events import AlertKind
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.config.settings import Settings
from smsp_provider.observe.alert_meanings import MEANINGS
from smsp_provider.observe.logs import alert_level

__all__ = ["alerts_page", "commands_page", "reference", "settings_page"]

_SETTINGS_INTRODUCTION: Final = """\
# Settings

Made from `src/smsp_provider/config` by `smsp reference settings`: do not edit.

The settings stand in one TOML file, which `smsp serve --config FILE` reads.
`config/provider.toml` is a complete example.
A variable of the environment stands over the file: `SMSP_SECTION__NAME`, in any case, e.g. `SMSP_LOG__LEVEL=debug`.
A table or a list is given there as JSON.
A name that does not exist is refused in the file and in a section's variables, and warned of elsewhere.
Relative paths count from the directory that the provider is started in.
`smsp config check --config FILE` shows every effective value with its origin, and checks every file that is named.

`environment = "live"` (the default) refuses every relaxed value: `server.http`, a TLS listener (`server.https`,
`server.proxy`) without `crl` or with `min_tls = "1.0"`, `spine.default_asid`, an `http://` URL in `spine.endpoint` or
`spine.endpoints`, `audit.synchronous = "NORMAL"`, an audit trail without `audit.keys` (or `audit.keys_variable`) and
`audit.signing_key`, one without a witness (`audit.witness_file` or `audit.witness_url`) for which
`audit.without_witness` gives no reason, audit records kept for less time than the page allows
(`audit.retention_exchanges_days`, `audit.retention_administration_days`, `audit.retention_refusals_days`),
`clients.policy = "any"`,
`clients.database` on another host without `sslmode=verify-full`, `security.username = "ignore"`,
`security.signatures = "ignore"`, `security.allow_sha1`, `operators.policy = "os-user"`, and less protection of
operators' accounts than the page allows (`operators.password_length`, `operators.passwords_remembered`,
`operators.password_days`, `operators.lockout_attempts`, `operators.lockout_free`, `operators.lockout_first_seconds`,
`operators.lockout_longest_seconds`, `operators.idle_minutes`, `operators.session_hours`, `operators.enrolment_hours`,
`operators.argon2_memory_mib`, `operators.argon2_passes`), an `http://` URL in `alerts.webhook`; where PDS FHIR is
used, `pds_fhir.access = "none"` and an `http://` URL in `pds_fhir.base_url` or `pds_fhir.token_url` too; and an
`upstream.compare_part` above 0.01.
"""

_COMMANDS_INTRODUCTION: Final = """\
# Commands

Made from the commands themselves by `smsp reference commands`: do not edit.

`smsp` is the command of an installed package; in a checkout it is `.venv/bin/smsp`, and `python -m smsp_provider.cli`
is the same.

## Exit codes

| code | name | meaning |
|---|---|---|
"""

_ALERTS_INTRODUCTION: Final = """\
# Alerts

Made from `observe/alert_meanings.py` by `smsp reference alerts`: do not edit.

An alert is a line of the operator log with `"event":"alert"`, and goes to the sinks of the section `[alerts]`
(how-to/alerts.md). `kind` is one of these. `reason` names what it is about, a field, a rule or a kind of failure, and
never anything of a patient. `exchange_id`, where there is one, leads to the audit trail.

| kind | level | what has happened | what to do |
|---|---|---|---|
"""

_KINDS: Final = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", date: "date"}


@click.group(hidden=True)
def reference() -> None:
    """Print the pages of docs/reference that are made from the code."""


@reference.command("settings")
def settings_command() -> None:
    """Print docs/reference/settings.md."""
    click.echo(settings_page(), nl=False)


@reference.command("alerts")
def alerts_command() -> None:
    """Print docs/reference/alerts.md."""
    click.echo(alerts_page(), nl=False)


@reference.command("commands")
@click.pass_context
def commands_command(context: click.Context) -> None:
    """Print docs/reference/commands.md."""
    root = context.find_root().command
    click.echo(commands_page(root), nl=False)


def alerts_page() -> str:
    """The whole page of alerts, in Markdown."""
    rows = [
        f"| `{kind.value}` | {alert_level(kind).name.lower()} | {MEANINGS[kind].what} | {MEANINGS[kind].todo} |\n"
        for kind in AlertKind
    ]
    return _ALERTS_INTRODUCTION + "".join(rows)


def settings_page() -> str:
    """The whole page of settings, in Markdown."""
    parts = [_SETTINGS_INTRODUCTION, "## Outside the sections\n", _settings_table(Settings, "")]
    for name, section in _sections(Settings, ""):
        parts += [f"## [{name}]\n", f"{_summary(section)}\n", _settings_table(section, name)]
    return "\n".join(parts)


def _sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        section = _section_of(field.annotation)
        if section is not None:
            yield f"{prefix}{name}", section
            yield from _sections(section, f"{prefix}{name}.")


def _section_of(annotation: object) -> type[BaseModel] | None:
    """The section that a field holds, through ``| None``; None for a plain value."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _summary(section: type[BaseModel]) -> str:
    return inspect.cleandoc(section.__doc__ or "").replace("``", "`")


def _settings_table(model: type[BaseModel], prefix: str) -> str:
    lines = ["| setting | kind | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if _section_of(field.annotation) is None:
            variable = "SMSP_" + "__".join([*(prefix.split(".") if prefix else ()), name]).upper()
            setting = f"`{name}`<br>`{variable}`"
            lines.append(f"| {setting} | {_kind(field)} | {_default(field)} | {field.description or ''} |")
    return "\n".join(lines) + "\n"


def _kind(field: FieldInfo) -> str:
    kind = _kind_of(field.annotation)
    bounds = [text for constraint in field.metadata if (text := _bound(constraint))]
    return ", ".join([kind, *bounds])


def _kind_of(annotation: Any) -> str:  # noqa: ANN401 - an annotation can be anything
    origin = get_origin(annotation)
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if origin in (Union, types.UnionType, Annotated):
        return _kind_of(arguments[0])
    if origin is tuple:
        return f"list of {_kind_of(arguments[0])}"
    if origin is dict:
        return f"table of {_kind_of(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    return _KINDS[annotation]


def _bound(constraint: object) -> str:
    match constraint:
        case Gt(gt=least):
            return f"more than {least}"
        case Ge(ge=least):
            return f"at least {least}"
        case Le(le=most):
            return f"at most {most}"
        case _:
            pattern = getattr(constraint, "pattern", None)
            return f"`{pattern}`".replace("|", "\\|") if pattern else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", (), {}) or value is PydanticUndefined:
        return ""
    if isinstance(value, Enum):
        return f"`{value.value}`"
    # As it is written in the file: true and false, and lists, are the same in TOML and JSON.
    return f"`{json.dumps(value) if isinstance(value, bool | tuple) else value}`"


def commands_page(root: click.Command) -> str:
    """The whole page of commands, in Markdown; ``root`` is ``smsp`` itself."""
    codes = "".join(f"| {code.value} | {code.name} | {code.meaning} |\n" for code in ExitCode)
    parts = [_COMMANDS_INTRODUCTION + codes]
    for path, command in _commands(root, ("smsp",)):
        context = click.Context(command, info_name=" ".join(path))
        summary = "\n".join(line.strip() for line in (command.help or "").splitlines()).strip()
        usage = " ".join(command.collect_usage_pieces(context))
        parts.append(f"## {' '.join(path)}\n\n{summary}\n\n```\n{' '.join(path)} {usage}\n```\n{_options(command)}")
    return "\n".join(parts)


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, by its words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None and not child.hidden:
            yield from _commands(child, (*path, name))


def _options(command: click.Command) -> str:
    rows = []
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            record = parameter.get_help_record(click.Context(command))
            if record is not None:
                option, meaning = (text.replace("|", "\\|") for text in record)
                rows.append(f"| `{option}` | {meaning} |")
    return "\n| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
