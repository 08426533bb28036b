"""The table of refused requests: how its rows lie in the memory that all processes of a host share.

A row is one peer in one minute. Rows are found by minute and key alone, which stand together at the beginning of the
table; a free row has no minute. Whoever is killed while writing leaves a row without a minute, or a count that lacks
one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import Final

from smsp_provider.audit.events import RefusalCount, RefusalMark
from smsp_provider.engine.exchange import Peer

__all__ = ["KEY_BYTES", "NAMED_PEERS", "OTHERS", "TABLE_BYTES", "Row", "RowTable", "key_of"]

NAMED_PEERS: Final = 200
"""Peers of one minute that have a row of their own; all others of it share one."""

KEY_BYTES: Final = 16
OTHERS: Final = bytes(KEY_BYTES)
"""The key of the row that all other peers share."""

_MINUTES_KEPT: Final = 3
"""The minute that runs, the one that waits to be written, and one more where that takes long."""
_ROWS: Final = _MINUTES_KEPT * (NAMED_PEERS + 1)
_PLACE: Final = Struct(f"<q{KEY_BYTES}s")
_HEAD: Final = Struct("<B3x64s130s32s40s40s40s40s")
"""Whether the first request is on record; address, CN, fingerprint; the ids of the first and of the last."""
_CODE_BYTES, _RULE_BYTES = 12, 28
_COUNT: Final = Struct(f"<{_CODE_BYTES}s{_RULE_BYTES}sq")
_TIMES: Final = Struct("<q")
_TIMES_AT: Final = _CODE_BYTES + _RULE_BYTES
_COUNTS: Final = 16
"""Codes and rules of one row; what comes when there is no room for another is counted as :data:`_REST`."""
_REST: Final = ("", "other")
_ROWS_AT: Final = _ROWS * _PLACE.size
_ROW_BYTES: Final = _HEAD.size + _COUNTS * _COUNT.size
_FIRST_AT: Final = _HEAD.size - 160
_LAST_AT: Final = _HEAD.size - 80
_MARK: Final = Struct("<40s40s")

TABLE_BYTES: Final = _ROWS_AT + _ROWS * _ROW_BYTES
_NO_PLACE: Final = _PLACE.pack(0, OTHERS)


def key_of(peer: Peer) -> bytes:
    """What tells peers apart: their address and their certificate."""
    fingerprint = "" if peer.certificate is None else peer.certificate.fingerprint
    return sha256(f"{peer.address}|{fingerprint}".encode(errors="replace")).digest()[:KEY_BYTES]


@dataclass(frozen=True, slots=True)
class Row:
    """One peer in one minute (since 1970), as read. ``address`` None is the row of all other peers."""

    number: int
    minute: int
    key: bytes
    address: str | None
    common_name: str | None
    certificate: str | None
    counts: tuple[RefusalCount, ...]
    first: RefusalMark | None
    last: RefusalMark | None


class RowTable:
    """The rows in ``view``, which is held alone for as long as this is used."""

    def __init__(self, view: memoryview) -> None:
        self._view: Final = view

    def find(self, minute: int, key: bytes) -> int | None:
        """The number of a row."""
        wanted, places = _PLACE.pack(minute, key), bytes(self._view[:_ROWS_AT])
        at = places.find(wanted)
        while at > 0 and at % _PLACE.size:
            at = places.find(wanted, at + 1)
        return None if at < 0 else at // _PLACE.size

    def named_in(self, minute: int) -> int:
        """How many peers of a minute have a row of their own."""
        return sum(1 for _, of, key in self._places() if of == minute and key != OTHERS)

    def oldest(self) -> int | None:
        """The oldest minute that there is a row of."""
        return min((minute for _, minute, _ in self._places()), default=None)

    def add(self, minute: int, key: bytes, peer: Peer | None) -> int | None:
        """A new row, with nothing counted yet; None where the table is full. ``peer`` None is all other peers."""
        at = 0
        places = bytes(self._view[:_ROWS_AT])
        for number in range(_ROWS):
            if places[at : at + _PLACE.size] == _NO_PLACE:
                self._lay_out(number, peer)
                _PLACE.pack_into(self._view, at, minute, key)
                return number
            at += _PLACE.size
        return None

    def clear(self, number: int) -> None:
        """Give a row back."""
        _PLACE.pack_into(self._view, number * _PLACE.size, 0, OTHERS)

    def has_first(self, number: int) -> bool:
        """Whether the first request of the row is on record by itself."""
        return bool(self._view[self._row_at(number)])

    def set_first(self, number: int) -> None:
        """Take note that it is."""
        self._view[self._row_at(number)] = 1

    def take_back(self, row: Row) -> None:
        """Subtract what a row had when it was read: what was counted since stays, and begins with the last of it."""
        for count in row.counts:
            self.count(row.number, count.code, count.rule, -count.times)
        at = self._row_at(row.number)
        self._view[at + _FIRST_AT : at + _LAST_AT] = self._view[at + _LAST_AT : at + _HEAD.size]

    def count(self, number: int, code: str, rule: str, times: int = 1) -> None:
        """Add to a row."""
        at = self._row_at(number) + _HEAD.size
        wanted = _names(code, rule)
        for place in range(at, at + _COUNTS * _COUNT.size, _COUNT.size):
            found = bytes(self._view[place : place + _TIMES_AT])
            if found == wanted or not any(found):
                break
        else:
            wanted, place = _names(*_REST), at + (_COUNTS - 1) * _COUNT.size
            self._view[place : place + _TIMES_AT] = wanted
        (before,) = _TIMES.unpack_from(self._view, place + _TIMES_AT)
        self._view[place : place + _TIMES_AT] = wanted
        _TIMES.pack_into(self._view, place + _TIMES_AT, max(before + times, 0))

    def mark(self, number: int, exchange_id: str, error_id: str) -> None:
        """Note the ids of a counted request: the first one's stay, the last one's are replaced."""
        ids = _MARK.pack(exchange_id.encode()[:40], error_id.encode()[:40])
        at = self._row_at(number)
        if not self._view[at + _FIRST_AT]:
            self._view[at + _FIRST_AT : at + _LAST_AT] = ids
        self._view[at + _LAST_AT : at + _HEAD.size] = ids

    def rows_before(self, minute: int) -> Iterator[Row]:
        """The rows of all minutes before one."""
        for number, of, key in self._places():
            if of < minute:
                yield self.row(number, of, key)

    def row(self, number: int, minute: int, key: bytes) -> Row:
        """One row, read."""
        at = self._row_at(number)
        _, address, name, fingerprint, *marks = _HEAD.unpack_from(self._view, at)
        counts = []
        for place in range(_COUNTS):
            code, rule, times = _COUNT.unpack_from(self._view, at + _HEAD.size + place * _COUNT.size)
            if times:
                counts.append(RefusalCount(_read(code), _read(rule), times))
        first_exchange, first_error, last_exchange, last_error = (_read(mark) for mark in marks)
        return Row(
            number,
            minute,
            key,
            None if key == OTHERS else _read(address),
            _read(name) or None,
            fingerprint.hex() if any(fingerprint) else None,
            tuple(counts),
            RefusalMark(first_exchange, first_error) if first_exchange else None,
            RefusalMark(last_exchange, last_error) if last_exchange else None,
        )

    def _lay_out(self, number: int, peer: Peer | None) -> None:
        at = self._row_at(number)
        self._view[at : at + _ROW_BYTES] = bytes(_ROW_BYTES)
        if peer is not None:
            fingerprint = b"" if peer.certificate is None else bytes.fromhex(peer.certificate.fingerprint)
            name = peer.common_name or ""
            _HEAD.pack_into(
                *(self._view, at, 0, peer.address.encode(errors="replace"), name.encode(errors="replace")),
                *(fingerprint, b"", b"", b"", b""),
            )

    def _places(self) -> Iterator[tuple[int, int, bytes]]:
        """Number, minute and key of each row that is in use."""
        for number, (minute, key) in enumerate(_PLACE.iter_unpack(self._view[:_ROWS_AT])):
            if minute:
                yield number, minute, key

    @staticmethod
    def _row_at(number: int) -> int:
        return _ROWS_AT + number * _ROW_BYTES


def _names(code: str, rule: str) -> bytes:
    return code.encode()[:_CODE_BYTES].ljust(_CODE_BYTES, b"\0") + rule.encode()[:_RULE_BYTES].ljust(_RULE_BYTES, b"\0")


def _read(text: bytes) -> str:
    return text.rstrip(b"\0").decode(errors="replace")
