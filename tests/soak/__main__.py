"""The watermark soak (safety.md, T1): ``python -m soak`` with ``src`` and ``tests`` on the path.

python -m soak                      200,000 answers, at most 10 minutes
python -m soak --mutants            each seeded mutant must be caught within a minute
python -m soak --mutant w1-off      one of them: ends with an error when it is caught, as a defect would
"""

import argparse
import sys
from collections.abc import Iterable

from soak.mutants import MUTANTS
from soak.run import Report, soak_in_process, soak_served

_SERVED_SHARE = 0.1
_MUTANT_SECONDS = 60.0
_MORE_THAN_ENOUGH = 10_000_000


def main() -> int:
    """Run what was asked for; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="soak", description="No answer ever carries a foreign watermark.")
    parser.add_argument("--answers", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=600.0, help="at most so long")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="seed this mutant into the provider")
    parser.add_argument("--mutants", action="store_true", help="seed each mutant in turn; each must be caught")
    given = parser.parse_args()
    if given.mutants:
        return _all_mutants()
    if given.mutant:
        return _told(f"with {given.mutant}", soak_in_process(given.answers, given.seconds, mutant=given.mutant))
    served = round(given.answers * _SERVED_SHARE)
    in_process = soak_in_process(given.answers - served, given.seconds)
    if in_process.problems:
        return _told("in process", in_process)
    over_http = soak_served(served, max(given.seconds - in_process.seconds, 1.0))
    code = _told("in process", in_process) | _told("served by gunicorn", over_http)
    missing = given.answers - in_process.answers - over_http.answers
    _say([f"{in_process.answers + over_http.answers} answers" + (f", {missing} too few" if missing > 0 else "")])
    return 1 if code or missing > 0 else 0


def _all_mutants() -> int:
    missed = 0
    for name in MUTANTS:
        report = soak_in_process(_MORE_THAN_ENOUGH, _MUTANT_SECONDS, mutant=name, kill_every=_MUTANT_SECONDS)
        caught = bool(report.foreign)
        missed += not caught
        verdict = f"caught after {report.seconds:.1f} s and {report.answers} answers" if caught else "NOT CAUGHT"
        _say([f"{name}: {verdict}"])
    return min(missed, 1)


def _told(title: str, report: Report) -> int:
    _say([f"{title}:", *(f"  {line}" for line in report.lines())])
    return 1 if report.problems else 0


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
