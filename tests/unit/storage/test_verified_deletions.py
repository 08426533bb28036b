"""A tombstone that does not follow from a proposal of another officer is found."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from made_trails import RING, Listener, SteppingClock, TrailMaker, erasure_of, proposal_of, trail_file
from smsp_provider.audit.deletion_events import DeletionWithdrawn, Erasure, RecordRange
from smsp_provider.audit.events import Record
from smsp_provider.audit.verification import Means, verify
from smsp_provider.storage.audit_database import ErasedRow
from smsp_provider.storage.audit_folder import AuditFolder
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.audit_signing_key import SigningKeyFile, make_signing_key
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_file import Synchronous

pytestmark = pytest.mark.rule("SMSP-AUDIT-001")

LONG_ENOUGH = timedelta(days=8)


def _of_the_same_officer(erasure: Erasure) -> list[Record]:
    return [replace(proposal_of(erasure), by=erasure.approved_by), replace(erasure, proposed_by=erasure.approved_by)]


CASES: dict[str, tuple[Callable[[Erasure], list[Record]], str | None]] = {
    "proposed and approved": (lambda erasure: [proposal_of(erasure), erasure], None),
    "not proposed": (lambda erasure: [erasure], "it erases what nobody proposed"),
    "another one proposed": (
        lambda erasure: [replace(proposal_of(erasure), proposal_id="P2"), erasure],
        "it erases what nobody proposed",
    ),
    "less proposed": (
        lambda erasure: [replace(proposal_of(erasure), records=erasure.records[:1]), erasure],
        "it erases something else than was proposed, or for another reason",
    ),
    "another reason": (
        lambda erasure: [replace(proposal_of(erasure), reason="for a good reason"), erasure],
        "it erases something else than was proposed, or for another reason",
    ),
    "one officer": (_of_the_same_officer, "it erases what one and the same officer proposed and approved"),
    "withdrawn": (
        lambda erasure: [
            proposal_of(erasure),
            DeletionWithdrawn(erasure.at, erasure.proposal_id, erasure.proposed_by),
            erasure,
        ],
        "it erases what was proposed and withdrawn",
    ),
    "too late": (
        lambda erasure: [proposal_of(erasure), replace(erasure, at=erasure.at + timedelta(days=7))],
        "it erases what was proposed too long before",
    ),
}


@pytest.mark.parametrize(("records", "finding"), CASES.values(), ids=CASES)
def test_a_tombstone_wants_a_proposal_of_another_officer(
    tmp_path: Path, records: Callable[[Erasure], list[Record]], finding: str | None
) -> None:
    clock, keys, file = SteppingClock(), SigningKeyFile(tmp_path / "keys" / "signing.key"), trail_file(tmp_path)
    make_signing_key(keys.file)
    database, books = SqliteAuditDatabase(file, synchronous=Synchronous.NORMAL), SqliteTrailBooks(file)
    maker = TrailMaker(database, clock)
    folder = AuditFolder(database, books, keys, [], clock, Listener())
    lane = maker.begin("writer")
    maker.exchange(lane)
    ranges = tuple(RecordRange(lane.lane.token, n, n) for n in (2, 3))
    maker.write(lane, records(erasure_of(clock.now(), ranges)))
    tombstone = lane.n
    database.erase([ErasedRow(lane.lane.id, n, lane.lane.id, tombstone) for n in (2, 3)])
    clock.at += LONG_ENOUGH
    folder.run()
    report = verify(database, Means(KeyRingUnsealer(RING), books))
    assert [(one.what, one.n) for one in report.findings] == ([] if finding is None else [(finding, tombstone)])
    database.close()
