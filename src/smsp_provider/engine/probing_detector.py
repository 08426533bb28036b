"""The patterns of guessing, counted request by request in a :class:`ProbingTable`; no clock, no file, no clear value.

A pattern is told when a request brings its count to the policy's or beyond, and not again for the same client or
identity before ``quiet`` seconds have passed.
"""

from math import log1p
from struct import Struct
from typing import Final

from smsp_provider.engine.probing import Finding, Pattern, ProbingPolicy
from smsp_provider.engine.probing_table import BITMAP_BITS, ProbingTable
from smsp_provider.engine.probing_traces import NO_POSTCODE, NextStep, NumberTrace, SearchTrace, Varied

__all__ = ["MOST_VALUES", "Detector"]

MOST_VALUES: Final = 15
"""So many values of a field can be told apart."""

_COUNT: Final = Struct("<I")
_BLOCK: Final = Struct("<16s")
_BASE: Final = Struct("<4sHBB")
"""The postcode of the last search, how often it changed, the forms there were, and the ordinary next step."""
_VALUES: Final = Struct(f"<{1 + MOST_VALUES}H")
"""How many, and their marks."""

# Rows of clients and of identities
_SHARE: Final = Struct("<2I")
"""Requests by number, and how many of them nothing came of."""
_TOLD: Final = Struct("<I")
_TOLD_AT: Final = {
    Pattern.MOSTLY_UNSUCCESSFUL: 8,
    Pattern.DETAILS_GUESSED: 12,
    Pattern.NEIGHBOURING_NUMBERS: 16,
    Pattern.POSTCODES_TRIED: 20,
    Pattern.FIELD_VARIED: 24,
    Pattern.MANY_NUMBERS: 12,
    Pattern.POSTCODE_PAIRS: 16,
}
"""Where the moment of the last alert stands; the last two are of identities, those between of clients."""
_BREADTH_AT: Final = 20
_BREADTH: Final = Struct("<2H")
"""Of an identity: how many bits of its bitmap are set, and its pairs of searches, in thirds."""
_BITMAP_AT: Final = 32

_KEEP: Final = 65_535
"""The weight of a client: pushed out last of all."""
_WITHOUT, _WITH = 1, 2
_BOTH: Final = _WITHOUT | _WITH
_WHOLE, _THIRD = 3, 1


