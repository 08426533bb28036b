"""The tamper test: ``python -m tamper`` with ``src`` and ``tests`` on the path.

python -m tamper                    200 manipulations of trails in SQLite, and 200 in PostgreSQL
python -m tamper --seed 7 --on sqlite
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from tamper.manipulations import MANIPULATIONS
from tamper.postgres import PostgresScene
from tamper.run import SWAPS, Tally, manipulate
from tamper.scene import Place, Scene, SqliteScene

_PLACES: dict[str, Callable[[Path], Place]] = {"sqlite": SqliteScene, "postgresql": PostgresScene}


def main() -> int:
    """Run what was asked for; 0 when all was found."""
    parser = argparse.ArgumentParser(prog="tamper", description="Every manipulation of an audit trail is found.")
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--on", choices=sorted(_PLACES), action="append")
    given = parser.parse_args()
    return max(_run(name, given.number, given.seed) for name in given.on or _PLACES)


def _run(name: str, number: int, seed: int) -> int:
    every = [*MANIPULATIONS, *SWAPS]
    random, tally = Random(seed), Tally()
    # Each at least once, where there is room for that.
    chosen = [*every, *random.choices(every, k=max(0, number - len(every)))][:number]
    with tempfile.TemporaryDirectory(prefix="tamper-") as directory:
        scene = Scene(Path(directory), _PLACES[name](Path(directory)))
        for outcome in manipulate(scene, chosen, random):
            tally.count(outcome)
    lines = [
        f"{name}, seed {seed}: {number} manipulations of {len(tally.done)} kinds, {scene.roots} roots",
        f"  not found:                          {len(tally.missed)}",
        f"  the changed place named:            {tally.named}",
        f"  found, and another place named:     {len(tally.unnamed)}",
        f"  found, where no place can be named: {number - tally.named - len(tally.missed) - len(tally.unnamed)}",
        f"  seconds for a verification:         {tally.seconds / number:.3f}",
    ]
    lines.extend(
        f"  {outcome.name}: {outcome.sought}: {outcome.findings[:3]}" for outcome in (*tally.missed, *tally.unnamed)
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if tally.missed or tally.unnamed else 0


if __name__ == "__main__":
    raise SystemExit(main())
