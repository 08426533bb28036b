"""Runs rules over messages. A check passes, fails, or is reported as not run; it never passes for want of knowledge.

XPath is evaluated with the document node as its context, so that ``*//x`` begins at the root element, as the rule files
of the NHS mean it. A check about a part that the message does not have is not run; a condition about it is false.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

from lxml import etree

from smsp_provider.conformance.captures import Message
from smsp_provider.conformance.rules_language import Check, Condition, Missing, PathMap, Rule, RuleSet

__all__ = ["Outcome", "RuleRunner", "RuleVerdict"]

_PREFIXES: Final = {
    "hl7": "urn:hl7-org:v3",
    "itk": "urn:nhs-itk:ns:201005",
    "eb": "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd",
    "xlink": "http://www.w3.org/1999/xlink",
    "SOAP": "http://schemas.xmlsoap.org/soap/envelope/",
    "SOAP-ENV": "http://schemas.xmlsoap.org/soap/envelope/",
    "soap": "http://schemas.xmlsoap.org/soap/envelope/",
    "wsaspine": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "wsa": "http://www.w3.org/2005/08/addressing",
    "wsse": "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd",
    "wsu": "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}
_PARTS: Final = ("hl7", "soap", "ebxml", "itk")
_TESTS: Final = ("xpathexists", "xpathnotexists", "xpathequals", "xpathmatches")


class RuleVerdict(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check on one message: ``what`` is the check as written, ``says`` its annotation, ``reason`` the why."""

    what: str
    says: str
    place: str
    verdict: RuleVerdict
    reason: str = ""


class _NotRunnable(Exception):
    """A check cannot be made; the text is the reason."""


class RuleRunner:
    """Runs rule sets. ``paths`` finds the schema and stylesheet files that checks name."""

    def __init__(self, rule_sets: Sequence[RuleSet], paths: PathMap) -> None:
        self._rule_sets: Final = rule_sets
        self._paths: Final = paths
        self._expressions: Final[dict[tuple[str, bool], etree.XSLT]] = {}
        self._schemas: Final[dict[Path, etree.XMLSchema]] = {}
        self._stylesheets: Final[dict[Path, etree.XSLT]] = {}

    def outcomes(self, message: Message) -> list[Outcome]:
        """Every check that the rules have for a message, in their order; empty where they have none."""
        found: list[Outcome] = []
        for rules in self._rule_sets:
            blocks = [rules.blocks[name] for name in message.names if name in rules.blocks]
            found += [outcome for rule in rules.general for outcome in self._rule(rule, message)]
            found += [outcome for block in blocks for rule in block for outcome in self._rule(rule, message)]
        return found

    def _rule(self, rule: Rule, message: Message) -> Iterator[Outcome]:
        match rule:
            case Missing():
                yield Outcome(rule.what, "", rule.place, RuleVerdict.NOT_RUN, rule.what)
            case Check():
                yield self._check(rule, message)
            case Condition():
                yield from self._condition(rule, message)

    def _condition(self, rule: Condition, message: Message) -> Iterator[Outcome]:
        try:
            part = _part(message, rule.check.kind)
            # Of a part that is not there nothing exists.
            holds = rule.check.kind.endswith("notexists") if part is None else not self._failure(rule.check, part)
        except _NotRunnable as error:
            what = f"IF {rule.check.kind} {rule.check.operand}"
            yield Outcome(what, "and all that depends on it", rule.check.place, RuleVerdict.NOT_RUN, str(error))
            return
        for inner in rule.then if holds else rule.otherwise:
            yield from self._rule(inner, message)

    def _check(self, check: Check, message: Message) -> Outcome:
        what = f"{check.kind} {check.operand}"
        try:
            part = _part(message, check.kind)
            failure = None if part is None else self._failure(check, part)
        except _NotRunnable as error:
            return Outcome(what, check.annotation, check.place, RuleVerdict.NOT_RUN, str(error))
        if failure is None:
            return Outcome(what, check.annotation, check.place, RuleVerdict.NOT_RUN, "the message has no such part")
        verdict = RuleVerdict.FAILED if failure else RuleVerdict.PASSED
        return Outcome(what, check.annotation, check.place, verdict, failure)

    def _failure(self, check: Check, document: etree._Element) -> str:
        """Why the check fails; empty where it holds."""
        test = _test(check.kind)
        if test in _TESTS:
            return self._by_xpath(test, check.operand, document)
        if test == "schema":
            return self._by_schema(check.operand, document)
        return self._by_stylesheet(check.operand, document)

    def _by_xpath(self, test: str, operand: str, document: etree._Element) -> str:
        path, expected = (operand, "") if test.endswith("exists") else _split(operand)
        if test == "xpathexists":
            # With a condition at its end the path may name something that is there, but not as it has to be.
            missing = "it is not so" if path.rstrip().endswith("]") else "it is not there"
            return "" if self._text(path, document, boolean=True) == "true" else missing
        if test == "xpathnotexists":
            return "it is there" if self._text(path, document, boolean=True) == "true" else ""
        value = self._text(path, document, boolean=False)
        if test == "xpathequals":
            return "" if value == expected else "the value is another"
        try:
            return "" if re.fullmatch(expected, value) else "the value has another form"
        except re.error:
            raise _NotRunnable("a pattern that cannot be read") from None

    def _text(self, path: str, document: etree._Element, *, boolean: bool) -> str:
        """The value of an expression at the document node, by a stylesheet of one template."""
        key = (path, boolean)
        if key not in self._expressions:
            self._expressions[key] = _stylesheet_of(path, boolean=boolean)
        try:
            return str(self._expressions[key](document.getroottree())).rstrip("\n")
        except etree.XSLTApplyError:
            raise _NotRunnable("an XPath that cannot be evaluated") from None

    def _by_schema(self, operand: str, document: etree._Element) -> str:
        file = self._file(operand)
        if file not in self._schemas:
            try:
                self._schemas[file] = etree.XMLSchema(etree.parse(file))
            except (etree.XMLSchemaParseError, etree.XMLSyntaxError, OSError):
                raise _NotRunnable(f"{file.name} is no schema that can be used") from None
        schema = self._schemas[file]
        if schema.validate(document):
            return ""
        first = schema.error_log[0]
        return f"{first.path}: {first.type_name}"

    def _by_stylesheet(self, operand: str, document: etree._Element) -> str:
        path, sign = _split(operand)
        file = self._file(path)
        if file not in self._stylesheets:
            control = etree.XSLTAccessControl.DENY_ALL
            try:
                self._stylesheets[file] = etree.XSLT(etree.parse(file), access_control=control)
            except (etree.XSLTParseError, etree.XMLSyntaxError, OSError):
                raise _NotRunnable(f"{file.name} is no stylesheet that can be used") from None
        try:
            result = self._stylesheets[file](document.getroottree())
        except etree.XSLTApplyError:
            raise _NotRunnable(f"{file.name} stopped with an error") from None
        return f"the result holds {sign}" if _holds(result, sign) else ""

    def _file(self, path: str) -> Path:
        file = self._paths.find(path)
        if file is None:
            raise _NotRunnable(f"{path.rpartition('/')[2]} is not there, see --map")
        return file


