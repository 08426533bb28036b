"""The store: synthetic patients in SQLite, in a file or in memory, indexed for the simple trace.

A record is kept as one JSON document, so that it is read whole or not at all; beside it stands one row for every name
it ever had. The index only finds candidates: :mod:`smsp_provider.simulator.trace` decides.
"""

import sqlite3
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

from smsp_provider.simulator.documents import pack, unpack
from smsp_provider.simulator.records import SpinePatient

__all__ = ["PatientRow", "PatientStore", "UnusableStore", "birth_digits", "fold"]

_VERSION: Final = 1
_BATCH: Final = 20_000
_PRECISIONS: Final = (4, 6, 8)
_TABLES: Final = (
    "CREATE TABLE patient (nhs_number TEXT PRIMARY KEY, superseded_by TEXT, document TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE name_key (family TEXT NOT NULL, gender TEXT NOT NULL, birth TEXT NOT NULL, nhs_number TEXT NOT NULL)",
)
_INDEXES: Final = """
    CREATE INDEX IF NOT EXISTS by_name ON name_key (family, gender, birth, nhs_number);
    CREATE INDEX IF NOT EXISTS by_key_number ON name_key (nhs_number);
    CREATE INDEX IF NOT EXISTS by_successor ON patient (superseded_by) WHERE superseded_by IS NOT NULL;
"""
_PAGE: Final = "SELECT document FROM patient WHERE nhs_number > ?1 ORDER BY nhs_number LIMIT ?2"
_PAGE_OF_FAMILY: Final = (
    "SELECT document FROM patient WHERE nhs_number > ?1"
    " AND nhs_number IN (SELECT nhs_number FROM name_key WHERE family = ?3) ORDER BY nhs_number LIMIT ?2"
)
_DROP_INDEXES: Final = """
    DROP INDEX IF EXISTS by_name;
    DROP INDEX IF EXISTS by_key_number;
"""


class UnusableStore(ValueError):
    """The file is a database, but not a patient store of this version."""


@dataclass(frozen=True, slots=True)
class PatientRow:
    """One line of a list of patients: what an operator needs to pick one."""

    nhs_number: str
    family: str
    given: str
    birth_time: str
    gender: str
    postcode: str
    state: str


