"""Roots: one form, signed, each following the one before; and the lines of a witness."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.audit.chain import SignedRoot
from smsp_provider.audit.roots import (
    NO_ROOT,
    BoundLane,
    RootChain,
    RootInvalid,
    RootStatement,
    check_signature,
    next_statement,
    parse,
    sign,
    statement_hash,
)
from smsp_provider.audit.witness import WitnessLineInvalid, read_line, write_line
from smsp_provider.storage.audit_signing_key import SigningKey

AT = datetime(2026, 3, 4, 5, 6, 7, 890, UTC)
TRAIL = "00000000-0000-4000-8000-000000000001"
MADE_AT = "2026-03-01T00:00:00.000000Z"
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
FIRST = BoundLane("A", 3, b"\x01" * 32)
SECOND = BoundLane("B", 2, b"\x02" * 32)


def three_roots() -> list[SignedRoot]:
    """A begins with 3 records, B comes with 2, A goes on to 5."""
    roots: list[SignedRoot] = []
    for moved in ([(FIRST, 0)], [(SECOND, 0)], [(BoundLane("A", 5, b"\x03" * 32), 3)]):
        last = roots[-1] if roots else None
        roots.append(sign(next_statement(last, moved, trail=TRAIL, made_at=MADE_AT, at=AT, signer=KEY), KEY))
    return roots


def follow(roots: list[SignedRoot], trail: str = TRAIL) -> RootChain:
    chain = RootChain(trail)
    for root in roots:
        chain.accept(root)
    return chain


def signed(statement: RootStatement, key: SigningKey = KEY) -> SignedRoot:
    return sign(replace(statement, key=key.public_key), key)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_roots_follow_each_other() -> None:
    chain = follow(three_roots())
    assert chain.last is not None
    assert (chain.last.number, chain.last.records) == (3, 7)
    assert chain.signers == [KEY.public_key]


def test_the_form_is_fixed() -> None:
    root = three_roots()[0]
    assert root.statement == (
        b'{"at":"2026-03-04T05:06:07.000890Z","form":1,"key":"' + KEY.public_key.hex().encode() + b'",'
        b'"lanes":[["A",3,"'
        + b"01" * 32
        + b'"]],"made_at":"2026-03-01T00:00:00.000000Z","number":1,"previous":"'
        + b"00" * 32
        + b'","records":3,'
        b'"trail":"00000000-0000-4000-8000-000000000001"}'
    )
    assert parse(root.statement).encode() == root.statement


@given(
    st.lists(st.tuples(st.uuids(), st.integers(1, 2**40), st.binary(min_size=32, max_size=32)), max_size=4),
    st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),  # noqa: DTZ001 - hypothesis wants it naive
    st.none() | st.binary(min_size=32, max_size=32),
)
def test_what_is_written_is_read(lanes: list[tuple[object, int, bytes]], at: datetime, next_key: bytes | None) -> None:
    bound = tuple(BoundLane(str(token), n, link) for token, n, link in lanes)
    statement = RootStatement(TRAIL, MADE_AT, 7, at, NO_ROOT, 9, bound, KEY.public_key, next_key)
    assert parse(statement.encode()) == statement


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_of_a_root_can_be_changed(place: int, change: int) -> None:
    root = three_roots()[1]
    place %= len(root.statement)
    altered = bytearray(root.statement)
    altered[place] ^= change
    with pytest.raises(RootInvalid):
        follow([three_roots()[0], root._replace(statement=bytes(altered))])


Edit = Callable[[list[SignedRoot]], list[SignedRoot]]


def _statement(roots: list[SignedRoot], place: int) -> RootStatement:
    return parse(roots[place].statement)


EDITS: dict[str, tuple[Edit, str]] = {
    "first root left out": (lambda roots: roots[1:], "missing"),
    "root in the middle left out": (lambda roots: [roots[0], roots[2]], "missing"),
    "two roots swapped": (lambda roots: [roots[1], roots[0], roots[2]], "missing"),
    "kept under another number": (
        lambda roots: [roots[0], roots[1]._replace(number=3)],
        "another number",
    ),
    "a root again under the next number": (lambda roots: [*roots, roots[1]._replace(number=4)], "another number"),
    "signature of another root": (
        lambda roots: [roots[0], roots[1]._replace(signature=roots[2].signature)],
        "signature",
    ),
    "no signature": (lambda roots: [roots[0]._replace(signature=b"")], "signature"),
    "signed with a key of somebody else's": (
        lambda roots: [roots[0], signed(_statement(roots, 1), OTHER_KEY)],
        "key that the root before",
    ),
    "another predecessor": (
        lambda roots: [roots[0], signed(replace(_statement(roots, 1), previous=NO_ROOT))],
        "does not name the root before",
    ),
    "a lane that went back": (
        lambda roots: [
            roots[0],
            signed(replace(_statement(roots, 1), lanes=(BoundLane("A", 2, b"\x03" * 32),), records=2)),
        ],
        "went back",
    ),
    "a wrong number of records": (
        lambda roots: [roots[0], signed(replace(_statement(roots, 1), records=6))],
        "number of records",
    ),
    "lanes out of order": (
        lambda roots: [signed(replace(_statement(roots, 0), lanes=(SECOND, FIRST), records=5))],
        "not in order",
    ),
    "a lane twice": (
        lambda roots: [signed(replace(_statement(roots, 0), lanes=(FIRST, FIRST), records=6))],
        "not in order",
    ),
    "another beginning of the trail": (
        lambda roots: [roots[0], signed(replace(_statement(roots, 1), made_at="2026-02-01T00:00:00.000000Z"))],
        "another beginning",
    ),
    "older than the one before": (
        lambda roots: [roots[0], signed(replace(_statement(roots, 1), at=AT - timedelta(seconds=1)))],
        "older",
    ),
}


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("name", EDITS)
def test_roots_that_do_not_follow_are_refused(name: str) -> None:
    edit, reason = EDITS[name]
    with pytest.raises(RootInvalid, match=reason):
        follow(edit(three_roots()))


def test_the_roots_of_another_trail_are_refused() -> None:
    with pytest.raises(RootInvalid, match="another trail"):
        follow(three_roots(), "00000000-0000-4000-8000-000000000002")


def test_a_root_names_the_key_that_follows() -> None:
    first = sign(
        next_statement(
            None, [(FIRST, 0)], trail=TRAIL, made_at=MADE_AT, at=AT, signer=KEY, next_key=OTHER_KEY.public_key
        ),
        KEY,
    )
    second = sign(next_statement(first, [], trail=TRAIL, made_at=MADE_AT, at=AT, signer=OTHER_KEY), OTHER_KEY)
    assert follow([first, second]).signers == [KEY.public_key, OTHER_KEY.public_key]
    stays = sign(next_statement(first, [], trail=TRAIL, made_at=MADE_AT, at=AT, signer=KEY), KEY)
    with pytest.raises(RootInvalid, match="key that the root before"):
        follow([first, stays])


def test_a_clock_that_goes_back_makes_no_older_root() -> None:
    (first, *_) = three_roots()
    following = next_statement(first, [], trail=TRAIL, made_at=MADE_AT, at=AT - timedelta(hours=1), signer=KEY)
    assert following.at == AT


def test_nobody_signs_with_another_key_than_the_named_one() -> None:
    with pytest.raises(RootInvalid, match="another key"):
        sign(next_statement(None, [], trail=TRAIL, made_at=MADE_AT, at=AT, signer=KEY), OTHER_KEY)


def test_a_signature_is_that_of_its_key() -> None:
    root = three_roots()[0]
    check_signature(root, KEY.public_key)
    with pytest.raises(RootInvalid, match="signature"):
        check_signature(root, OTHER_KEY.public_key)


@pytest.mark.parametrize(
    "statement",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"form":2}'],
    ids=["nothing", "list", "empty", "not ASCII", "deep", "another form"],
)
def test_what_is_no_statement_is_refused(statement: bytes) -> None:
    with pytest.raises(RootInvalid):
        parse(statement)


def test_blanks_make_another_statement() -> None:
    with pytest.raises(RootInvalid, match="one form"):
        parse(three_roots()[0].statement.replace(b'":', b'": '))


def test_the_lines_of_a_witness() -> None:
    root = three_roots()[2]
    line = write_line(root)
    assert line.endswith(b"\n")
    assert read_line(line) == root
    assert statement_hash(read_line(line).statement) == statement_hash(root.statement)


@pytest.mark.parametrize(
    "line",
    [b"", b"{}\n", b"[1]\n", b'{"number":true,"signature":"","statement":""}\n', b"\xff\n", b"[" * 100_000],
    ids=["nothing", "empty", "list", "flag", "not ASCII", "deep"],
)
def test_what_is_no_line_is_refused(line: bytes) -> None:
    with pytest.raises(WitnessLineInvalid):
        read_line(line)
