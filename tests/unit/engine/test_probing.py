"""Who guesses is told of with a stated call, once, however the calls are ordered and whatever lies between them."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probing_traffic import ISSUED, Watch, answered, number_at_stem, number_request, search_request, stems
from smsp_provider.domain.audit_identity import AuditId
from smsp_provider.domain.identifiers import OID
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.probing import Answered, Finding, Pattern, ProbingPolicy
from smsp_provider.engine.probing_table import TABLE_BYTES, Rows, weigh
from smsp_provider.engine.probing_traces import BLOCK, KEY_BYTES, Tracer

pytestmark = pytest.mark.rule("SMSP-SEC-001")

POLICY = ProbingPolicy()
_NO_MATCH, _MULTIPLE, _NOT_VERIFIED = ResponseCode.NO_MATCH, ResponseCode.MULTIPLE_MATCHES, ResponseCode.NOT_VERIFIED
_SEEDS = st.integers(0, 2**32)
_quick = settings(max_examples=25, deadline=None)


def _issued(seed: int) -> Iterator[Answered]:
    """Requests for numbers of people who have nothing to do with each other."""
    chance = random.Random(seed)
    while True:
        number = number_at_stem(chance.choice(ISSUED))
        if number is not None:
            yield answered(number_request(number))


def _mixed(requests: Iterable[Answered], seed: int) -> Iterator[Answered]:
    """The requests with as many others between them."""
    for one, other in zip(requests, _issued(seed), strict=False):
        yield other
        yield one


@_quick
@given(seed=_SEEDS, limit=st.integers(2, 40))
def test_details_guessed_for_a_number_are_told_with_the_call_that_reaches_the_limit(seed: int, limit: int) -> None:
    number = next(stems(random.Random(seed).choice(ISSUED[:-1000])))
    guesses = [answered(number_request(number), _NOT_VERIFIED, user=f"user {turn}") for turn in range(limit)]
    watch = Watch(replace(POLICY, guesses_of_a_number=limit))
    assert watch.count_until(Pattern.DETAILS_GUESSED, _mixed(guesses, seed)) == 2 * limit
    assert watch.found == [Finding(Pattern.DETAILS_GUESSED, limit)]


def test_what_verifies_is_no_guess_and_another_client_has_its_own_count() -> None:
    watch = Watch()
    request = number_request(next(stems(ISSUED.start)))
    limit = POLICY.guesses_of_a_number
    watch.count_until(Pattern.DETAILS_GUESSED, [answered(request)] * 50)
    for client in ("hospital", "surgery"):
        assert (
            watch.count_until(Pattern.DETAILS_GUESSED, [answered(request, _NOT_VERIFIED, client=client)] * (limit - 1))
            is None
        )
    assert watch.found == []


@_quick
@given(seed=_SEEDS, start=st.sampled_from(ISSUED[:-2000]), stride=st.integers(1, 8), backwards=st.booleans())
def test_numbers_in_a_row_are_told_although_some_are_left_out(
    seed: int, start: int, stride: int, backwards: bool
) -> None:
    limit = POLICY.neighbours
    row = list(islice(stems(start), 2 * BLOCK))[:: -stride if backwards else stride]
    asked = [answered(number_request(number), user=f"user {turn}") for turn, number in enumerate(row)]
    at = Watch().count_until(Pattern.NEIGHBOURING_NUMBERS, _mixed(asked, seed))
    assert at is not None
    assert limit <= at // 2 <= 2 * limit - 1, "more than the limit only where the row goes over to the next block"


@_quick
@given(seed=_SEEDS, block=st.sampled_from(ISSUED[:-2000]))
def test_the_numbers_of_a_block_are_told_in_whatever_order(seed: int, block: int) -> None:
    start = block - block % BLOCK
    row = [number for stem in range(start, start + BLOCK) if (number := number_at_stem(stem)) is not None]
    random.Random(seed).shuffle(row)
    watch = Watch()
    asked = (answered(number_request(number)) for number in row)
    assert watch.count_until(Pattern.NEIGHBOURING_NUMBERS, asked) == POLICY.neighbours


def test_one_number_asked_for_again_and_again_is_no_row() -> None:
    few = list(islice(stems(ISSUED.start), POLICY.neighbours - 1))
    watch = Watch()
    for _ in range(20):
        for number in few:
            watch.note(answered(number_request(number)))
    assert watch.found == []


@pytest.mark.parametrize("attended", [True, False], ids=["person", "system"])
def test_very_many_numbers_of_one_identity_are_told_within_some_percent_of_the_limit(attended: bool) -> None:
    limit = 300
    policy = replace(POLICY, numbers_of_a_person=limit) if attended else replace(POLICY, numbers_of_a_system=limit)
    numbers = [replace(one, attended=attended) for one in islice(_issued(7), limit + 12)]
    repeated = (one for one in numbers for _ in range(3))
    watch = Watch(policy)
    at = watch.count_until(Pattern.MANY_NUMBERS, repeated)
    assert at is not None
    assert abs(at / 3 - limit) <= limit * 0.04
    spread = (replace(one, identity=()) if turn % 2 else one for turn, one in enumerate(numbers))
    assert Watch(policy).count_until(Pattern.MANY_NUMBERS, spread) is None


def test_a_large_number_of_numbers_is_counted_within_some_percent() -> None:
    limit = POLICY.numbers_of_a_system
    watch = Watch()
    at = watch.count_until(
        Pattern.MANY_NUMBERS, (replace(one, attended=False) for one in islice(_issued(8), round(limit * 1.05)))
    )
    assert at is not None
    assert abs(at - limit) <= limit * 0.05


@pytest.mark.parametrize("code", [_NOT_VERIFIED, _NO_MATCH, ResponseCode.INVALIDATED], ids=lambda code: code.value)
def test_numbers_that_mostly_fail_are_told_and_a_client_s_many_users_are_one(code: ResponseCode) -> None:
    limit = POLICY.unsuccessful
    by_many = [
        replace(one, code=code, identity=answered(one.request, user=f"user {turn}").identity)
        for turn, one in enumerate(islice(_issued(3), limit))
    ]
    watch = Watch()
    assert watch.count_until(Pattern.MOSTLY_UNSUCCESSFUL, by_many) == limit
    watch = Watch()
    assert watch.count_until(Pattern.MOSTLY_UNSUCCESSFUL, (replace(one, code=code) for one in _issued(3))) == limit
    assert len(watch.found) == 1, "a client and its only identity are told of as one"
    watch = Watch()
    rarely = (replace(one, code=code) if turn % 3 == 0 else one for turn, one in enumerate(islice(_issued(4), 290)))
    assert watch.count_until(Pattern.MOSTLY_UNSUCCESSFUL, rarely) is None


def test_one_user_who_mostly_fails_is_told_although_the_client_as_a_whole_does_not() -> None:
    watch = Watch()
    for turn, one in enumerate(islice(_issued(5), 2000)):
        watch.note(replace(one, identity=answered(one.request, user=f"user {turn % 50}").identity))
    guesses = [replace(one, code=_NO_MATCH) for one in islice(_issued(6), POLICY.unsuccessful)]
    assert watch.count_until(Pattern.MOSTLY_UNSUCCESSFUL, guesses) == POLICY.unsuccessful


@pytest.mark.parametrize(
    "forms", [("ZZ1 1AA", None), ("ZZ1 1AA", "ZZ1 1AB"), ("ZZ1*", None)], ids=["with and without", "two", "wildcard"]
)
def test_a_search_repeated_with_other_postcodes_is_told(forms: tuple[str | None, str | None]) -> None:
    limit = POLICY.postcodes_of_a_search
    searches = [
        answered(search_request(postcode=forms[turn % 2]), _NO_MATCH, user=f"user {turn}") for turn in range(limit + 1)
    ]
    assert Watch().count_until(Pattern.POSTCODES_TRIED, searches) == limit + 1
    watch = Watch()
    other_case = [replace(one, request=search_request("Quimble", postcode=forms[1])) for one in searches[1::2]]
    searches[1::2] = other_case
    assert watch.count_until(Pattern.POSTCODES_TRIED, searches) == limit + 1
    watch.now += POLICY.quiet
    assert watch.note(searches[limit]) == [], "no other postcode than before"
    written_apart = [answered(search_request(postcode=form)) for form in ("ZZ1 1AA", "zz11aa") * limit]
    assert Watch().count_until(Pattern.POSTCODES_TRIED, written_apart) is None


def _pairs(
    count: int, first: str | None, second: str | None, code: ResponseCode, *, attended: bool = True
) -> Iterator[Answered]:
    for turn in range(count):
        yield answered(search_request(f"FAMILY {turn}", postcode=first), code, attended=attended)
        yield answered(search_request(f"FAMILY {turn}", postcode=second), attended=attended)


@pytest.mark.parametrize("attended", [True, False], ids=["person", "system"])
@pytest.mark.parametrize("forms", [("ZZ1 1AA", None), (None, "ZZ1 1AA")], ids=["without after", "with after"])
def test_patients_who_were_found_and_are_searched_again_the_other_way_are_told(
    attended: bool, forms: tuple[str | None, str | None]
) -> None:
    limit = POLICY.postcode_pairs
    pairs = _pairs(limit, *forms, ResponseCode.SUCCESS, attended=attended)
    assert Watch().count_until(Pattern.POSTCODE_PAIRS, pairs) == 2 * limit


@pytest.mark.parametrize(
    ("forms", "code"),
    [(("ZZ1 1AA", None), _NO_MATCH), ((None, "ZZ1 1AA"), _MULTIPLE)],
    ids=["none found", "several found"],
)
def test_the_ordinary_second_try_counts_less_and_nothing_for_a_system(
    forms: tuple[str | None, str | None], code: ResponseCode
) -> None:
    limit = 3 * POLICY.postcode_pairs
    assert Watch().count_until(Pattern.POSTCODE_PAIRS, _pairs(limit, *forms, code)) == 2 * limit
    assert Watch().count_until(Pattern.POSTCODE_PAIRS, _pairs(500, *forms, code, attended=False)) is None


@pytest.mark.parametrize("field", ["born", "family", "given"])
@pytest.mark.parametrize("code", [_NO_MATCH, _MULTIPLE], ids=lambda code: code.value)
def test_searches_in_vain_that_differ_in_one_field_are_told(field: str, code: ResponseCode) -> None:
    limit = POLICY.values_of_a_field
    values = [f"196203{day:02d}" if field == "born" else f"VALUE {day}" for day in range(1, limit + 1)]
    searches = [answered(search_request(**{field: value}), code) for value in values for _ in range(2)]
    watch = Watch()
    assert watch.count_until(Pattern.FIELD_VARIED, searches) == 2 * limit - 1
    assert watch.found == [Finding(Pattern.FIELD_VARIED, limit)]
    assert (
        Watch().count_until(Pattern.FIELD_VARIED, [replace(one, code=ResponseCode.SUCCESS) for one in searches]) is None
    )


def test_a_pattern_is_told_once_until_it_was_quiet_for_long_enough() -> None:
    watch = Watch()
    for number in islice(stems(ISSUED.start), 2000):
        watch.note(answered(number_request(number), user=f"user {number.digits[-4:]}"))
    assert watch.found == [Finding(Pattern.NEIGHBOURING_NUMBERS, POLICY.neighbours)]
    watch.now += POLICY.quiet
    for number in islice(stems(ISSUED.start + 5000), 2000):
        watch.note(answered(number_request(number), user=f"user {number.digits[-4:]}"))
    assert len(watch.found) == 2


def test_only_another_guess_has_details_guessed_told_again() -> None:
    request = number_request(next(stems(ISSUED.start)))
    watch = Watch()
    watch.count_until(Pattern.DETAILS_GUESSED, [answered(request, _NOT_VERIFIED)] * POLICY.guesses_of_a_number)
    watch.now += POLICY.quiet
    assert watch.note(answered(request, _NO_MATCH)) == []
    assert watch.note(answered(request, _NOT_VERIFIED)) != []


def test_what_several_clients_ask_is_no_row_of_one() -> None:
    watch = Watch()
    for turn, number in enumerate(islice(stems(ISSUED.start), 40)):
        watch.note(answered(number_request(number), client=f"client {turn % 8}"))
    assert watch.found == []


def test_an_identity_is_the_same_in_whatever_order_its_ids_are_sent() -> None:
    ids = (AuditId(OID.ASID, "200000000205"), AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:ods:X26:ward-9"))
    limit = POLICY.postcode_pairs
    pairs = (
        replace(one, identity=ids[:: -1 if turn // 2 % 2 else 1])
        for turn, one in enumerate(_pairs(limit, "ZZ1 1AA", None, ResponseCode.SUCCESS))
    )
    assert Watch().count_until(Pattern.POSTCODE_PAIRS, pairs) == 2 * limit


def test_the_place_of_a_number_in_its_block_tells_no_digits() -> None:
    tracer = Tracer(bytes(range(KEY_BYTES)))
    seen = set()
    for start in range(ISSUED.start, ISSUED.start + 20 * BLOCK, BLOCK):
        number = next(stems(start))
        request = number_request(number)
        seen.add((int(number.digits[:9]) - tracer.number(answered(request), request).bit) % BLOCK)
    assert len(seen) > 10


def test_counts_are_those_of_one_window() -> None:
    request = answered(number_request(next(stems(ISSUED.start))), _NOT_VERIFIED)
    watch = Watch()
    limit = POLICY.guesses_of_a_number
    assert watch.count_until(Pattern.DETAILS_GUESSED, [request] * (limit - 1)) is None
    watch.now += POLICY.window
    assert watch.count_until(Pattern.DETAILS_GUESSED, [request] * limit) == limit


def test_a_clock_that_is_set_back_neither_stops_the_counting_nor_keeps_counts_for_ever() -> None:
    request = answered(number_request(next(stems(ISSUED.start))), _NOT_VERIFIED)
    watch = Watch()
    limit = POLICY.guesses_of_a_number
    assert watch.count_until(Pattern.DETAILS_GUESSED, [request] * (limit - 1)) is None
    watch.now -= 60
    assert watch.count_until(Pattern.DETAILS_GUESSED, [request]) == 1
    watch.now -= 2 * POLICY.window
    assert watch.count_until(Pattern.DETAILS_GUESSED, [request] * limit) == limit


def test_a_full_bucket_gives_up_what_counted_least_and_then_longest_ago() -> None:
    rows = Rows(0, 1, 32)
    view = memoryview(bytearray(rows.end))
    keys = [bytes([place]) * 8 for place in range(1, 10)]
    bodies = {}
    for age, key in enumerate(keys[:8]):
        bodies[key] = rows.body(view, key, 1000 + (3 + age) % 8, 600)
        weigh(view, bodies[key], 5 if key != keys[3] else 2)
        view[bodies[key]] = 1
    assert rows.body(view, keys[8], 1100, 600) == bodies[keys[3]], "the one that counted least"
    weigh(view, bodies[keys[3]], 5)
    assert rows.body(view, keys[3], 1100, 600) == bodies[keys[5]], "the oldest of those that are left"
    assert view[bodies[keys[5]]] == 0, "it begins with nothing"
    weigh(view, bodies[keys[6]], 9)
    assert rows.body(view, keys[5], 1602, 600) == bodies[keys[6]], "one whose time is over, whatever it counted"


@_quick
@given(seed=_SEEDS)
def test_nothing_of_a_patient_or_of_a_user_is_kept(seed: int) -> None:
    watch = Watch()
    chance = random.Random(seed)
    number = next(stems(chance.choice(ISSUED)))
    family, postcode = (f"{word}{chance.randrange(10**6):06d}" for word in ("FAM", "ZZ"))
    watch.note(answered(number_request(number), _NOT_VERIFIED, user="somebody"))
    watch.note(answered(search_request(family, postcode=postcode), _NO_MATCH, user="somebody"))
    kept = bytes(watch.table).lower()
    stem = int(number.digits[:9])
    for clear in (
        number.digits.encode(),
        stem.to_bytes(8),
        stem.to_bytes(8, "little"),
        family.lower().encode(),
        postcode.lower().encode(),
        b"19620317",
        b"somebody",
        b"hospital",
    ):
        assert clear not in kept
    assert len(kept) == TABLE_BYTES
