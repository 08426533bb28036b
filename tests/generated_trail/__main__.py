"""``python -m generated_trail``: a trail of 30,000,000 records over 90 days, its search index, and how fast that is.

    python -m generated_trail trail DIRECTORY &     # 22 GB
    python -m generated_trail index DIRECTORY &     # 9 GB
    python -m generated_trail measure DIRECTORY

Some ten and twenty minutes on a core of their own; each can be stopped and taken up again.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from generated_trail.index import write_index
from generated_trail.measure import measure
from generated_trail.model import Scale
from generated_trail.trail import write_trail
from smsp_provider.storage.audit_keys import KeyRing, begin_key_ring


def _measure(directory: Path, ring: KeyRing, scale: Scale, count: int) -> None:
    click.echo("| search | rows | cold, median ms | cold, p99 ms | warm, median ms | warm, p99 ms | processor, ms |")
    click.echo("|---|---:|---:|---:|---:|---:|---:|")
    for figure in measure(directory, ring, scale, count):
        click.echo(figure.line())


@click.command()
@click.argument("part", type=click.Choice(["trail", "index", "measure"]))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--days", default=90)
@click.option("--records", default=30_000_000, help="Records in all.")
@click.option("--patients", default=800_000)
@click.option("--searches", default=100, help="Of each kind.")
def main(part: str, directory: Path, days: int, records: int, patients: int, searches: int) -> None:
    """Write the trail or its index, or measure searches."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ring = begin_key_ring(directory / "audit.keys", datetime.now(UTC))
    scale = Scale(days, records // 2 // days + 1, patients)
    parts: dict[str, Callable[[], None]] = {
        "trail": lambda: write_trail(directory / "audit.db", ring, scale),
        "index": lambda: write_index(directory / "audit-index.db", ring, scale),
        "measure": lambda: _measure(directory, ring, scale, searches),
    }
    parts[part]()


if __name__ == "__main__":
    main()