def fold(text: str) -> str:
    """The form in which texts are compared: canonical composition, no case. Blanks and punctuation stay."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def birth_digits(birth_time: str | None) -> str:
    """The date of a timestamp as YYYY, YYYYMM or YYYYMMDD; empty where there is none of these precisions."""
    digits = (birth_time or "").strip()[:8]
    return digits if len(digits) in _PRECISIONS else ""


class PatientStore:
    """Patients by number and by name.

    One connection serves all threads in turn: a look-up takes some 20 microseconds.

    Raises:
        UnusableStore: the file holds something else.
        sqlite3.DatabaseError: the file is no database, or cannot be opened.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is not None and path.exists():
            _look_before_touching(path)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            ":memory:" if path is None else path, check_same_thread=False, isolation_level=None
        )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        self._connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA mmap_size=2147483648"
        )
        if _is_blank(self._connection):
            self._connection.executescript(f"{';'.join(_TABLES)}; {_INDEXES} PRAGMA user_version={_VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; the store cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    def add(self, patient: SpinePatient) -> None:
        """Add a patient, or replace the one with the same number."""
        self._insert([patient])

    def add_all(self, patients: Iterable[SpinePatient]) -> int:
        """Add or replace many; returns how many. A large load into an empty store builds its indexes at the end."""
        with self._lock:
            bulk = self.count() == 0
            if bulk:
                self._connection.executescript(_DROP_INDEXES)
            added = 0
            stream = iter(patients)
            try:
                while batch := list(islice(stream, _BATCH)):
                    self._insert(batch, fresh=bulk)
                    added += len(batch)
            finally:
                self._connection.executescript(_INDEXES)
            return added

    def _insert(self, patients: Sequence[SpinePatient], *, fresh: bool = False) -> None:
        keys = [row for patient in patients for row in _name_keys(patient)]
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                if not fresh:
                    self._connection.executemany(
                        "DELETE FROM name_key WHERE nhs_number = ?", [(patient.nhs_number,) for patient in patients]
                    )
                self._connection.executemany(
                    "INSERT OR REPLACE INTO patient VALUES (?, ?, ?)",
                    [(patient.nhs_number, patient.superseded_by, pack(patient)) for patient in patients],
                )
                self._connection.executemany("INSERT INTO name_key VALUES (?, ?, ?, ?)", keys)
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def get(self, nhs_number: str) -> SpinePatient | None:
        """The record under a number, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT document FROM patient WHERE nhs_number = ?", (nhs_number,)
            ).fetchone()
        return None if row is None else unpack(row[0])

    def candidates(self, family: str, gender: str, birth: str) -> list[SpinePatient]:
        """Records that had this family name at any time, with this gender and a date that agrees, in order of number.

        ``family`` in any form, ``birth`` as YYYY, YYYYMM or YYYYMMDD; dates agree at the coarser precision.
        """
        year, month = (birth[:4], birth[:6])
        with self._lock:
            rows = self._connection.execute(
                # A finer date begins with the digits asked for; ":" is the character after "9".
                "SELECT DISTINCT patient.nhs_number, document FROM name_key JOIN patient USING (nhs_number)"
                " WHERE family = ?1 AND gender = ?2 AND birth >= ?3 AND birth < ?4"
                " UNION SELECT patient.nhs_number, document FROM name_key JOIN patient USING (nhs_number)"
                " WHERE family = ?1 AND gender = ?2 AND birth IN (?5, ?6) ORDER BY 1",
                (fold(family), gender, birth, birth + ":", year, month),
            ).fetchall()
        return [unpack(document) for _, document in rows]

    def beginning_with(self, family: str) -> list[SpinePatient]:
        """Records that had at any time a family name with this beginning, in order of number."""
        with self._lock:
            rows = self._connection.execute(
                # No name has a character behind the last of Unicode.
                "SELECT DISTINCT patient.nhs_number, document FROM name_key JOIN patient USING (nhs_number)"
                " WHERE family >= ?1 AND family < ?1 || ?2 ORDER BY 1",
                (fold(family), "\U0010ffff"),
            ).fetchall()
        return [unpack(document) for _, document in rows]

    def replaced_by(self, nhs_number: str) -> list[SpinePatient]:
        """The records that this one replaced directly, in order of number."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT document FROM patient WHERE superseded_by = ? ORDER BY nhs_number", (nhs_number,)
            ).fetchall()
        return [unpack(row[0]) for row in rows]

    def another(self, nhs_number: str) -> SpinePatient | None:
        """The next patient by number (the first after the last), or None where there is no other."""
        with self._lock:
            row = self._connection.execute(
                "SELECT document FROM patient WHERE nhs_number <> ?1 ORDER BY nhs_number < ?1, nhs_number LIMIT 1",
                (nhs_number,),
            ).fetchone()
        return None if row is None else unpack(row[0])

    def count(self) -> int:
        """How many records the store holds."""
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM patient").fetchone()[0])

    def page(self, limit: int, after: str = "", family: str | None = None) -> list[PatientRow]:
        """At most ``limit`` patients in order of number, after the number ``after``, with a family name if given."""
        query, values = (_PAGE, (after, limit)) if family is None else (_PAGE_OF_FAMILY, (after, limit, fold(family)))
        with self._lock:
            rows = self._connection.execute(query, values).fetchall()
        return [_row(unpack(row[0])) for row in rows]

    def numbers(self) -> Iterator[str]:
        """Every number in the store, in order; the store must not change meanwhile."""
        with self._lock:
            rows = self._connection.execute("SELECT nhs_number FROM patient ORDER BY nhs_number").fetchall()
        return (str(row[0]) for row in rows)


def _look_before_touching(path: Path) -> None:
    """Read whose database a file holds, before anything is done that leaves a mark in it: setting WAL mode does.

    Raises:
        UnusableStore: another program's, or a store of another version.
        sqlite3.DatabaseError: the file is no database, or cannot be read.
    """
    # An immutable file is read without locks and without files beside it. It does not show what stands in the log
    # alone, so where it shows nothing the second look reads the log too.
    for how in ("mode=ro&immutable=1", "mode=ro"):
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as connection:
            if not _is_blank(connection):
                tables = {row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'table'")}
                if _pragma(connection, "user_version") != _VERSION or tables != set(_TABLES):
                    raise UnusableStore("the file is not a patient store of this version")
                return


def _is_blank(connection: sqlite3.Connection) -> bool:
    """Whether nobody has made anything of this database yet."""
    marks = (_pragma(connection, "user_version"), _pragma(connection, "application_id"))
    return marks == (0, 0) and connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _name_keys(patient: SpinePatient) -> set[tuple[str, str, str, str]]:
    birth = birth_digits(patient.birth_time)
    return {
        (fold(name.family), patient.gender or "", birth, patient.nhs_number)
        for name in patient.names
        if name.family is not None
    }


def _row(patient: SpinePatient) -> PatientRow:
    name = next((name for name in patient.names if "L" in name.use.split()), None)
    address = next((address for address in patient.addresses if "H" in address.use.split()), None)
    states = {
        "superseded": patient.superseded_by is not None,
        "invalidated": patient.invalidated,
        f"sensitive {patient.confidentiality}": patient.confidentiality is not None,
        "deceased": patient.deceased_time is not None or patient.death_status is not None,
        f"fault {patient.fault.kind.value}" if patient.fault else "": patient.fault is not None,
    }
    return PatientRow(
        nhs_number=patient.nhs_number,
        family=(name.family if name else None) or "",
        given=" ".join(name.given) if name else "",
        birth_time=patient.birth_time or "",
        gender=patient.gender or "",
        postcode=(address.postcode if address else None) or "",
        state=", ".join(state for state, holds in states.items() if holds),
    )
