"""``smsp upstream``: what the comparison of two ways to PDS has found so far."""

from collections import Counter
from pathlib import Path

import click

from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import CannotStart, ExitCode
from smsp_provider.cli.table import print_table
from smsp_provider.engine.comparison import Comparison
from smsp_provider.wiring.upstream import comparison_file

__all__ = ["upstream"]


@click.group()
def upstream() -> None:
    """The ways to PDS."""


@upstream.command()
@config_option
def compare(config_file: Path) -> int:
    """Report what two ways to PDS said to the same queries (settings upstream.compare_with and following).

    Kinds of answers, codes and names of fields; nothing of any patient is kept.
    Exit code 1 where something differs.
    """
    kept = comparison_file(read_settings(config_file))
    try:
        found = list(kept.read())
    except FileNotFoundError:
        raise CannotStart("nothing has been compared yet") from None
    except OSError as error:
        raise CannotStart(f"{error.filename}: {error.strerror}") from None
    said = Counter((one.query, one.answered, one.compared, ", ".join(one.fields)) for one in found)
    rows = [(*key, str(count)) for key, count in sorted(said.items())]
    print_table(("query", "answered", "compared", "different fields", "times"), rows)
    differing = sum(_differs(one) for one in found)
    click.echo(f"\n{len(found)} queries compared, {differing} answered differently")
    return ExitCode.UNEXPECTED if differing else ExitCode.OK


def _differs(comparison: Comparison) -> bool:
    return bool(comparison.fields) or comparison.answered != comparison.compared
