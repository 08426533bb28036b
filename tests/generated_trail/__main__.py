"""``python -m generated_trail DIRECTORY``: a trail of 30,000,000 records over 90 days, and its search index.

Takes some 30 GB and, with both parts at once (``trail`` and ``index``, in two shells), less than an hour. Each part can
be stopped and taken up again.
"""

from datetime import UTC, datetime
from pathlib import Path

import click

from generated_trail.index import write_index
from generated_trail.model import Scale
from generated_trail.trail import write_trail
from smsp_provider.storage.audit_keys import begin_key_ring


@click.command()
@click.argument("part", type=click.Choice(["trail", "index"]))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--days", default=90)
@click.option("--records", default=30_000_000, help="Records in all.")
@click.option("--patients", default=800_000)
def generate(part: str, directory: Path, days: int, records: int, patients: int) -> None:
    """Write the trail, or its index."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ring = begin_key_ring(directory / "audit.keys", datetime.now(UTC))
    scale = Scale(days, records // 2 // days + 1, patients)
    if part == "trail":
        write_trail(directory / "audit.db", ring, scale)
    else:
        write_index(directory / "audit-index.db", ring, scale)


if __name__ == "__main__":
    generate()