def _part(message: Message, kind: str) -> etree._Element | None:
    """The document that a type of check looks at: by its prefix, the HL7 message for a schema, the whole otherwise.

    Raises:
        _NotRunnable: the type is unknown.
    """
    if _test(kind) not in (*_TESTS, "schema", "xslt"):
        raise _NotRunnable(f"unknown type of check: {kind}")
    prefix = kind.partition("_")[0]
    parts: Mapping[str, etree._Element | None] = {
        "hl7": message.hl7,
        "itk": message.itk,
        "soap": message.soap,
        # The ebXML header is in the SOAP envelope; where there is no ebXML, its elements are simply not found.
        "ebxml": message.soap,
        "schema": message.hl7,
    }
    return parts.get(prefix, message.root)


def _test(kind: str) -> str:
    prefix, _, test = kind.partition("_")
    return test if prefix in _PARTS else kind


def _split(operand: str) -> tuple[str, str]:
    """The first operand and the rest; blanks inside brackets and quotes belong to the first."""
    depth, quote = 0, ""
    for position, character in enumerate(operand):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[(":
            depth += 1
        elif character in "])":
            depth -= 1
        elif character.isspace() and not depth:
            return operand[:position], operand[position:].strip()
    return operand, ""


def _stylesheet_of(path: str, *, boolean: bool) -> etree.XSLT:
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in _PREFIXES.items())
    select = quoteattr(f"boolean({path})" if boolean else f"string({path})")
    text = (
        f'<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" {names}>'
        f'<xsl:output method="text"/><xsl:template match="/"><xsl:value-of select={select}/></xsl:template>'
        "</xsl:stylesheet>"
    )
    try:
        return etree.XSLT(etree.fromstring(text), access_control=etree.XSLTAccessControl.DENY_ALL)
    except (etree.XSLTParseError, etree.XMLSyntaxError):
        raise _NotRunnable("an XPath that cannot be read") from None


def _holds(result: etree._XSLTResultTree, sign: str) -> bool:
    """Whether a stylesheet's result shows an error: by an XPath on it, or by a word in it."""
    if not sign.startswith("/"):
        return sign.lower() in str(result).lower()
    return bool(result.xpath(sign))
