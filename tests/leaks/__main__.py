"""Searches what servers wrote during the tests: ``python -m leaks FOLDER`` (see :mod:`kept_output`).

Exit code 1 when anything of a patient is found, or when there is too little to search: a run that kept nothing has
shown nothing. Prints how much was searched; of what is found the place and the kind, and what stands around it.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Final

import click

from leaks.search import Searcher
from leaks.values import OPENTEST, known_values

_MOST_SHOWN: Final = 20
_EXPECTED: Final = ("captured-", "fault-", "log-", "metrics-", "alerts-", "output-")
"""Of each of these there is some in a whole run."""


def main(folder: Path, *, is_whole: bool) -> int:
    """Search all files of a folder; the exit code."""
    values = known_values()
    searcher, searched, found, kinds = Searcher(values), 0, 0, Counter[str]()
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        content = file.read_bytes()
        searched += len(content)
        kinds.update(kind for kind in _EXPECTED if f"-{kind}" in file.name)
        for one in searcher.search(content):
            found += 1
            if found <= _MOST_SHOWN:
                click.echo(f"{file.name}: {one.kind}, {one.encoding}: {one.around!r}")
    opentest = "with" if OPENTEST.exists() else "without"
    click.echo(
        f"searched {searched:,} bytes in {sum(kinds.values())} files for {values.count():,} values, {opentest} Opentest"
    )
    click.echo(", ".join(f"{kind.rstrip('-')}: {count}" for kind, count in sorted(kinds.items())))
    missing = [kind.rstrip("-") for kind in _EXPECTED if not kinds[kind]]
    if found:
        click.echo(f"{found} values of patients were found")
    elif is_whole and missing:
        click.echo(f"nothing was kept of: {', '.join(missing)}")
    else:
        click.echo("no value of a patient was found")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), is_whole="--part" not in sys.argv[2:]))