class Detector:
    """Counts by one policy; what it counts is in the table alone."""

    def __init__(self, policy: ProbingPolicy) -> None:
        self._policy: Final = policy

    def count_number(self, table: ProbingTable, trace: NumberTrace, now: int) -> list[Finding]:
        """Count a request by number at ``now`` (seconds since 1970); the patterns to be told of."""
        policy, found = self._policy, list[Finding]()
        client = self._client(table, trace.client, now)
        identity = table.identities.body(trace.identity, now, policy.window)
        if trace.guess:
            guesses = self._add_guess(table, trace.number, now)
            if guesses >= policy.guesses_of_a_number:
                self._tell(table, found, client, Finding(Pattern.DETAILS_GUESSED, guesses), now)
        neighbours = self._add_neighbour(table, trace, now)
        if neighbours >= policy.neighbours:
            self._tell(table, found, client, Finding(Pattern.NEIGHBOURING_NUMBERS, neighbours), now)
        numbers = _add_number(table, identity, trace.place)
        if numbers >= (policy.numbers_of_a_person if trace.attended else policy.numbers_of_a_system):
            self._tell(table, found, identity, Finding(Pattern.MANY_NUMBERS, numbers), now)
        for subject in (identity, client):
            requests, unsuccessful = _add_request(table, subject, unsuccessful=trace.unsuccessful)
            is_most = unsuccessful >= max(policy.unsuccessful, policy.unsuccessful_part * requests)
            if trace.unsuccessful and is_most:
                self._tell(table, found, subject, Finding(Pattern.MOSTLY_UNSUCCESSFUL, unsuccessful), now)
        return found

    def count_search(self, table: ProbingTable, trace: SearchTrace, now: int) -> list[Finding]:
        """Count a search at ``now`` (seconds since 1970); the patterns to be told of."""
        policy, found = self._policy, list[Finding]()
        client = self._client(table, trace.client, now)
        changes, pair = self._add_postcode(table, trace, now)
        if changes >= policy.postcodes_of_a_search:
            self._tell(table, found, client, Finding(Pattern.POSTCODES_TRIED, changes), now)
        if pair:
            identity = table.identities.body(trace.identity, now, policy.window)
            pairs = _add_pair(table, identity, pair)
            if pairs >= policy.postcode_pairs:
                self._tell(table, found, identity, Finding(Pattern.POSTCODE_PAIRS, pairs), now)
        for varied in trace.varied:
            values = self._add_value(table, varied, now)
            if values >= policy.values_of_a_field:
                self._tell(table, found, client, Finding(Pattern.FIELD_VARIED, values), now)
        return found

    def _tell(self, table: ProbingTable, found: list[Finding], subject: int, finding: Finding, now: int) -> None:
        at = subject + _TOLD_AT[finding.pattern]
        (told,) = _TOLD.unpack_from(table.view, at)
        if told and abs(now - told) < self._policy.quiet:
            return
        _TOLD.pack_into(table.view, at, now)
        # What a client and its only identity do is one thing.
        if all(other.pattern is not finding.pattern for other in found):
            found.append(finding)

    def _client(self, table: ProbingTable, key: bytes, now: int) -> int:
        client = table.subjects.body(key, now, self._policy.window)
        table.subjects.weigh(client, _KEEP)
        return client

    def _add_guess(self, table: ProbingTable, number: bytes, now: int) -> int:
        """How often the details did not fit this number by now."""
        body = table.subjects.body(number, now, self._policy.window)
        guesses = int(_COUNT.unpack_from(table.view, body)[0]) + 1
        _COUNT.pack_into(table.view, body, guesses)
        table.subjects.weigh(body, guesses)
        return guesses

    def _add_neighbour(self, table: ProbingTable, trace: NumberTrace, now: int) -> int:
        """How many numbers of the block were asked for by now; 0 where this one had been."""
        body = table.subjects.body(trace.block, now, self._policy.window)
        bits = int.from_bytes(_BLOCK.unpack_from(table.view, body)[0])
        if bits >> trace.bit & 1:
            return 0
        bits |= 1 << trace.bit
        _BLOCK.pack_into(table.view, body, bits.to_bytes(_BLOCK.size))
        numbers = bits.bit_count()
        table.subjects.weigh(body, numbers)
        return numbers

    def _add_postcode(self, table: ProbingTable, trace: SearchTrace, now: int) -> tuple[int, int]:
        """How often the postcode of this search changed by now, 0 where it did not; and what it counts for as a pair.

        A search with and without postcode is a pair when it has been made both ways. One whose second form is the
        ordinary step after the answer to the first counts a third, and nothing for a system that does so by itself.
        """
        body = table.subjects.body(trace.base, now, self._policy.window)
        last, changes, forms, next_step = _BASE.unpack_from(table.view, body)
        form, step = (_WITHOUT, NextStep.LEAVE_OUT) if trace.postcode == NO_POSTCODE else (_WITH, NextStep.ADD)
        has_changed = forms != 0 and trace.postcode != last
        changes = min(changes + has_changed, _KEEP)
        _BASE.pack_into(table.view, body, trace.postcode, changes, forms | form, trace.next_step)
        table.subjects.weigh(body, changes + 1)
        pair = 0
        if forms in (_WITH, _WITHOUT) and forms | form == _BOTH:
            pair = _WHOLE if next_step != step else _THIRD * trace.attended
        return (changes if has_changed else 0), pair

    def _add_value(self, table: ProbingTable, varied: Varied, now: int) -> int:
        """With how many values of the field a search like this was made in vain by now; 0 where this is no new one."""
        body = table.subjects.body(varied.others, now, self._policy.window)
        count, *marks = _VALUES.unpack_from(table.view, body)
        if varied.mark in marks[:count]:
            return 0
        marks[count % MOST_VALUES] = varied.mark
        count = min(count + 1, MOST_VALUES)
        _VALUES.pack_into(table.view, body, count, *marks)
        table.subjects.weigh(body, count)
        return int(count)


def _add_request(table: ProbingTable, subject: int, *, unsuccessful: bool) -> tuple[int, int]:
    requests, failed = _SHARE.unpack_from(table.view, subject)
    requests, failed = requests + 1, failed + unsuccessful
    _SHARE.pack_into(table.view, subject, requests, failed)
    return requests, failed


def _add_number(table: ProbingTable, identity: int, place: int) -> int:
    """How many different numbers an identity asked for by now, within some percent; 0 where this is no new one."""
    byte, bit = divmod(place % BITMAP_BITS, 8)
    at = identity + _BITMAP_AT + byte
    if table.view[at] >> bit & 1:
        return 0
    table.view[at] |= 1 << bit
    filled, pairs = _BREADTH.unpack_from(table.view, identity + _BREADTH_AT)
    filled = min(filled + 1, BITMAP_BITS)
    _BREADTH.pack_into(table.view, identity + _BREADTH_AT, filled, pairs)
    table.identities.weigh(identity, filled + pairs)
    # Linear counting: numbers that share a bit are counted in by how full the bitmap is.
    return round(-BITMAP_BITS * log1p(-min(filled, BITMAP_BITS - 1) / BITMAP_BITS))


def _add_pair(table: ProbingTable, identity: int, thirds: int) -> int:
    """How many pairs of searches an identity made by now."""
    filled, pairs = _BREADTH.unpack_from(table.view, identity + _BREADTH_AT)
    pairs = min(pairs + thirds, _KEEP)
    _BREADTH.pack_into(table.view, identity + _BREADTH_AT, filled, pairs)
    table.identities.weigh(identity, filled + pairs)
    return int(pairs) // _WHOLE
