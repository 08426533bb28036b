"""``smsp reference``: prints the pages of the documentation that are made from the code."""

import click

__all__ = ["reference"]


@click.group(hidden=True)
def reference() -> None:
    """Print."""
