"""The business answers by name; the code on the wire comes from the configured vocabulary (SMSP-CONF-001)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from smsp_provider.domain.spine_answers import DetectedIssue

__all__ = ["PDSCodeMap", "PDSCodeRow", "ResponseCode", "Vocabulary"]


class ResponseCode(Enum):
    """What a business response says; the value is the name used in the configuration file."""

    # Members are unique, so that they can be told apart as any objects are; Enum's own way is a function in Python.
    __hash__ = object.__hash__

    SUCCESS = "success"
    INPUT_INVALID = "input_invalid"
    ANSWER_UNUSABLE = "answer_unusable"
    SPINE_UNREACHABLE = "spine_unreachable"
    AUTHOR_REFUSED = "author_refused"
    PROVIDER_FAILURE = "provider_failure"
    NO_MATCH = "no_match"
    MULTIPLE_MATCHES = "multiple_matches"
    SUPERSEDED = "superseded"
    INVALIDATED = "invalidated"
    NOT_VERIFIED = "not_verified"
    NOT_NEW_STYLE = "not_new_style"
    SPINE_ERROR = "spine_error"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Wire codes and display texts of every :class:`ResponseCode`, as configured.

    ``truncated`` takes the place of the code of success where one of several items was taken; None = it does not.
    """

    codes: Mapping[ResponseCode, str]
    displays: Mapping[ResponseCode, str]
    truncated: str | None = None

    def wire_code(self, code: ResponseCode, *, truncated: bool = False) -> str:
        """What is written for a code."""
        if truncated and code is ResponseCode.SUCCESS and self.truncated is not None:
            return self.truncated
        return self.codes[code]


@dataclass(frozen=True, slots=True)
class PDSCodeRow:
    """One row of the map from PDS codes: ``codes`` exactly, or any code that ``pattern`` matches in full."""

    answer: ResponseCode
    codes: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    def holds(self, code: str) -> bool:
        """Whether a PDS code falls into this row."""
        return code in self.codes or (self.pattern is not None and self.pattern.fullmatch(code) is not None)


@dataclass(frozen=True, slots=True)
class PDSCodeMap:
    """The configured map from PDS codes to business answers (SMSP-ERR-004), rows in order."""

    rows: tuple[PDSCodeRow, ...]

    def classify(self, issues: tuple[DetectedIssue, ...]) -> ResponseCode:
        """The answer for a refusal: rows top to bottom over the errors (over all issues where none is an error).

        No issue, or none that a row knows, is the generic Spine error.
        """
        codes = _considered(issues)
        for row in self.rows:
            if any(row.holds(code) for code in codes):
                return row.answer
        return ResponseCode.SPINE_ERROR

    def unmapped(self, issues: tuple[DetectedIssue, ...]) -> tuple[str, ...]:
        """The codes of a refusal that no row knows: they are reported to the operator."""
        return tuple(code for code in _considered(issues) if not any(row.holds(code) for row in self.rows))


def _considered(issues: tuple[DetectedIssue, ...]) -> list[str]:
    return [issue.code for issue in issues if issue.is_error] or [issue.code for issue in issues]
