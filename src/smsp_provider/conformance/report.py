"""The report of a run as one HTML page that needs nothing beside it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from smsp_provider.conformance.datafiles import environment
from smsp_provider.conformance.evidence import Result, Run, Verdict, printable
from smsp_provider.conformance.transport import Exchange

__all__ = ["html_report"]

_SHOWN_BYTES: Final = 12_000
"""What the page shows of one message; the rest stands in the raw file beside it."""

_AREAS: Final = {
    "SM": "The services",
    "DE": "The distribution envelope",
    "SO": "SOAP, addressing and security",
    "ER": "HTTP, XML and the form of faults",
    "RQ": "Requests that came",
    "CL": "What the client met",
    "FI": "Files",
}


@dataclass(frozen=True, slots=True)
class _Area:
    name: str
    results: tuple[Result, ...]

    def count(self, verdict: str) -> int:
        return sum(1 for result in self.results if result.verdict == verdict)


@dataclass(frozen=True, slots=True)
class _Requirement:
    id: str
    verdicts: Counter[Verdict]

    def count(self, verdict: str) -> int:
        return self.verdicts[Verdict(verdict)]


def html_report(run: Run) -> str:
    """The page."""
    template = environment().get_template("report.html.j2")
    return template.render(
        run=run,
        verdicts=list(Verdict),
        areas=_areas(run.results),
        requirements=_requirements(run.results),
        failed=[result for result in run.results if result.verdict is Verdict.FAILED],
        request_text=_request_text,
        answer_text=_answer_text,
        printable=printable,
    )


def _areas(results: Sequence[Result]) -> list[_Area]:
    def prefix(result: Result) -> str:
        return result.id.partition("_")[0]

    return [
        _Area(_AREAS.get(key, "Cases of one's own"), tuple(group))
        for key, group in groupby(
            sorted(
                results,
                key=lambda result: list(_AREAS).index(prefix(result)) if prefix(result) in _AREAS else len(_AREAS),
            ),
            prefix,
        )
    ]


def _requirements(results: Iterable[Result]) -> list[_Requirement]:
    counts: dict[str, Counter[Verdict]] = {}
    for result in results:
        for requirement in result.requirements:
            counts.setdefault(requirement, Counter())[result.verdict] += 1
    return [_Requirement(key, counts[key]) for key in sorted(counts)]


def _request_text(exchange: Exchange) -> str:
    head = "".join(f"{name}: {value}\n" for name, value in exchange.request_headers)
    return printable(f"{exchange.request_line}\n{head}\n") + _text(exchange.request)


def _answer_text(exchange: Exchange) -> str:
    answer = exchange.answer
    if answer is None:
        return f"(no answer: {exchange.problem})"
    head = "".join(f"{name}: {value}\n" for name, value in answer.headers)
    return printable(f"HTTP {answer.status}\n{head}\n") + _text(answer.body)


def _text(body: bytes) -> str:
    shown = printable(body[:_SHOWN_BYTES].decode("utf-8", errors="replace"))
    hidden = len(body) - _SHOWN_BYTES
    return f"{shown}\n... {hidden} bytes more in the folder messages" if hidden > 0 else shown
