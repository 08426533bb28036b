"""Archives of a real trail: written, verified alone, restored, and found out where somebody changed them."""

import gzip
import io
import json
import stat
import subprocess
import tarfile
from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deletion_world import ANN, BASIS, BOB, ONE, REASON, TWO, DeletionWorld, MovingClock, untold
from operator_samples import Listener
from smsp_provider.audit.archive import ArchiveInvalid, Manifest
from smsp_provider.audit.deletion import DeletionRefused, digest_of
from smsp_provider.audit.deletion_events import RecordRange
from smsp_provider.audit.retention import RecordClass, RetentionPolicy
from smsp_provider.audit.verification import Means, VerificationReport, verify
from smsp_provider.storage.audit_archive import ArchiveRefused, new_manifest, write_archive
from smsp_provider.storage.audit_archive_file import ArchiveFile
from smsp_provider.storage.audit_folder import AuditFolder
from smsp_provider.storage.audit_records import AuditRecords
from smsp_provider.storage.audit_selection import count_due, records_retired
from smsp_provider.storage.audit_signing_key import SigningKeyFile, make_signing_key
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_audit_restore import restore_archive

pytestmark = pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")

FIRST = date(2026, 3, 1)
SECOND = date(2026, 3, 2)
THIRD = date(2026, 3, 3)
"""The days on which something is on record; whoever archives does it on the fourth."""
POLICY = RetentionPolicy({RecordClass.EXCHANGES: 10, RecordClass.ADMINISTRATION: 20, RecordClass.REFUSALS: 5})


