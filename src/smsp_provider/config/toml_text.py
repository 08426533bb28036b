"""Plain values as TOML text: the standard library reads TOML and does not write it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeGuard

__all__ = ["to_toml"]

_BARE_KEY: Final = re.compile("[A-Za-z0-9_-]+")


def to_toml(tree: Mapping[str, object]) -> str:
    """A tree of tables, lists, text, numbers and booleans as a TOML document; a list of tables is an array of tables.

    Raises:
        TypeError: a value is something else.
    """
    return "\n".join(_table(tree, ())).strip() + "\n"


def _table(tree: Mapping[str, object], path: tuple[str, ...]) -> Iterator[str]:
    for name, value in tree.items():
        if not isinstance(value, Mapping) and not _is_tables(value):
            yield f"{_key(name)} = {_value(value)}"
    for name, value in tree.items():
        here = (*path, name)
        title = ".".join(map(_key, here))
        if isinstance(value, Mapping):
            # A table that holds nothing but tables needs no head of its own.
            if not value or not all(isinstance(inner, Mapping) for inner in value.values()):
                yield f"\n[{title}]"
            yield from _table(value, here)
        elif _is_tables(value):
            for inner in value:
                yield f"\n[[{title}]]"
                yield from _table(inner, here)


def _is_tables(value: object) -> TypeGuard[list[Mapping[str, object]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(inner, Mapping) for inner in value)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError


def _text(text: str) -> str:
    # The escapes of JSON are those of TOML's basic strings, but for DEL, which JSON leaves alone.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
