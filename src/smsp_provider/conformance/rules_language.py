"""Reads rule files in the language of the NHS test workbench: VALIDATE, CHECK, IF, INCLUDE.

    VALIDATE name              begins the rules of the messages called so
    CHECK type operand...      a check; ANNOTATION on the next line says what it is for
    IF type operand... THEN ... ELSE ... ENDIF
    INCLUDE path               the rules of another file, here

Lines that begin with # are comments, VALIDATION-RULESET-... lines say what the file is. Paths in the files are those of
somebody else's machine: a map turns their beginnings into paths of this one. Nothing is dropped: what cannot be read or
found becomes a rule that reports itself as not run.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["Check", "Condition", "Missing", "PathMap", "Rule", "RuleSet", "read_rules"]

_MOST_DEPTH: Final = 10
_MARKUP: Final = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its type, the rest of its line, and its annotation without markup."""

    kind: str
    operand: str
    annotation: str
    place: str


@dataclass(frozen=True, slots=True)
class Condition:
    """IF: which rules apply depends on a check."""

    check: Check
    then: tuple["Rule", ...]
    otherwise: tuple["Rule", ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that could not be read: reported as not run."""

    what: str
    place: str


Rule = Check | Condition | Missing


@dataclass(frozen=True, slots=True)
class PathMap:
    """From paths as rule files write them to paths here: whole paths, or beginnings that end with a slash."""

    entries: Mapping[str, Path] = field(default_factory=dict)

    def find(self, path: str) -> Path | None:
        """The file that is there; None where the map has no entry for it, or there is no such file."""
        best = max((key for key in self.entries if path == key or path.startswith(key)), key=len, default=None)
        if best is None:
            return None
        target = self.entries[best]
        file = target if path == best else target / path.removeprefix(best).lstrip("/")
        return file if file.is_file() else None


@dataclass(slots=True)
class RuleSet:
    """Rules by the names of messages; ``general`` belong to every message (an INCLUDE that was not found)."""

    name: str = ""
    blocks: dict[str, list[Rule]] = field(default_factory=dict)
    general: list[Rule] = field(default_factory=list)


def read_rules(file: Path, paths: PathMap) -> RuleSet:
    """A rule file and all that it includes.

    Raises:
        OSError: the file itself cannot be read. What it includes and is not there is reported by the rules.
    """
    rules = RuleSet()
    _Reader(rules, paths).read_file(file.name, file.read_text(encoding="utf-8", errors="replace"), depth=0)
    return rules


def read_text(name: str, text: str) -> RuleSet:
    """Rules that stand in a text, with nothing to include."""
    rules = RuleSet()
    _Reader(rules, PathMap()).read_file(name, text, depth=0)
    return rules


class _Lines:
    """The lines that say something, each with its place; one may be looked at before it is taken."""

    def __init__(self, name: str, text: str) -> None:
        numbered = ((f"{name}:{number}", line.strip()) for number, line in enumerate(text.splitlines(), 1))
        self._lines = [(place, line) for place, line in numbered if line and not line.startswith("#")]
        self._position = 0

    def next(self) -> tuple[str, str] | None:
        if self._position == len(self._lines):
            return None
        self._position += 1
        return self._lines[self._position - 1]

    def word(self) -> str:
        """The first word of the next line, in upper case; empty at the end."""
        if self._position == len(self._lines):
            return ""
        return self._lines[self._position][1].split(maxsplit=1)[0].upper()


class _Reader:
    def __init__(self, rules: RuleSet, paths: PathMap) -> None:
        self._rules = rules
        self._paths = paths

    def read_file(self, name: str, text: str, *, depth: int) -> None:
        lines = _Lines(name, text)
        block = self._rules.general
        while (found := lines.next()) is not None:
            place, line = found
            word, _, rest = line.partition(" ")
            if word.upper() == "VALIDATE":
                block = self._rules.blocks.setdefault(rest.strip(), [])
            elif word.upper() == "INCLUDE" and block is self._rules.general:
                self._include_blocks(rest.strip(), place, depth)
            else:
                block.extend(self._rule(place, line, lines, depth))

    def _include_blocks(self, path: str, place: str, depth: int) -> None:
        text = self._text(path, depth)
        if text is None:
            self._rules.general.append(Missing(f"INCLUDE {path}: not found, see --map", place))
        else:
            self.read_file(Path(path).name, text, depth=depth + 1)

    def _text(self, path: str, depth: int) -> str | None:
        file = self._paths.find(path) if depth < _MOST_DEPTH else None
        return None if file is None else file.read_text(encoding="utf-8", errors="replace")

    def _rule(self, place: str, line: str, lines: _Lines, depth: int) -> Iterator[Rule]:
        word, _, rest = line.partition(" ")
        match word.upper():
            case "CHECK":
                yield _check(rest, place, lines)
            case "IF":
                yield self._condition(rest, place, lines, depth)
            case "INCLUDE":
                yield from self._included(rest.strip(), place, depth)
            case "VALIDATION-RULESET-NAME":
                self._rules.name = self._rules.name or rest.strip()
            case name if name.startswith("VALIDATION-RULESET-"):
                pass
            case _:
                yield Missing(f"a line that begins with {word}", place)

    def _included(self, path: str, place: str, depth: int) -> Iterator[Rule]:
        text = self._text(path, depth)
        if text is None:
            yield Missing(f"INCLUDE {path}: not found, see --map", place)
            return
        lines = _Lines(Path(path).name, text)
        while (found := lines.next()) is not None:
            yield from self._rule(*found, lines, depth + 1)

    def _condition(self, rest: str, place: str, lines: _Lines, depth: int) -> Rule:
        check = _check(rest, place, lines)
        branches: dict[str, list[Rule]] = {"THEN": [], "ELSE": []}
        branch = branches["THEN"]
        while (found := lines.next()) is not None:
            where, line = found
            word = line.split(maxsplit=1)[0].upper()
            if word == "ENDIF":
                return Condition(check, tuple(branches["THEN"]), tuple(branches["ELSE"]))
            if word in branches:
                branch = branches[word]
            else:
                branch.extend(self._rule(where, line, lines, depth))
        return Missing("an IF without ENDIF", place)


def _check(rest: str, place: str, lines: _Lines) -> Check:
    kind, _, operand = rest.strip().partition(" ")
    annotation = ""
    if lines.word() == "ANNOTATION":
        found = lines.next()
        annotation = found[1].partition(" ")[2] if found is not None else ""
    return Check(kind, operand.strip(), " ".join(_MARKUP.sub(" ", annotation).split()), place)
