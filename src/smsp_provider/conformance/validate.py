"""Checks captured messages by schemas and rules, and turns what was found into a run with evidence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lxml import etree

from smsp_provider.conformance.captures import Message, Unreadable, messages_in
from smsp_provider.conformance.datafiles import data_path
from smsp_provider.conformance.evidence import Result, Verdict
from smsp_provider.conformance.expectations import Finding
from smsp_provider.conformance.rules_language import PathMap, RuleSet, read_rules
from smsp_provider.conformance.rules_run import Outcome, RuleRunner, RuleVerdict
from smsp_provider.conformance.services import SERVICES
from smsp_provider.conformance.transport import Exchange
from smsp_provider.conformance.xpath import elements
from smsp_provider.xmlcore.schemas import SchemaName, Schemas

__all__ = ["PACKAGED_RULES", "Validator", "packaged_rules"]

PACKAGED_RULES: Final = ("itk.conf", "spine.conf")
_SHOWN_FINDINGS: Final = 5
_HOLDS: Final = {RuleVerdict.PASSED: True, RuleVerdict.FAILED: False, RuleVerdict.NOT_RUN: None}
_PAYLOAD_SCHEMAS: Final = {
    **{service.root: service.request_schema for service in SERVICES.values()},
    **{service.response: service.response_schema for service in SERVICES.values()},
}


def packaged_rules() -> list[RuleSet]:
    """The rules of the package, for ITK and for Spine."""
    folder = data_path("rules")
    paths = PathMap({"packaged/": folder})
    return [read_rules(folder / name, paths) for name in PACKAGED_RULES]


@dataclass(frozen=True, slots=True)
class Validator:
    """``schemas`` are for ITK messages; those of Spine's messages are named by the rules."""

    schemas: Schemas
    rules: RuleRunner

    def files(self, files: Sequence[Path]) -> Iterable[Result]:
        """One result a message, in the order of the files; a file that cannot be read fails."""
        number = 0
        for file in files:
            try:
                messages = messages_in(file.name, file.read_bytes())
            except (Unreadable, OSError) as error:
                number += 1
                yield Result(f"FI_{number:03}", file.name, (), Verdict.FAILED, str(error))
                continue
            for message in messages:
                number += 1
                yield self.result(f"FI_{number:03}", message, message.label, _kept(file))

    def result(
        self, result_id: str, message: Message, purpose: str, exchange: Exchange | None, more: Iterable[Finding] = ()
    ) -> Result:
        """What schemas and rules say of one message; a message on which not one rule could be run has not passed."""
        by_rules = self._by_rules(message)
        findings = (*more, *self._by_schema(message), *by_rules)
        failed = [finding for finding in findings if finding.holds is False]
        if failed:
            reason = "; ".join(f"{finding.says}: {finding.reason}" for finding in failed[:2])
            return Result(result_id, purpose, (), Verdict.FAILED, reason, findings, exchange)
        if not any(finding.holds for finding in by_rules):
            names = ", ".join(message.names) or "no known message"
            return Result(result_id, purpose, (), Verdict.FAILED, f"no rule was run: {names}", findings, exchange)
        not_run = sum(1 for finding in findings if finding.holds is None)
        reason = f"{not_run} checks were not run" if not_run else ""
        return Result(result_id, purpose, (), Verdict.PASSED, reason, findings, exchange)

    def findings(self, message: Message) -> list[Finding]:
        """Schemas first, then rules."""
        return [*self._by_schema(message), *self._by_rules(message)]

    def _by_rules(self, message: Message) -> list[Finding]:
        return [_finding(outcome) for outcome in self.rules.outcomes(message)]

    def _by_schema(self, message: Message) -> Iterable[Finding]:
        if message.itk is not None:
            yield self._schema_finding(SchemaName.DISTRIBUTION_ENVELOPE, message.itk)
        if message.hl7 is not None and message.names[0] in _PAYLOAD_SCHEMAS:
            yield self._schema_finding(_PAYLOAD_SCHEMAS[message.names[0]], message.hl7)
        elif message.hl7 is not None and message.itk is not None:
            known = message.names[0] in {service.code for service in SERVICES.values()}
            yield Finding("schema", "the payload's root is one of the PDS mini services", known, "it is another")
        if message.soap is not None:
            for detail in elements(message.soap, "//soap:Fault/detail/itk:ToolkitErrorInfo"):
                yield self._schema_finding(SchemaName.TOOLKIT_ERROR_INFO, detail)

    def _schema_finding(self, name: SchemaName, element: etree._Element) -> Finding:
        found = self.schemas.findings(name, element)
        reason = "; ".join(f"{one.path}: {one.rule}" for one in found[:_SHOWN_FINDINGS])
        return Finding("schema", f"valid by {name.value}", not found, reason)


def _finding(outcome: Outcome) -> Finding:
    return Finding(outcome.place, outcome.says or outcome.what, _HOLDS[outcome.verdict], outcome.reason)


def _kept(file: Path) -> Exchange:
    """The file as it was, where the report shows a request."""
    return Exchange(f"file {file.name}", (), file.read_bytes(), None, "", 0.0)
