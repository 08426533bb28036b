"""The form of an archive: every line comes back, and what is none is refused."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.audit.archive import (
    ArchivedLane,
    ArchivedRecord,
    ArchiveInvalid,
    FileFacts,
    Manifest,
    lane_line,
    manifest_text,
    read_lane,
    read_manifest,
    read_record,
    record_line,
)
from smsp_provider.audit.chain import ChainedRecord, Lane

pytestmark = pytest.mark.rule("SMSP-AUDIT-001")

LANE = Lane(7, "TOKEN", date(2026, 3, 1), "WRITER", "k1", b"\x00\xff wrapped")
MANIFEST = Manifest(
    trail="TRAIL",
    trail_made_at="2026-01-01T00:00:00.000000+00:00",
    since=date(2026, 3, 1),
    until=date(2026, 3, 2),
    made_at="2026-04-01T00:00:00.000000Z",
    made_by="jsmith",
    lanes=1,
    records=2,
    contents=1,
    first_root=3,
    last_root=9,
    key_ids=("k1",),
    files=(FileFacts("lanes.jsonl", "ab" * 32, 100, 1),),
)


@given(st.integers(1), st.text(), st.integers(0), st.none() | st.text(), st.binary(), st.binary())
def test_a_record_comes_back(n: int, kind: str, at: int, exchange: str | None, one: bytes, two: bytes) -> None:
    record = ArchivedRecord(ChainedRecord(LANE.id, n, kind, at, exchange, one, two), two)
    line = record_line(LANE, record)
    assert line.isascii()
    assert line.count("\n") == 1
    assert read_record(line.encode(), {LANE.token: LANE}) == record


def test_a_record_without_its_content_names_the_tombstone() -> None:
    record = ArchivedRecord(ChainedRecord(LANE.id, 2, "ending", 0, "E", b"1", b"2"), None, (3, 5))
    assert read_record(record_line(LANE, record).encode(), {LANE.token: LANE}) == record
    without = record_line(LANE, record._replace(tombstone=None)).encode()
    with pytest.raises(ArchiveInvalid):
        read_record(without, {LANE.token: LANE})


@pytest.mark.parametrize("ended_at", [77, None], ids=["ended", "open"])
def test_a_lane_comes_back(ended_at: int | None) -> None:
    archived = ArchivedLane(LANE, 4711, 55, ended_at)
    assert read_lane(lane_line(archived).encode()) == archived


def test_the_manifest_comes_back() -> None:
    assert read_manifest(manifest_text(MANIFEST)) == MANIFEST


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"form":"smsp-audit-archive-1"}',
        manifest_text(MANIFEST).replace(b"archive-1", b"archive-2"),
        manifest_text(MANIFEST).replace(b'"lanes":1', b'"lanes":true'),
        manifest_text(MANIFEST).replace(b'"lanes":1', b'"lanes":1,"more":1'),
        manifest_text(MANIFEST).replace(b'"bytes":100', b'"bytes":"100"'),
        b"[" * 100_000,
    ],
    ids=["empty", "a list", "nothing", "the form alone", "another form", "a flag", "a field more", "text", "deep"],
)
def test_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(ArchiveInvalid, match=r"manifest\.json"):
        read_manifest(text)


def test_a_line_of_another_lane_is_refused() -> None:
    record = ArchivedRecord(ChainedRecord(7, 1, "act", 0, None, b"", b""), b"")
    with pytest.raises(ArchiveInvalid):
        read_record(record_line(LANE, record).encode(), {})


@pytest.mark.parametrize("line", [b"", b"{}", b"1", b"\xff"], ids=["empty", "nothing", "a number", "no text"])
def test_a_line_of_another_kind_is_refused(line: bytes) -> None:
    with pytest.raises(ArchiveInvalid):
        read_lane(line)
    with pytest.raises(ArchiveInvalid):
        read_record(line, {LANE.token: LANE})
