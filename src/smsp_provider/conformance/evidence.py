"""What a run leaves behind: verdicts with their reasons, and the raw messages with their times and hashes.

The folder of a run: ``run.json`` (what `compare` reads), ``report.html``, ``junit.xml``, ``messages/`` with one file a
request and one an answer, as HTTP. It holds whatever the messages held: run with test patients only.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from lxml import etree

from smsp_provider.conformance.expectations import Finding
from smsp_provider.conformance.transport import Exchange

__all__ = ["Result", "Run", "UnreadableRun", "Verdict", "read_run", "write_run"]

_FORMAT: Final = 1
_VOLATILE: Final = re.compile(
    rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z"
    rb"|https?://[^/<\"]+"
)
_UNPRINTABLE: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Verdict(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


class UnreadableRun(ValueError):
    """A folder holds no run of this harness."""


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """One case and what became of it. ``exchange`` is None for a case that was not run: ``reason`` says why."""

    id: str
    purpose: str
    requirements: tuple[str, ...]
    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...] = ()
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A run: ``facts`` (address, time, version and the like) are printed as they are, in their order."""

    title: str
    facts: tuple[tuple[str, str], ...]
    results: tuple[Result, ...]
    seconds: float

    def count(self, verdict: Verdict) -> int:
        """How many cases ended so."""
        return sum(1 for result in self.results if result.verdict is verdict)

    @property
    def passed(self) -> bool:
        """Whether no case failed, and one at least passed: a run of nothing proves nothing."""
        return not self.count(Verdict.FAILED) and self.count(Verdict.PASSED) > 0


def write_run(run: Run, folder: Path, report: str) -> None:
    """Write everything but what a caller prints; ``report`` is the HTML page.

    Raises:
        OSError: the folder cannot be written.
    """
    messages = folder / "messages"
    messages.mkdir(mode=0o700, parents=True, exist_ok=True)
    for result in run.results:
        if result.exchange is not None:
            _write_exchange(messages, result.id, result.exchange)
    (folder / "report.html").write_text(report, encoding="utf-8")
    (folder / "junit.xml").write_bytes(_junit(run))
    content = {
        "format": _FORMAT,
        "title": run.title,
        "facts": dict(run.facts),
        "seconds": round(run.seconds, 3),
        "results": [_row(result) for result in run.results],
    }
    (folder / "run.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` of a folder says.

    Raises:
        UnreadableRun: there is none, or it is of another form.
    """
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableRun(f"{folder}: {error}") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise UnreadableRun(f"{folder}: not a run of this version")
    return content


def _row(result: Result) -> dict[str, object]:
    row: dict[str, object] = {
        "id": result.id,
        "purpose": result.purpose,
        "requirements": list(result.requirements),
        "verdict": result.verdict.value,
        "reason": result.reason,
        "findings": [asdict(finding) for finding in result.findings],
    }
    exchange = result.exchange
    if exchange is not None:
        row["milliseconds"] = round(exchange.seconds * 1000, 1)
        row["request_sha256"] = hashlib.sha256(exchange.request).hexdigest()
        if exchange.answer is not None:
            row["status"] = exchange.answer.status
            row["answer_sha256"] = hashlib.sha256(exchange.answer.body).hexdigest()
            row["answer_form_sha256"] = form_hash(exchange.answer.body)
    return row


def form_hash(body: bytes) -> str:
    """The hash of an answer without what is new each time: ids and moments. Equal in two runs that agree."""
    return hashlib.sha256(_VOLATILE.sub(b"*", body)).hexdigest()


def _write_exchange(folder: Path, case_id: str, exchange: Exchange) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in exchange.request_headers)
    request = f"{exchange.request_line}\r\n{head}\r\n".encode("utf-8", "surrogateescape") + exchange.request
    (folder / f"{case_id}.request.http").write_bytes(request)
    answer = exchange.answer
    if answer is not None:
        head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
        raw = f"HTTP/1.1 {answer.status}\r\n{head}\r\n".encode("utf-8", "surrogateescape") + answer.body
        (folder / f"{case_id}.answer.http").write_bytes(raw)


def _junit(run: Run) -> bytes:
    """JUnit XML; the requirement ids are properties called ``rule``, as in the project's own test runs."""
    suite = etree.Element(
        "testsuite",
        name=run.title,
        tests=str(len(run.results)),
        failures=str(run.count(Verdict.FAILED)),
        skipped=str(run.count(Verdict.NOT_APPLICABLE)),
        errors="0",
        time=f"{run.seconds:.3f}",
    )
    for result in run.results:
        seconds = 0.0 if result.exchange is None else result.exchange.seconds
        case = etree.SubElement(
            suite,
            "testcase",
            classname="conformance",
            name=f"{result.id} {printable(result.purpose)}",
            time=f"{seconds:.3f}",
        )
        properties = etree.SubElement(case, "properties")
        for requirement in result.requirements:
            etree.SubElement(properties, "property", name="rule", value=requirement)
        if result.verdict is Verdict.FAILED:
            failure = etree.SubElement(case, "failure", message=printable(result.reason))
            failure.text = printable("\n".join(failed_lines(result.findings)))
        elif result.verdict is Verdict.NOT_APPLICABLE:
            etree.SubElement(case, "skipped", message=printable(result.reason))
    root = etree.Element("testsuites")
    root.append(suite)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)


def failed_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """One line for each expectation that does not hold."""
    for finding in findings:
        if finding.holds is False:
            yield f"{finding.check}: {finding.says}; seen: {finding.reason}"


def printable(text: str) -> str:
    """The text with what XML and browsers cannot show replaced."""
    return _UNPRINTABLE.sub("\ufffd", text)
