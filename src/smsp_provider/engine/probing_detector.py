"""The patterns of guessing, counted request by request in the bytes of a table (``probing_table``).

There is no clock, no file and no clear value here. A pattern is told when a request brings its count to the policy's or
beyond, and not again for the same client or identity before ``quiet`` seconds have passed.
"""

from math import log1p
from struct import Struct
from typing import Final

from smsp_provider.engine.probing import Finding, Pattern, ProbingPolicy
from smsp_provider.engine.probing_table import BITMAP_BITS, IDENTITIES, SUBJECTS, weigh
from smsp_provider.engine.probing_traces import BLOCK, NO_POSTCODE, NextStep, NumberTrace, SearchTrace, Varied

__all__ = ["MOST_VALUES", "Detector"]

MOST_VALUES: Final = 15
"""So many values of a field can be told apart."""

_FAILURES: Final = Struct("<2I")
"""Of a number: requests that nothing came of, and those of them whose details did not fit."""
_COUNT: Final = Struct("<I")
_BLOCK_BITMAP_AT: Final = _COUNT.size
"""Of a block: how many numbers, and which."""
_BASE: Final = Struct("<4sHBB")
"""The postcode of the last search, how often it changed, the forms there were, and the ordinary next step."""
_VALUES: Final = Struct(f"<{1 + MOST_VALUES}H")
"""How many, and their marks."""

# Rows of clients and of identities
_SHARE: Final = Struct("<2I")
"""Requests by number, and numbers that nothing came of."""
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

_MOST: Final = 2**32 - 1
_KEEP: Final = 65_535
"""The weight of a client: pushed out last of all."""
_WITHOUT, _WITH = 1, 2
_BOTH: Final = _WITHOUT | _WITH
_WHOLE, _THIRD = 3, 1


