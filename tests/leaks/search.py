"""Finds values of patients in text, as it stands and behind what usually happens to text on its way.

Looked at are the bytes as UTF-8, and what base64 (also with gzip in it), hexadecimal, percent-encoding, HTML references
and JSON escapes in them stand for, up to three deep.
"""

import base64
import binascii
import gzip
import html
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from leaks.values import TOKEN, WORD, Values, compact, words_of
from smsp_provider.domain.nhs_number import is_nhs_number

__all__ = ["Found", "Searcher"]

_DEEPEST: Final = 3
_NUMBER: Final = re.compile(r"(?<![\d.])9\d{2}[ -]?\d{3}[ -]?\d{4}(?!\d)")
_POSTCODE: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{1,2}\d[A-Za-z\d]?\s?\d[A-Za-z]{2}(?![A-Za-z0-9])")
_PHONE: Final = re.compile(r"(?<!\d)\d(?:[ .()-]{0,2}\d){9,14}(?!\d)")
_ID: Final = re.compile(r"[0-9A-Fa-f](?:-?[0-9A-Fa-f]){31,}")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX: Final = re.compile(rb"(?:[0-9a-fA-F]{2}[ :]?){6,}")
_ESCAPED: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|n|t|\\|/)")
_READABLE: Final = re.compile(r"[^\x00-\x1f\x7f\ufffd]{6,}")
_GZIP: Final = b"\x1f\x8b"
_PLAIN: Final = {"n": "\n", "t": "\t", "\\": "\\", "/": "/"}


@dataclass(frozen=True)
class Found:
    """A value that should not be there: what it is, how it was written, and what stands around it."""

    kind: str
    encoding: str
    around: str


class Searcher:
    """Looks for these values, and for anything that is an NHS number."""

    def __init__(self, values: Values) -> None:
        self._values: Final = values

    def search(self, content: bytes) -> Iterator[Found]:
        """Everything that is found in some bytes; the same line is looked at once."""
        seen: set[bytes] = set()
        for line in content.splitlines():
            if line not in seen:
                seen.add(line)
                yield from self._in_bytes(line, "as it is", 0)

    def _in_bytes(self, content: bytes, encoding: str, depth: int) -> Iterator[Found]:
        text = content.decode("utf-8", errors="replace")
        yield from self._in_text(text, encoding)
        if depth == _DEEPEST:
            return
        for name, decoded in _decoded(content, text):
            deeper = name if depth == 0 else f"{encoding}, {name}"
            yield from self._in_bytes(decoded, deeper, depth + 1)

    def _in_text(self, text: str, encoding: str) -> Iterator[Found]:
        for kind, places in self._looks:
            for start, end in places(self, text):
                yield Found(kind, encoding, text[max(0, start - 60) : end + 60])

    def _numbers(self, text: str) -> Iterator[tuple[int, int]]:
        for found in _NUMBER.finditer(text):
            digits = re.sub(r"\D", "", found[0])
            if is_nhs_number(digits) and (digits in self._values.numbers or not _is_in_id(text, found.span())):
                yield found.span()

    def _postcodes(self, text: str) -> Iterator[tuple[int, int]]:
        return (found.span() for found in _POSTCODE.finditer(text) if compact(found[0]) in self._values.postcodes)

    def _phones(self, text: str) -> Iterator[tuple[int, int]]:
        for found in _PHONE.finditer(text):
            if re.sub(r"\D", "", found[0]) in self._values.phones:
                yield found.span()

    def _names(self, text: str) -> Iterator[tuple[int, int]]:
        values, words = self._values, None
        for found in WORD.finditer(text):
            word = found[0].casefold()
            if word in values.families:
                yield found.span()
            elif word in values.given:
                words = words or list(words_of(text))
                others = set(words)
                if words.count(word) < 2:
                    others.discard(word)
                if values.given[word] & others:
                    yield found.span()

    def _lines(self, text: str) -> Iterator[tuple[int, int]]:
        places = [(found.start(), found.end(), found[0].casefold()) for found in TOKEN.finditer(text)]
        for at, (start, _, first) in enumerate(places):
            for line in self._values.lines.get(first, ()):
                piece = places[at : at + len(line)]
                if tuple(word for *_, word in piece) == line:
                    yield start, piece[-1][1]

    _looks: Final[tuple[tuple[str, Callable[["Searcher", str], Iterator[tuple[int, int]]]], ...]] = (
        ("NHS number", _numbers),
        ("postcode", _postcodes),
        ("telephone number", _phones),
        ("name", _names),
        ("address line", _lines),
    )


def _is_in_id(text: str, span: tuple[int, int]) -> bool:
    return any(found.start() <= span[0] and span[1] <= found.end() for found in _ID.finditer(text))


def _decoded(content: bytes, text: str) -> Iterator[tuple[str, bytes]]:
    if b"%" in content:
        yield from _if_other("percent-encoding", unquote_to_bytes(content), content)
    if b"&" in content:
        yield from _if_other("HTML", html.unescape(text).encode(), content)
    if b"\\" in content:
        yield from _if_other("JSON", _ESCAPED.sub(_unescaped, text).encode(errors="replace"), content)
    for found in _HEX.finditer(content):
        digits = re.sub(rb"[ :]", b"", found[0])
        yield from _readable("hex", binascii.unhexlify(digits[: len(digits) // 2 * 2]))
    for found in _BASE64.finditer(content):
        # Part of something longer it may begin anywhere: a token has four ways to be read.
        token = found[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        for skipped in range(4):
            usable = token[skipped : skipped + (len(token) - skipped) // 4 * 4 + 3]
            usable = usable[: len(usable) - (len(usable) % 4 == 1)]
            yield from _readable("base64", base64.b64decode(usable + b"=" * (-len(usable) % 4)))


def _if_other(name: str, decoded: bytes, content: bytes) -> Iterator[tuple[str, bytes]]:
    if decoded != content:
        yield name, decoded


def _readable(name: str, decoded: bytes) -> Iterator[tuple[str, bytes]]:
    """What can be read in decoded bytes: most of what looks like base64 is a random id."""
    if decoded.startswith(_GZIP):
        try:
            decoded, name = gzip.decompress(decoded), f"{name}, gzip"
        except (OSError, EOFError, zlib.error):
            return
    for part in _READABLE.findall(decoded.decode("utf-8", errors="replace")):
        yield name, part.encode()


def _unescaped(found: re.Match[str]) -> str:
    what = found[1]
    return _PLAIN[what] if what in _PLAIN else chr(int(what[1:], 16))
