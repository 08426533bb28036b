"""JSON as PDS FHIR sends it, read with suspicion: what a lenient reader would quietly accept is refused.

Nothing that is refused is quoted. Source: facts.md of PDS FHIR, section 10 (HTML for JSON, truncated bodies); RFC 8259,
section 4 (a name that stands twice in an object has no defined meaning).
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from smsp_provider.domain.failures import Unreadable

__all__ = ["JSONObject", "is_json", "objects_in", "read_document", "text_in", "texts_in"]

JSONObject = dict[str, Any]
"""An object of a document, its members of any JSON type: the readers below tell which they want."""

_MEDIA_TYPES: Final = frozenset({"application/fhir+json", "application/json"})
_CHARSETS: Final = frozenset({"", "utf-8", "utf8"})
_FIRST_PRINTABLE: Final = " "
_LAYOUT: Final = frozenset("\t\n\r")


class _Twice(ValueError):
    """A name stands twice in an object."""


def is_json(content_type: str) -> bool:
    """Whether a Content-Type says FHIR's JSON, or plain JSON, in UTF-8."""
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charset = next((value for value in parameters if value.startswith("charset=")), "")
    return media_type in _MEDIA_TYPES and charset.removeprefix("charset=").strip('"') in _CHARSETS


def read_document(body: bytes) -> JSONObject:
    """The object in a body.

    Raises:
        Unreadable: not UTF-8, not JSON, not an object, a name twice in one object, a number that JSON does not have, or
            nested more deeply than can be read.
    """
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise Unreadable("the answer is not UTF-8") from None
    except _Twice:
        raise Unreadable("the answer holds a name twice in one object") from None
    except ValueError:
        raise Unreadable("the answer is not JSON") from None
    except RecursionError:
        raise Unreadable("the answer is nested too deeply") from None
    if not isinstance(document, dict):
        raise Unreadable("the answer is not a JSON object")
    return document


def _without_repeats(pairs: list[tuple[str, Any]]) -> JSONObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Twice
    return members


def _refuse_constant(_: str) -> NoReturn:
    # NaN and the infinities: Python's parser knows them, JSON does not.
    raise ValueError


def objects_in(parent: JSONObject, name: str) -> Iterator[JSONObject]:
    """The objects of a list, none where it is absent.

    Raises:
        Unreadable: it is no list of objects.
    """
    value = parent.get(name, [])
    if not isinstance(value, list):
        raise _unexpected(name)
    for item in value:
        if not isinstance(item, dict):
            raise _unexpected(name)
        yield item


def text_in(parent: JSONObject, name: str) -> str | None:
    """A text, None where it is absent.

    Raises:
        Unreadable: it is no text, or holds characters that no message can carry.
    """
    value = parent.get(name)
    return None if value is None else _text(value, name)


def texts_in(parent: JSONObject, name: str) -> tuple[str, ...]:
    """A list of texts, empty where it is absent. ``null``, which FHIR has for an item without a value, is blank.

    Raises:
        Unreadable: it is no list of texts.
    """
    value = parent.get(name, [])
    if not isinstance(value, list):
        raise _unexpected(name)
    return tuple("" if item is None else _text(item, name) for item in value)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not (value.isprintable() or _is_carried(value)):
        raise _unexpected(name)
    return value


def _is_carried(text: str) -> bool:
    """Whether XML can carry a text: no control characters but those of layout, and no half of a character."""
    if any(character < _FIRST_PRINTABLE and character not in _LAYOUT for character in text):
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\ufffe" not in text and "\uffff" not in text


def _unexpected(name: str) -> Unreadable:
    return Unreadable(f"{name} is not of the type that it has in FHIR")