class Detector:
    """Counts by one policy; what it counts is in the view alone."""

    def __init__(self, policy: ProbingPolicy) -> None:
        self._policy: Final = policy

    def count_number(self, view: memoryview, trace: NumberTrace, now: int) -> list[Finding]:
        """Count a request by number at ``now`` (seconds since 1970); the patterns to be told of."""
        policy = self._policy
        found: list[Finding] = []
        client = self._client(view, trace.client, now)
        identity = IDENTITIES.body(view, trace.identity, now, policy.window)
        is_new_failure = False
        if trace.number is not None:
            is_new_failure, guesses = self._add_failure(view, trace.number, now, guess=trace.guess)
            if guesses >= policy.guesses_of_a_number:
                self._tell(view, found, client, Finding(Pattern.DETAILS_GUESSED, guesses), now)
        neighbours = self._add_neighbour(view, trace, now)
        if neighbours >= policy.neighbours:
            self._tell(view, found, client, Finding(Pattern.NEIGHBOURING_NUMBERS, neighbours), now)
        numbers = _add_number(view, identity, trace.place)
        if numbers >= (policy.numbers_of_a_person if trace.attended else policy.numbers_of_a_system):
            self._tell(view, found, identity, Finding(Pattern.MANY_NUMBERS, numbers), now)
        for subject in (identity, client):
            requests, unsuccessful = _add_request(view, subject, failure=is_new_failure)
            if is_new_failure and unsuccessful >= max(policy.unsuccessful, policy.unsuccessful_part * requests):
                self._tell(view, found, subject, Finding(Pattern.MOSTLY_UNSUCCESSFUL, unsuccessful), now)
        return found

    def count_search(self, view: memoryview, trace: SearchTrace, now: int) -> list[Finding]:
        """Count a search at ``now`` (seconds since 1970); the patterns to be told of."""
        policy = self._policy
        found: list[Finding] = []
        client = self._client(view, trace.client, now)
        changes, pair = self._add_postcode(view, trace, now)
        if changes >= policy.postcodes_of_a_search:
            self._tell(view, found, client, Finding(Pattern.POSTCODES_TRIED, changes), now)
        if pair:
            identity = IDENTITIES.body(view, trace.identity, now, policy.window)
            pairs = _add_pair(view, identity, pair)
            if pairs >= policy.postcode_pairs:
                self._tell(view, found, identity, Finding(Pattern.POSTCODE_PAIRS, pairs), now)
        for varied in trace.varied:
            values = self._add_value(view, varied, now)
            if values >= policy.values_of_a_field:
                self._tell(view, found, client, Finding(Pattern.FIELD_VARIED, values), now)
        return found

    def _tell(self, view: memoryview, found: list[Finding], subject: int, finding: Finding, now: int) -> None:
        at = subject + _TOLD_AT[finding.pattern]
        (told,) = _TOLD.unpack_from(view, at)
        if abs(now - told) < self._policy.quiet:
            return
        _TOLD.pack_into(view, at, now)
        # What a client and its only identity do is one thing.
        if all(other.pattern is not finding.pattern for other in found):
            found.append(finding)

    def _client(self, view: memoryview, key: bytes, now: int) -> int:
        return SUBJECTS.body(view, key, now, self._policy.window, _KEEP)

    def _add_failure(self, view: memoryview, number: bytes, now: int, *, guess: bool) -> tuple[bool, int]:
        """Whether this number is the client's first failure with it, and how often the details did not fit by now."""
        body = SUBJECTS.body(view, number, now, self._policy.window)
        failures, guesses = _FAILURES.unpack_from(view, body)
        guesses += guess
        _FAILURES.pack_into(view, body, min(failures + 1, _MOST), min(guesses, _MOST))
        weigh(view, body, failures + 1)
        return failures == 0, guesses if guess else 0

    def _add_neighbour(self, view: memoryview, trace: NumberTrace, now: int) -> int:
        """How many numbers of the block were asked for by now; 0 where this one had been."""
        body = SUBJECTS.body(view, trace.block, now, self._policy.window)
        at, bit = body + _BLOCK_BITMAP_AT + (trace.bit >> 3), 1 << (trace.bit & 7)
        if view[at] & bit:
            return 0
        view[at] |= bit
        count = min(int(_COUNT.unpack_from(view, body)[0]) + 1, BLOCK)
        _COUNT.pack_into(view, body, count)
        weigh(view, body, count)
        return count

    def _add_postcode(self, view: memoryview, trace: SearchTrace, now: int) -> tuple[int, int]:
        """How often the postcode of this search changed by now, 0 where it did not; and what it counts for as a pair.

        A search with and without postcode is a pair when it has been made both ways. One whose second form is the
        ordinary step after the answer to the first counts a third, and nothing for a system that does so by itself.
        """
        body = SUBJECTS.body(view, trace.base, now, self._policy.window)
        last, changes, forms, next_step = _BASE.unpack_from(view, body)
        form, step = (_WITHOUT, NextStep.LEAVE_OUT) if trace.postcode == NO_POSTCODE else (_WITH, NextStep.ADD)
        has_changed = forms != 0 and trace.postcode != last
        changes = min(changes + has_changed, _KEEP)
        _BASE.pack_into(view, body, trace.postcode, changes, forms | form, trace.next_step)
        weigh(view, body, changes + 1)
        pair = 0
        if forms in (_WITH, _WITHOUT) and forms | form == _BOTH:
            pair = _WHOLE if next_step != step else _THIRD * trace.attended
        return (changes if has_changed else 0), pair

    def _add_value(self, view: memoryview, varied: Varied, now: int) -> int:
        """With how many values of the field a search like this was made in vain by now; 0 where this is no new one."""
        body = SUBJECTS.body(view, varied.others, now, self._policy.window)
        count, *marks = _VALUES.unpack_from(view, body)
        if varied.mark in marks[:count]:
            return 0
        marks[count % MOST_VALUES] = varied.mark
        count = min(count + 1, MOST_VALUES)
        _VALUES.pack_into(view, body, count, *marks)
        weigh(view, body, count)
        return int(count)


def _add_request(view: memoryview, subject: int, *, failure: bool) -> tuple[int, int]:
    requests, failed = _SHARE.unpack_from(view, subject)
    if requests < _MOST:
        requests, failed = requests + 1, failed + failure
    _SHARE.pack_into(view, subject, requests, failed)
    return requests, failed


def _add_number(view: memoryview, identity: int, place: int) -> int:
    """How many different numbers an identity asked for by now, within some percent; 0 where this is no new one."""
    place %= BITMAP_BITS
    at, bit = identity + _BITMAP_AT + (place >> 3), 1 << (place & 7)
    if view[at] & bit:
        return 0
    view[at] |= bit
    filled, pairs = _BREADTH.unpack_from(view, identity + _BREADTH_AT)
    filled = min(filled + 1, BITMAP_BITS)
    _BREADTH.pack_into(view, identity + _BREADTH_AT, filled, pairs)
    weigh(view, identity, filled + pairs)
    # Linear counting: numbers that share a bit are counted in by how full the bitmap is.
    return round(-BITMAP_BITS * log1p(-min(filled, BITMAP_BITS - 1) / BITMAP_BITS))


def _add_pair(view: memoryview, identity: int, thirds: int) -> int:
    """How many pairs of searches an identity made by now."""
    filled, pairs = _BREADTH.unpack_from(view, identity + _BREADTH_AT)
    pairs = min(pairs + thirds, _KEEP)
    _BREADTH.pack_into(view, identity + _BREADTH_AT, filled, pairs)
    weigh(view, identity, filled + pairs)
    return int(pairs) // _WHOLE
