"""A trail of three days with a root for every group commit, and copies of it to be manipulated."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from made_trails import RING, Listener, MadeLane, SteppingClock, TrailMaker, trail_file
from smsp_provider.audit.chain import Lane, SealedContent, SignedRoot, TrailReader, first_link, next_link
from smsp_provider.audit.roots import NO_ROOT, BoundLane, next_statement, parse, sign, statement_hash
from smsp_provider.audit.trail_books import TrailBooks
from smsp_provider.audit.verification import Means, VerificationReport, verify
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_folder import AuditFolder
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.audit_signing_key import SigningKeyFile, make_signing_key
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_audit_reading import SqliteTrailReader
from smsp_provider.storage.sqlite_file import Synchronous
from smsp_provider.storage.witness_file import WitnessFile, read_witness_file
from smsp_provider.storage.witness_handing import WitnessHanding
from tamper.hands import Hand, SqliteHand

__all__ = ["Copy", "Place", "Scene", "SqliteScene"]


class Place(Protocol):
    """Where trails are made and copied."""

    def new(self, name: str) -> tuple[AuditDatabase, TrailBooks]:
        """A place for a new trail."""
        ...

    def keep(self, name: str, as_name: str) -> None:
        """A copy of a trail, as a backup would be."""
        ...

    @contextmanager
    def copy(self, name: str) -> Iterator[tuple[TrailReader, TrailBooks, Hand]]:
        """A copy of a trail for one manipulation."""
        ...


@dataclass
class Copy:
    """One trail that is manipulated, and what the manipulator knows of it. ``lanes`` are by day and writer."""

    scene: "Scene"
    reader: TrailReader
    books: TrailBooks
    hand: Hand
    lanes: list[Lane] = field(default_factory=list)
    lengths: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lanes = list(self.reader.lanes())
        self.lengths = {lane.token: sum(1 for _ in self.reader.chain(lane)) for lane in self.lanes}

    def verified(self, *, witness: bool = True, keys: bool = True) -> VerificationReport:
        means = Means(
            unsealer=KeyRingUnsealer(RING) if keys else None,
            books=self.books,
            witness=read_witness_file(self.scene.witness) if witness else None,
            public_key=self.scene.signer.public_key,
        )
        return verify(self.reader, means)

    def cipher(self, lane: Lane) -> AESGCM:
        return AESGCM(RING.unwrap(lane.key_id, lane.wrapped_key, lane.token))

    def opened(self, lane: Lane, n: int) -> bytes:
        """Salt and text of a record."""
        sealed = self.hand.get("content", lane, n)["sealed"]
        return b"".join(KeyRingUnsealer(RING).unseal(lane, SealedContent(lane.id, n, sealed)))

    def sealed(self, lane: Lane, n: int, salted: bytes) -> bytes:
        """What was opened, sealed as another record."""
        nonce = bytes(12)
        return nonce + self.cipher(lane).encrypt(nonce, salted, f"{lane.token}|{n}".encode())

    def relink(self, lane: Lane, first: int) -> None:
        """Correct links from record ``first`` to the end of a lane."""
        link = (
            first_link(self.reader.trail_id(), lane.token, lane.day)
            if first == 1
            else self.hand.get("chain", lane, first - 1)["link"]
        )
        for n in range(first, self.lengths[lane.token] + 1):
            row = self.hand.get("chain", lane, n)
            link = next_link(link, n, row["kind"], row["at"], row["exchange"], row["commitment"])
            self.hand.set("chain", lane, n, {"link": link})

    def sign_again(self, *, without: Sequence[str] = ()) -> int:
        """Make all roots say what the chain says now; the number of the first that had to be another one."""
        links = {
            (lane.token, record.n): record.link for lane in self.reader.lanes() for record in self.reader.chain(lane)
        }
        previous, records, first = NO_ROOT, 0, 0
        roots = list(self.reader.roots())
        self.hand.run("DELETE FROM root")
        bound: dict[str, int] = {}
        for root in roots:
            statement = parse(root.statement)
            lanes = []
            for lane in statement.lanes:
                if lane.token not in without:
                    lanes.append(BoundLane(lane.token, lane.n, links[lane.token, lane.n]))
                    records += lane.n - bound.get(lane.token, 0)
                    bound[lane.token] = lane.n
            made = sign(replace(statement, lanes=tuple(lanes), previous=previous, records=records), self.scene.signer)
            if made != root and not first:
                first = root.number
            previous = statement_hash(made.statement)
            self.put_root(made)
        return first

    def last_root_at(self) -> datetime:
        """The moment of the last root."""
        (*_, last) = self.reader.roots()
        return parse(last.statement).at

    def bind(self, lane: Lane, before: int, at: datetime) -> None:
        """What the keeper does with a lane that grew: a root, which the witness has not got yet."""
        (*_, last) = self.reader.roots()
        (*_, record) = self.reader.chain(lane)
        statement = next_statement(
            last,
            [(BoundLane(lane.token, record.n, record.link), before)],
            trail=self.reader.trail_id(),
            made_at=self.books.made_at(),
            at=at,
            signer=self.scene.signer,
        )
        self.put_root(sign(statement, self.scene.signer))

    def put_root(self, root: SignedRoot) -> None:
        self.hand.run("INSERT INTO root (number, statement, signature) VALUES (?, ?, ?)", root)


class Scene:
    """The trail ``trail``, a ``backup`` of it from its second day, and the trail ``other`` with the same keys."""

    def __init__(self, directory: Path, place: Place) -> None:
        self.place = place
        self.witness = directory / "witness" / "roots.jsonl"
        self._keys = SigningKeyFile(directory / "keys" / "signing.key")
        make_signing_key(self._keys.file)
        self.signer = self._keys.current()
        self.witness.parent.mkdir()
        self.roots = self._make("trail", WitnessFile(self.witness))
        self._make("other", None)

    @contextmanager
    def copy(self, name: str = "trail") -> Iterator[Copy]:
        with self.place.copy(name) as (reader, books, hand):
            yield Copy(self, reader, books, hand)

    def _make(self, name: str, witness: WitnessFile | None) -> int:
        database, books = self.place.new(name)
        clock, listener = SteppingClock(), Listener()
        handings = [] if witness is None else [WitnessHanding(witness, database, clock, listener)]
        folder = AuditFolder(database, books, self._keys, handings, clock, listener)
        maker = TrailMaker(database, clock)
        first = [maker.begin("writer-a")]
        folder.run()
        for writer in ("writer-b", "writer-c"):
            first.append(maker.begin(writer, first[-1]))
            folder.run()
        self._talk(maker, folder, first)
        clock.at += timedelta(days=1)
        second = [maker.begin(lane.lane.writer, lane, closing=True) for lane in first[:2]]
        folder.run()
        maker.end(second[0], first[2])
        folder.run()
        self._talk(maker, folder, second)
        if name == "trail":
            self.place.keep("trail", "backup")
        maker.erase(second[0], [(first[1], 4), (first[1], 5)])
        folder.run()
        self._talk(maker, folder, second)
        clock.at += timedelta(days=1)
        third = [maker.begin(lane.lane.writer, lane, closing=True) for lane in second]
        folder.run()
        self._talk(maker, folder, third)
        maker.close(third[0])
        folder.run()
        assert listener.alerts == []
        database.close()
        last = folder.last
        assert last is not None
        return last.number

    @staticmethod
    def _talk(maker: TrailMaker, folder: AuditFolder, lanes: Sequence[MadeLane]) -> None:
        for turn in range(8):
            maker.exchange(lanes[turn % len(lanes)])
            folder.run()


class SqliteScene:
    """Trails in files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._copies = 0

    def new(self, name: str) -> tuple[AuditDatabase, TrailBooks]:
        file = trail_file(self._directory / name)
        return SqliteAuditDatabase(file, synchronous=Synchronous.NORMAL), SqliteTrailBooks(file)

    def keep(self, name: str, as_name: str) -> None:
        shutil.copytree(self._directory / name, self._directory / as_name)

    @contextmanager
    def copy(self, name: str) -> Iterator[tuple[TrailReader, TrailBooks, Hand]]:
        self._copies += 1
        directory = self._directory / f"copy-{self._copies}"
        shutil.copytree(self._directory / name, directory)
        file = directory / "audit.db"
        reader, hand = SqliteTrailReader(file), SqliteHand(file)
        # As fast as it can be: nothing of this is kept.
        hand.run("PRAGMA synchronous = OFF")
        try:
            yield reader, SqliteTrailBooks(file), hand
        finally:
            hand.close()
            reader.close_reader()
            shutil.rmtree(directory)
