"""What differs between two runs: verdicts, expectations, the form of answers. Ids and times are not differences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Difference", "changed_facts", "differences"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. ``worse``: the second run proves less than the first."""

    case: str
    text: str
    worse: bool = False


def changed_facts(first: Row, second: Row) -> Iterator[str]:
    """What the runs were not alike in before they began: address, population, capabilities, harness."""
    before, after = first["facts"], second["facts"]
    for name in dict.fromkeys((*before, *after)):
        if name != "time" and before.get(name) != after.get(name):
            yield f"{name}: {before.get(name, 'not told')} became {after.get(name, 'not told')}"


def differences(first: Row, second: Row) -> Iterator[Difference]:
    """The differences of two runs as :func:`evidence.read_run` gives them, in the order of the case ids."""
    before = {row["id"]: row for row in first["results"]}
    after = {row["id"]: row for row in second["results"]}
    for case in sorted(before.keys() | after.keys()):
        if case not in after:
            yield Difference(case, "is not in the second run", worse=before[case]["verdict"] == "passed")
        elif case not in before:
            yield Difference(case, f"is new: {after[case]['verdict']}", worse=after[case]["verdict"] == "failed")
        else:
            yield from _of_case(case, before[case], after[case])


def _of_case(case: str, before: Row, after: Row) -> Iterator[Difference]:
    if before["verdict"] != after["verdict"]:
        worse = before["verdict"] == "passed" or after["verdict"] == "failed"
        reason = f" ({after['reason']})" if after["reason"] else ""
        yield Difference(case, f"{before['verdict']} became {after['verdict']}{reason}", worse=worse)
        return
    held = {finding["check"] for finding in before["findings"] if finding["holds"]}
    lost = [finding["check"] for finding in after["findings"] if not finding["holds"] and finding["check"] in held]
    if lost:
        yield Difference(case, f"no longer holds: {', '.join(lost)}", worse=True)
    if before.get("status") != after.get("status"):
        yield Difference(case, f"HTTP {before.get('status')} became {after.get('status')}")
    elif before.get("answer_form_sha256") != after.get("answer_form_sha256"):
        yield Difference(case, "the answer says something else (beyond ids and times)")