class ArchivedWorld(DeletionWorld):
    """Three days of a trail, with roots."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, MovingClock(datetime(2026, 3, 1, 10, 0, tzinfo=UTC)))
        self.key_file = self.file.with_name("audit-signing.key")
        make_signing_key(self.key_file)
        self.signing = SigningKeyFile(self.key_file)
        self.folder = AuditFolder(self.database, SqliteTrailBooks(self.file), self.signing, (), self.clock, Listener())
        for day in range(3):
            for number in range(4):
                self.exchange(f"E{day}-{number}", TWO if number == 3 else ONE)
                self.clock.pass_by(minutes=1)
                self.folder.run()
            self.act(f"day {day}")
            self.clock.pass_by(days=1, minutes=-4)
        self.act("the fourth day begins")
        self.folder.run()

    def archive(self, name: str, since: date = FIRST, until: date = THIRD) -> Path:
        output = self.file.with_name(name)
        manifest = new_manifest(since, until, self.clock.now(), ANN.name)
        books = SqliteTrailBooks(self.file)
        write_archive(self.database, books, output, manifest, self.signing.current(), told=untold)
        return output

    def restored(self, archive: Path, directory: Path) -> Path:
        file = ArchiveFile(archive)
        path = directory / "restored" / "audit.db"
        restore_archive(file, file.manifest()[0], path, told=untold)
        return path

    def verified_part(self, path: Path, **means: object) -> VerificationReport:
        known: dict[str, object] = {"unsealer": self.unsealer, "books": SqliteTrailBooks(path), "part": True, **means}
        return verify(SqliteAuditDatabase(path), Means(**known))  # type: ignore[arg-type]  # by name, to add to


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ArchivedWorld]:
    made = ArchivedWorld(tmp_path)
    yield made
    made.close()


def _facts(manifest: Manifest) -> tuple[int, int, int]:
    return manifest.lanes, manifest.records, manifest.contents


class TestWhatIsInIt:
    def test_everything_of_the_days_and_nothing_else(self, world: ArchivedWorld) -> None:
        manifest, key = ArchiveFile(world.archive("a.tar.gz", FIRST, SECOND)).manifest()
        # A day: opening, eight of exchanges, an act; and the closing that the first record of the next day brings.
        assert _facts(manifest) == (2, 22, 22)
        assert (manifest.since, manifest.until, manifest.trail) == (FIRST, SECOND, world.database.trail_id())
        assert key == world.signing.current().public_key

    def test_it_can_be_read_with_what_every_machine_has(self, world: ArchivedWorld) -> None:
        archive = world.archive("a.tar.gz")
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
        with tarfile.open(archive) as tar:
            names = tar.getnames()
            lines = tar.extractfile("records/2026-03-01.jsonl")
            assert lines is not None
            records = [json.loads(line) for line in lines]
        assert names[0] == "README.txt"
        assert [record["kind"] for record in records[:3]] == ["opening", "intent", "ending"]
        assert [record["n"] for record in records] == list(range(1, 12))
        assert ONE.digits not in gzip.decompress(archive.read_bytes()).decode("latin-1")

    def test_the_signature_can_be_checked_with_openssl(self, world: ArchivedWorld, tmp_path: Path) -> None:
        with tarfile.open(world.archive("a.tar.gz")) as tar:
            tar.extractall(tmp_path / "files", filter="data")
        command = "openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in manifest.json -sigfile manifest.sig"
        done = subprocess.run(command.split(), cwd=tmp_path / "files", capture_output=True, text=True, check=False)
        assert (done.returncode, "Signature Verified Successfully" in done.stdout) == (0, True)
        manifest = json.loads((tmp_path / "files" / "manifest.json").read_text())
        for facts in manifest["files"]:
            assert sha256((tmp_path / "files" / facts["name"]).read_bytes()).hexdigest() == facts["sha256"]
        assert command in (tmp_path / "files" / "README.txt").read_text()

    def test_whoever_has_nothing_but_its_readme_can_read_it(self, world: ArchivedWorld) -> None:
        members = _members(world.archive("a.tar.gz", FIRST, FIRST))
        ring = world.keys.load(world.clock.now(), is_new=False).keys
        manifest = json.loads(members["manifest.json"])
        (lane,) = [json.loads(line) for line in members["lanes.jsonl"].splitlines()]
        wrapped, token = b64decode(lane["wrapped_key"]), lane["token"]
        key = AESGCM(AESGCM(ring[lane["key_id"]]).decrypt(wrapped[:12], wrapped[12:], token.encode()))
        link = sha256(f"smsp-lane|{manifest['trail']}|{token}|{lane['day']}".encode()).digest()
        contents = []
        for record in map(json.loads, members["records/2026-03-01.jsonl"].splitlines()):
            sealed, commitment = b64decode(record["sealed"]), bytes.fromhex(record["commitment"])
            opened = key.decrypt(sealed[:12], sealed[12:], f"{token}|{record['n']}".encode())
            assert sha256(opened).digest() == commitment
            said = f"{record['n']}|{record['at']}|{record['kind']}|{record['exchange'] or ''}"
            link = sha256(link + commitment + said.encode()).digest()
            assert link.hex() == record["link"]
            contents.append(json.loads(opened[16:]))
        assert contents[1]["request"]["nhs_number"] == ONE.digits
        roots = [json.loads(json.loads(line)["statement"]) for line in members["roots.jsonl"].splitlines()]
        assert [token, len(contents), link.hex()] in roots[-1]["lanes"]

    def test_nothing_is_replaced_and_nothing_half_done_stays(self, world: ArchivedWorld) -> None:
        archive = world.archive("a.tar.gz")
        kept = archive.read_bytes()
        with pytest.raises(ArchiveRefused, match="a file of this name"):
            world.archive("a.tar.gz")
        with pytest.raises(ArchiveRefused, match="nothing is on record"):
            world.archive("b.tar.gz", FIRST - timedelta(days=9), FIRST - timedelta(days=3))
        assert archive.read_bytes() == kept
        assert not [path.name for path in archive.parent.iterdir() if ".tar.gz" in path.name and path != archive]

    def test_a_content_that_was_taken_away_stops_it(self, world: ArchivedWorld) -> None:
        _take_away(world, 3)
        with pytest.raises(ArchiveRefused, match="nothing says why"):
            world.archive("a.tar.gz")

    def test_what_was_erased_names_its_tombstone(self, world: ArchivedWorld) -> None:
        deletions = world.deletions()
        proposed = deletions.propose(ANN, world.ranges((2, 3)), reason=REASON, legal_basis=BASIS)
        deletions.approve(proposed.proposal_id, BOB, digest_of(proposed))
        manifest, _ = ArchiveFile(world.archive("a.tar.gz", FIRST, FIRST)).manifest()
        assert _facts(manifest) == (1, 11, 9)


class TestRestored:
    def test_verified_without_the_database(self, world: ArchivedWorld, tmp_path: Path) -> None:
        path = world.restored(world.archive("a.tar.gz", FIRST, SECOND), tmp_path)
        report = world.verified_part(path, public_key=world.signing.current().public_key)
        assert (report.findings, report.records, report.contents, report.unbound) == ((), 22, 22, 0)

    def test_days_from_the_middle(self, world: ArchivedWorld, tmp_path: Path) -> None:
        archive = world.archive("a.tar.gz", SECOND, SECOND)
        manifest, _ = ArchiveFile(archive).manifest()
        assert manifest.first_root > 1
        report = world.verified_part(world.restored(archive, tmp_path), witness=list(world.database.roots()))
        assert (report.findings, report.records, report.unbound) == ((), 11, 0)
        assert report.witnessed == report.roots > 0

    def test_a_lane_whose_writer_is_idle_since(self, world: ArchivedWorld, tmp_path: Path) -> None:
        world.clock.at = datetime(2026, 3, 8, 9, 0, tzinfo=UTC)
        idle = DeletionWorld(tmp_path, world.clock)
        idle.exchange("idle")
        world.clock.pass_by(days=1)
        world.folder.run()
        archive = world.archive("a.tar.gz", date(2026, 3, 8), date(2026, 3, 8))
        (lane,) = ArchiveFile(archive).lanes()
        assert lane.ended_at is None
        report = world.verified_part(world.restored(archive, tmp_path))
        assert (report.findings, report.records, report.unbound) == ((), 3, 0)
        idle.close()

    def test_the_witness_is_asked(self, world: ArchivedWorld, tmp_path: Path) -> None:
        path = world.restored(world.archive("a.tar.gz", SECOND, SECOND), tmp_path)
        lines = [root._replace(signature=bytes(64)) for root in world.database.roots()]
        assert "witness" in world.verified_part(path, witness=lines).findings[0].what

    def test_records_are_found_where_they_were(self, world: ArchivedWorld, tmp_path: Path) -> None:
        path = world.restored(world.archive("a.tar.gz", SECOND, THIRD), tmp_path)
        restored = list(AuditRecords(SqliteAuditDatabase(path), world.unsealer).read())
        days = {lane.id for lane in world.database.lanes(since=SECOND, until=THIRD)}
        assert restored == [entry for entry in world.trail.read() if entry.lane in days]
        assert {entry.lane for entry in restored} == {2, 3}

    def test_erased_by_a_tombstone_that_is_not_in_it(self, world: ArchivedWorld, tmp_path: Path) -> None:
        deletions = world.deletions()
        proposed = deletions.propose(ANN, world.ranges((2, 3)), reason=REASON, legal_basis=BASIS)
        deletions.approve(proposed.proposal_id, BOB, digest_of(proposed))
        report = world.verified_part(world.restored(world.archive("a.tar.gz", FIRST, FIRST), tmp_path))
        assert (report.findings, report.erased) == ((), 2)

    def test_a_file_that_is_there_is_left_alone(self, world: ArchivedWorld, tmp_path: Path) -> None:
        archive = world.archive("a.tar.gz")
        world.restored(archive, tmp_path)
        with pytest.raises(FileExistsError):
            world.restored(archive, tmp_path)


Members = dict[str, bytes]


def _members(archive: Path) -> Members:
    with tarfile.open(archive) as tar:
        return {name: file.read() for name in tar.getnames() for file in [tar.extractfile(name)] if file is not None}


def _packed(members: Members, output: Path, *, more: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(output, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if more is not None:
            tar.addfile(more)
    return output


def _another_lane_key(members: Members) -> None:
    lanes = [json.loads(line) for line in members["lanes.jsonl"].splitlines()]
    lanes[0]["wrapped_key"] = lanes[1]["wrapped_key"]
    members["lanes.jsonl"] = b"".join(json.dumps(lane).encode() + b"\n" for lane in lanes)


def _one_record_less(members: Members) -> None:
    members["records/2026-03-02.jsonl"] = b"".join(members["records/2026-03-02.jsonl"].splitlines(keepends=True)[:-1])


def _other_key(members: Members) -> None:
    from smsp_provider.storage.audit_signing_key import public_pem

    key = Ed25519PrivateKey.generate()
    members["public-key.pem"] = public_pem(key.public_key().public_bytes_raw()).encode()


CHANGES: dict[str, Callable[[Members], object]] = {
    "a lane's key": _another_lane_key,
    "a record less": _one_record_less,
    "another key": _other_key,
    "a day less": lambda members: members.pop("records/2026-03-02.jsonl"),
    "no manifest": lambda members: members.pop("manifest.json"),
    "a count": lambda members: members.update({"manifest.json": members["manifest.json"].replace(b"33", b"34")}),
    "a file more": lambda members: members.update({"records/2026-03-09.jsonl": b""}),
    "no roots": lambda members: members.update({"roots.jsonl": b""}),
    "another README": lambda members: members.update({"README.txt": b"nothing"}),
}


class TestFoundOut:
    @pytest.mark.parametrize("change", CHANGES)
    def test_somebody_changed_it(self, world: ArchivedWorld, change: str, tmp_path: Path) -> None:
        members = _members(world.archive("a.tar.gz"))
        ArchiveFile(_packed(members, tmp_path / "same.tar.gz")).manifest()
        CHANGES[change](members)
        with pytest.raises(ArchiveInvalid):
            ArchiveFile(_packed(members, tmp_path / "changed.tar.gz")).manifest()

    def test_it_is_cut_short(self, world: ArchivedWorld, tmp_path: Path) -> None:
        whole = world.archive("a.tar.gz").read_bytes()
        cut = tmp_path / "cut.tar.gz"
        for length in (0, 10, len(whole) // 2, len(whole) - 1_000):
            cut.write_bytes(whole[:length])
            with pytest.raises(ArchiveInvalid):
                ArchiveFile(cut).manifest()

    def test_it_holds_something_else_than_files(self, world: ArchivedWorld, tmp_path: Path) -> None:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed = _packed(_members(world.archive("a.tar.gz")), tmp_path / "link.tar.gz", more=link)
        with pytest.raises(ArchiveInvalid, match="something else than files"):
            ArchiveFile(packed).manifest()

    def test_it_was_written_and_signed_by_somebody_who_changed_the_database(
        self, world: ArchivedWorld, tmp_path: Path
    ) -> None:
        # The manifest is right then: it is the chain that tells.
        records = "records/2026-03-02.jsonl"
        members = _members(world.archive("a.tar.gz"))
        lines = [json.loads(line) for line in members[records].splitlines()]
        lines[3]["exchange"] = "another"
        members[records] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        packed = _packed(members, tmp_path / "changed.tar.gz")
        path = tmp_path / "restored" / "audit.db"
        restore_archive(ArchiveFile(packed), ArchiveFile(world.archive("b.tar.gz")).manifest()[0], path, told=untold)
        (finding,) = world.verified_part(path).findings
        assert finding.n == 4


class TestRetired:
    def _chosen(self, world: ArchivedWorld, archive: Path, today: date, until: date = THIRD) -> list[RecordRange]:
        file = ArchiveFile(archive)
        lanes = file.lanes()
        records = file.records({one.lane.token: one.lane for one in lanes})
        return records_retired(world.database, records, lanes, POLICY, until=until, today=today)

    def test_what_is_due_and_archived(self, world: ArchivedWorld) -> None:
        archive = world.archive("a.tar.gz")
        tokens = [lane.token for lane in world.database.lanes()]
        in_time, later = SECOND + timedelta(days=11), SECOND + timedelta(days=21)
        # (Nothing of openings and closings, and the acts ten days later.)
        exchanges = [RecordRange(token, 2, 9) for token in tokens[:2]]
        assert self._chosen(world, archive, in_time) == exchanges
        assert self._chosen(world, archive, in_time, until=FIRST) == exchanges[:1]
        assert self._chosen(world, archive, later) == [
            *(RecordRange(token, 2, 10) for token in tokens[:2]),
            RecordRange(tokens[2], 2, 9),
        ]
        assert self._chosen(world, archive, FIRST + timedelta(days=10)) == []
        assert count_due(world.database, POLICY, in_time, untold) == {
            RecordClass.EXCHANGES: 16,
            RecordClass.ADMINISTRATION: 0,
            RecordClass.REFUSALS: 0,
        }

    def test_the_contents_go_and_the_archive_has_them(self, world: ArchivedWorld, tmp_path: Path) -> None:
        archive = world.archive("a.tar.gz")
        before = world.sealed()
        chosen = self._chosen(world, archive, SECOND + timedelta(days=11))
        deletions = world.deletions()
        proposed = deletions.propose(
            ANN,
            chosen,
            reason="past their time",
            legal_basis="retention schedule",
            archive=ArchiveFile(archive).sha256(),
        )
        assert deletions.approve(proposed.proposal_id, BOB, digest_of(proposed)) == 16
        world.folder.run()
        report = world.verified()
        assert (report.findings, report.erased) == ((), 16)
        gone = before.keys() - world.sealed().keys()
        restored = SqliteAuditDatabase(world.restored(archive, tmp_path))
        held = {(one.lane, one.n): one.sealed for lane in restored.lanes() for one in restored.contents(lane)}
        assert {place: held[place] for place in gone} == {place: before[place] for place in gone}
        assert self._chosen(world, archive, SECOND + timedelta(days=11)) == []

    def test_an_archive_with_another_content_is_refused(self, world: ArchivedWorld, tmp_path: Path) -> None:
        records = "records/2026-03-01.jsonl"
        members = _members(world.archive("a.tar.gz"))
        lines = [json.loads(line) for line in members[records].splitlines()]
        lines[1]["sealed"], lines[2]["sealed"] = lines[2]["sealed"], lines[1]["sealed"]
        members[records] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        with pytest.raises(DeletionRefused, match="1:2: its content in the archive is another one"):
            self._chosen(world, _packed(members, tmp_path / "b.tar.gz"), SECOND + timedelta(days=11))


def _take_away(world: DeletionWorld, n: int) -> None:
    import sqlite3
    from contextlib import closing

    table = f"content_{world.database.lanes()[0].day:%Y%m%d}"
    with closing(sqlite3.connect(world.file, isolation_level=None)) as connection:
        connection.execute(f"DROP TRIGGER {table}_no_delete")
        connection.execute(f"DELETE FROM {table} WHERE n = ?", (n,))  # noqa: S608 - the name of a day's table
