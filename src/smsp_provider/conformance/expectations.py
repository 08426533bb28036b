"""Judges an answer by data: HTTP status, headers, schemas and XPath on the bytes that came.

``expectations.toml`` holds the checks and the groups that cases ask for by name. A check that cannot be made (no XML
where an XPath is to be evaluated) has failed: nothing passes by default.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from smsp_provider.conformance.cases import Case
from smsp_provider.conformance.datafiles import data_text
from smsp_provider.conformance.names import NAMESPACES
from smsp_provider.conformance.transport import Answer, Exchange
from smsp_provider.conformance.xpath import only_element
from smsp_provider.xmlcore.schemas import SchemaName, Schemas

__all__ = ["Check", "Finding", "InvalidExpectation", "Judge"]

Variables = Mapping[str, str]

_SHOWN: Final = 200
_KINDS: Final = ("status", "header", "xpath", "schema", "not_empty", "refused")


class InvalidExpectation(ValueError):
    """A check or a group cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation: ``kind`` is the key of the table that says what is looked at, ``operand`` its value.

    ``seen`` is an XPath to what a reader wants to see where it does not hold.
    """

    id: str
    says: str
    kind: str
    operand: Any
    matches: str = ""
    at: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one expectation; ``reason`` says what was seen instead, and is empty where it holds.

    ``holds`` None: it was not looked at, for the reason given.
    """

    check: str
    says: str
    holds: bool | None
    reason: str = ""


class Judge:
    """All checks, compiled. ``schemas`` are our own or the official ones.

    Raises:
        InvalidExpectation: the packaged data is broken.
    """

    def __init__(self, schemas: Schemas) -> None:
        tables = tomllib.loads(data_text("expectations.toml"))
        self.checks: Final = {key: _check(key, table) for key, table in tables["check"].items()}
        self._groups: Final[Mapping[str, Mapping[str, list[str]]]] = tables["group"]
        self._schemas: Final = schemas
        self._compiled: Final[dict[str, etree.XPath]] = {}

    def checks_of(self, case: Case) -> list[Check]:
        """The checks of a case in order: its groups', then its own.

        Raises:
            InvalidExpectation: a group or check that nobody defined.
        """
        ids: dict[str, None] = {}
        for name in case.expect:
            self._collect(name, ids)
        own = [
            Check(f"{case.id}.{number}", check.says, "xpath", check.xpath, seen=check.seen)
            for number, check in enumerate(case.checks, 1)
        ]
        return [*(self.checks[key] for key in ids), *own]

    def judge(self, case: Case, exchange: Exchange, variables: Variables) -> list[Finding]:
        """All findings about an exchange, in the order of the checks."""
        answer = exchange.answer
        root = None if answer is None else _document(answer.body)
        return [self._finding(check, exchange, root, variables) for check in self.checks_of(case)]

    def _collect(self, name: str, ids: dict[str, None]) -> None:
        if name in self.checks:
            ids[name] = None
            return
        group = self._groups.get(name)
        if group is None:
            raise InvalidExpectation(f"no expectation is called {name}")
        for inner in (*group.get("groups", ()), *group.get("checks", ())):
            self._collect(inner, ids)

    def _finding(self, check: Check, exchange: Exchange, root: etree._Element | None, variables: Variables) -> Finding:
        answer = exchange.answer
        if check.kind == "refused":
            holds = answer is None and not exchange.problem.startswith("ReadTimeout")
            return Finding(check.id, check.says, holds, "" if holds else _seen(exchange))
        if answer is None:
            return Finding(check.id, check.says, holds=False, reason=_seen(exchange))
        reason = self._reason(check, answer, root, variables)
        return Finding(check.id, check.says, holds=not reason, reason=reason)

    def _reason(self, check: Check, answer: Answer, root: etree._Element | None, variables: Variables) -> str:
        """Why the check fails; empty where it holds."""
        if check.kind == "status":
            return "" if answer.status in check.operand else f"HTTP {answer.status}"
        if check.kind == "header":
            value = answer.header(check.operand)
            return "" if value is not None and re.fullmatch(check.matches, value) else f"{check.operand}: {value}"
        if check.kind == "not_empty":
            return "" if answer.body.strip() else "the body is empty"
        if root is None:
            return "the answer is not XML"
        if check.kind == "schema":
            return self._against_schema(check, root, variables)
        return self._by_xpath(check, root, variables)

    def _by_xpath(self, check: Check, root: etree._Element, variables: Variables) -> str:
        if self._value(f"boolean({check.operand})", root, variables):
            return ""
        if not check.seen:
            return "it is not so"
        seen = str(self._value(f"string({check.seen})", root, variables)).strip()
        return f"seen: {seen[:_SHOWN] or 'nothing'}"

    def _value(self, expression: str, root: etree._Element, variables: Variables) -> object:
        compiled = self._compiled.get(expression)
        if compiled is None:
            compiled = self._compiled[expression] = _compiled(expression)
        try:
            return compiled(root.getroottree(), **variables)
        except etree.XPathEvalError as error:
            raise InvalidExpectation(f"{expression}: {error}") from None

    def _against_schema(self, check: Check, root: etree._Element, variables: Variables) -> str:
        element = only_element(root, check.at)
        if element is None:
            return f"{check.at} does not name one element"
        name = SchemaName[check.operand.format_map(variables)]
        findings = self._schemas.findings(name, element)
        return "; ".join(f"{finding.path}: {finding.rule}" for finding in findings[:3])


def _compiled(expression: str) -> etree.XPath:
    try:
        return etree.XPath(expression, namespaces=NAMESPACES)
    except etree.XPathSyntaxError as error:
        raise InvalidExpectation(f"{expression}: {error}") from None


def _check(key: str, table: Mapping[str, Any]) -> Check:
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) != 1:
        raise InvalidExpectation(f"{key} has {len(kinds)} kinds of check")
    kind = kinds[0]
    return Check(
        key, table["says"], kind, table[kind], table.get("matches", ""), table.get("at", ""), table.get("seen", "")
    )


def _document(body: bytes) -> etree._Element | None:
    """The answer as XML; no entity is resolved and nothing is fetched."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _seen(exchange: Exchange) -> str:
    if exchange.answer is not None:
        return f"an answer came: HTTP {exchange.answer.status}"
    return f"no answer came: {exchange.problem}"
