"""The last line of defence before a log line is written: only known fields, each of the form it should have.

Events are made without patient data; this makes sure that a mistake elsewhere does not change that (IFC-LOG-02). A
field that is unknown or of another form is dropped; in free text every run of digits that could be an NHS number, a
date of birth or a telephone number is masked.
"""

import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Final

__all__ = ["MASK", "keep_safe", "masked"]

MASK: Final = "[masked]"

_MAX_TEXT: Final = 200
_DIGITS: Final = re.compile(r"\d(?:[ ./-]?\d){7,}")
_UUID: Final = re.compile(r"(?:urn:uuid:|uuid:)?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_CODE: Final = re.compile(r"[A-Za-z0-9]{1,8}(?:[-_][A-Za-z0-9]{1,5})*")
_SYSTEM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")

_Keeper = Callable[[object], object]
"""Returns the value as it may be written, or None to drop it."""


def masked(text: str) -> str:
    """Free text, bounded, on one line, without runs of eight or more digits however they are grouped."""
    return _DIGITS.sub(MASK, " ".join(text.split()))[:_MAX_TEXT]


def _number(value: object) -> object:
    return value if isinstance(value, int) else None


def _text(value: object) -> object:
    return masked(value) if isinstance(value, str) else None


def _shaped(pattern: re.Pattern[str], *, mask: bool = True) -> _Keeper:
    def keep(value: object) -> object:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            return None
        return masked(value) if mask else value

    return keep


_code: Final = _shaped(_CODE)
_uuid: Final = _shaped(_UUID, mask=False)


def _codes(value: object) -> object:
    return [kept for kept in map(_code, value) if kept is not None] if isinstance(value, tuple | list) else None


_KEEPERS: Final[Mapping[str, _Keeper]] = {
    "at": _shaped(_MOMENT, mask=False),
    "event": _text,
    "level": _code,
    "exchange_id": _uuid,
    "message_id": _uuid,
    "error_id": _uuid,
    "service": _text,
    "code": _code,
    "codes": _codes,
    "kind": _text,
    "reason": _text,
    "method": _code,
    "username": _shaped(_SYSTEM),
    "client": _shaped(_SYSTEM),
    "count": _number,
    "repeated": _number,
    "host": _shaped(_SYSTEM),
    "status": _number,
    "duration_ms": _number,
    "spine_exchanges": _number,
    "pid": _number,
}


def keep_safe(_logger: object, _method: str, fields: MutableMapping[str, object]) -> Mapping[str, object]:
    """A structlog processor: the fields that may be written, in the order given."""
    kept = {name: _KEEPERS[name](value) for name, value in fields.items() if name in _KEEPERS}
    return {name: value for name, value in kept.items() if value is not None}
