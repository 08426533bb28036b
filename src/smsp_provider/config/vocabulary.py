"""The vocabulary file: response codes on the wire, and the map from PDS codes to them (SMSP-CONF-001)."""

import re
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from smsp_provider.domain.response_codes import PDSCodeMap, PDSCodeRow, ResponseCode, Vocabulary

__all__ = ["load_vocabulary"]

_WireCode = Literal[
    "SMSP-0000",
    "SMSP-0001",
    "SMSP-0002",
    "SMSP-0003",
    "SMSP-0004",
    "SMSP-0005",
    "SMSP-9999",
    "DEMOG-0001",
    "DEMOG-0007",
    "DEMOG-0017",
    "DEMOG-0022",
    "DEMOG-0040",
    "DEMOG-0042",
    "DEMOG-9999",
]
"""The published vocabulary (SMSP-ERR-002)."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    code: _WireCode
    display: str = Field(min_length=1)


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    answer: ResponseCode
    codes: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "_Row":
        if not self.codes and self.pattern is None:
            raise ValueError("a row needs codes or a pattern")
        if self.answer is ResponseCode.SUCCESS:
            raise ValueError("a refusal by PDS cannot be a success")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    response: dict[ResponseCode, _Entry]
    truncated: _Entry | None = None
    pds: tuple[_Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> "_File":
        missing = [code.value for code in ResponseCode if code not in self.response]
        if missing:
            raise ValueError("no response code for: " + ", ".join(missing))
        wire = [entry.code for entry in self.response.values()]
        if len(set(wire)) != len(wire):
            raise ValueError("two response codes are the same")
        exact = [code for row in self.pds for code in row.codes]
        if len(set(exact)) != len(exact):
            raise ValueError("a PDS code stands in two rows")
        return self


def load_vocabulary(file: Path) -> tuple[Vocabulary, PDSCodeMap]:
    """Read and check the vocabulary file.

    Raises:
        OSError: the file cannot be read.
        tomllib.TOMLDecodeError: it is not TOML.
        pydantic.ValidationError: it is incomplete, contradictory or has unknown names.
    """
    read = _File.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    vocabulary = Vocabulary(
        codes={name: entry.code for name, entry in read.response.items()},
        displays={name: entry.display for name, entry in read.response.items()},
        truncated=read.truncated.code if read.truncated is not None else None,
    )
    rows = tuple(PDSCodeRow(row.answer, frozenset(row.codes), row.pattern) for row in read.pds)
    return vocabulary, PDSCodeMap(rows)
