"""Retention, archives and deletion on the command line: two officers, and a record of everybody who is refused."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit_samples import ending_of, intent_of
from command_line import Done, run_main
from deletion_world import MovingClock
from operator_samples import Listener
from postgres_audit import new_audit_url
from signed_in import ACCOUNTS, Desk, write_configuration
from smsp_provider.audit.deletion import tombstone_of
from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure, Officer
from smsp_provider.audit.events import OperatorAct, OperatorActKind
from smsp_provider.audit.verification import Means, verify
from smsp_provider.cli import os_user
from smsp_provider.config.settings import load_settings
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.operators import Account, OrganisationScope, Role
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_signing_key import public_pem
from smsp_provider.storage.sqlite_audit_reading import SqliteTrailReader
from smsp_provider.storage.witness_file import WitnessFile
from smsp_provider.wiring.audit import build_audit, build_unsealer
from smsp_provider.wiring.deletion import erasing_of, finishing
from smsp_provider.wiring.roots import build_books, build_folder, build_signing_keys, have_signing_key

pytestmark = pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-008", "SMSP-IG-001", "SMSP-IG-002")

Run = Callable[..., Done]

ANN = Account("ann.officer", "Ann Archer", frozenset({Role.PRIVACY_OFFICER}))
BOB = Account("bob.officer", "Bob Builder", frozenset({Role.PRIVACY_OFFICER}))
CAL = Account("cal.officer", "Cal Carter", frozenset({Role.PRIVACY_OFFICER}))
AUDITOR = Account("eve.auditor", "Eve Evans", frozenset({Role.AUDITOR}))
LOCAL = Account(
    "loc.officer", "Lou Local", frozenset({Role.PRIVACY_OFFICER}), OrganisationScope(frozenset({ODSCode("X26")}))
)
WHY = ("--reason", "recorded about another person", "--legal-basis", "order of a court of 7 February")
LONG_AGO = datetime.now(UTC).replace(hour=10, minute=0) - timedelta(days=3_000)


class Officers(Desk):
    """Privacy officers, each logged in to the machine as themselves."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, store: str = "") -> None:
        super().__init__(directory)
        if store:
            text = self.config.read_text()
            self.config.write_text(text.replace("[operators]", f'store = "{store}"\n[operators]'))
            self.settings = load_settings(self.config)
        self.login = directory / "loginuid"
        self.sit_as(1000)
        # (The kernel's own file tells of the one who runs the tests.)
        monkeypatch.setattr(os_user, "_LOGIN_UID", self.login)
        self.record_long_ago()
        self.prepare()

    def sit_as(self, uid: int, account: Account | None = None) -> None:
        self.login.write_text(str(uid))
        if account is not None:
            self.sit_down(account)

    def record_long_ago(self) -> None:
        """Begin the trail with two exchanges of many years ago, and a root."""
        clock = MovingClock(LONG_AGO)
        trail = build_audit(self.settings, clock)
        trail.open()
        have_signing_key(self.settings)
        for name in ("E1", "E2"):
            trail.open_intent(replace(intent_of(name), at=LONG_AGO))
            trail.close(replace(ending_of(name), at=LONG_AGO))
        trail.close_session()
        build_folder(self.settings, trail.database, clock, Listener()).run()
        trail.database.close()

    def fold(self) -> None:
        """What the keeper does."""
        trail = build_audit(self.settings, SystemClock())
        build_folder(self.settings, trail.database, SystemClock(), Listener()).run()
        trail.database.close()

    def findings(self) -> tuple[object, ...]:
        trail = build_audit(self.settings, SystemClock())
        clock = SystemClock()
        means = Means(build_unsealer(self.settings, clock), build_books(self.settings))
        try:
            return verify(trail.database, means).findings
        finally:
            trail.database.close()

    def deletions(self) -> list[object]:
        trail = build_audit(self.settings, SystemClock())
        kinds = DeletionProposed | DeletionWithdrawn | Erasure
        found = [entry.record for entry in trail.read() if isinstance(entry.record, kinds)]
        trail.database.close()
        return list(found)

    def acts(self) -> list[OperatorAct]:
        trail = build_audit(self.settings, SystemClock())
        found = [entry.record for entry in trail.read() if isinstance(entry.record, OperatorAct)]
        trail.database.close()
        return found

    def refusals(self) -> list[tuple[str | None, str]]:
        return [(act.operator, act.detail) for act in self.acts() if act.kind is OperatorActKind.COMMAND_REFUSED]


@pytest.fixture
def store(request: pytest.FixtureRequest) -> str:
    """Where the trail is kept, if not in a file."""
    return new_audit_url() if getattr(request, "param", "file") == "postgresql" else ""


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Officers:
    return Officers(tmp_path, monkeypatch, store)


@pytest.fixture
def run(office: Officers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*words: object) -> Done:
        return run_main(monkeypatch, capsys, "audit", *words, "--config", office.config)

    return run_command


def _proposed(done: Done) -> tuple[str, str]:
    """Id and digest, as they are printed."""
    assert done.code == 0, done.err
    found = re.search(r"approve (\S+) --digest (\S+)", done.err)
    assert found is not None
    return found[1], found[2]


@pytest.mark.parametrize("store", ["file", "postgresql"], indirect=True)
def test_two_officers_erase_an_exchange(office: Officers, run: Run) -> None:
    office.sit_as(1001, ANN)
    name, digest = _proposed(run("deletion", "propose", "--exchange", "E1", *WHY))
    shown = run("deletion", "show", name)
    assert "waits for another officer" in shown.out
    assert re.search(r"^1 +\S+ +2-3 ", shown.out, re.MULTILINE)

    alone = run("deletion", "approve", name, "--digest", digest)
    assert (alone.code, "you proposed it" in alone.err) == (6, True)
    office.sit_as(1001, CAL)
    same_login = run("deletion", "approve", name, "--digest", digest)
    assert (same_login.code, "same user" in same_login.err) == (6, True)
    office.sit_as(1002, BOB)
    wrong = run("deletion", "approve", name, "--digest", "00" * 32)
    assert (wrong.code, "digest" in wrong.err) == (6, True)

    done = run("deletion", "approve", name, "--digest", digest)
    assert (done.code, done.out) == (0, f"{name}: 2 contents erased\n")
    assert "carried out" in run("deletion", "show", name).out
    assert run("deletion", "withdraw", name).code == 6

    assert [type(record) for record in office.deletions()] == [DeletionProposed, Erasure]
    refused = [detail for operator, detail in office.refusals() if detail.startswith("audit deletion approve: ")]
    assert len(refused) == 3
    assert "you proposed it" in refused[0]
    assert office.findings() == ()


def test_what_an_officer_could_not_finish_the_keeper_does(office: Officers, run: Run) -> None:
    office.sit_as(1001, ANN)
    name, _ = _proposed(run("deletion", "propose", "--exchange", "E1", *WHY))
    (proposed,) = office.deletions()
    assert isinstance(proposed, DeletionProposed)
    clock = SystemClock()
    trail = build_audit(office.settings, clock)
    finish = finishing(office.settings, trail.database, clock, lambda *_: None)
    finish()
    # As far as an approval gets before its process is killed.
    with erasing_of(office.settings, trail.database, clock, lambda *_: None) as erasing:
        erasing.begin(name)
    trail.record_deletion(tombstone_of(proposed, Officer("bob.officer", "bob", "a desk"), clock.now()))
    (lane, *_) = trail.database.lanes()
    assert len(list(trail.database.contents(lane))) == 6
    finish()
    assert [content.n for content in trail.database.contents(lane)] == [1, 4, 5, 6]
    trail.close_session()
    assert office.findings() == ()


def test_a_proposal_is_withdrawn(office: Officers, run: Run) -> None:
    office.sit_as(1001, ANN)
    name, digest = _proposed(run("deletion", "propose", "--record", "1:2-3", "--record", "1:5", *WHY))
    assert run("deletion", "withdraw", name).code == 0
    office.sit_as(1002, BOB)
    assert "withdrawn" in run("deletion", "approve", name, "--digest", digest).err
    assert [type(record) for record in office.deletions()] == [DeletionProposed, DeletionWithdrawn]


def test_a_patient_is_named_nowhere(office: Officers, run: Run) -> None:
    office.sit_as(1001, ANN)
    _proposed(run("deletion", "propose", "--nhs-number", "943 476 5919", *WHY))
    (proposed,) = office.deletions()
    assert isinstance(proposed, DeletionProposed)
    assert [(first, last) for _, first, last in proposed.records] == [(2, 5)]
    assert not any("9434765919" in act.detail for act in office.acts())


@pytest.mark.parametrize("command", ["deletion propose", "deletion show", "deletion approve", "deletion withdraw"])
def test_who_may_not_is_refused_and_on_record(office: Officers, run: Run, command: str) -> None:
    words = command.split()
    words += {"propose": ["--exchange", "E1", *WHY], "approve": ["20260301-0123456789AB", "--digest", "00"]}.get(
        command.split()[1], ["20260301-0123456789AB"]
    )
    before = len(office.refusals())
    office.sit_as(1003, AUDITOR)
    assert run(*words).code == 6
    office.sit_as(1004, LOCAL)
    assert run(*words).code == 6
    office.sit_as(1005)
    nobody = run(*words)
    assert (nobody.code, "smsp login" in nobody.err) == (6, True)
    refusals = office.refusals()[before:]
    assert [operator for operator, _ in refusals] == ["eve.auditor", "loc.officer", None]
    assert all(detail.startswith(f"audit {command}") for _, detail in refusals)
    assert office.deletions() == []


def test_what_concerns_all_organisations_is_refused_to_an_officer_of_some(
    office: Officers, run: Run, tmp_path: Path
) -> None:
    office.sit_as(1004, LOCAL)
    lines, file = tmp_path / "roots.jsonl", tmp_path / "archive.tar.gz"
    lines.touch()
    commands: tuple[tuple[object, ...], ...] = (
        ("retention",),
        ("archive", "--until", LONG_AGO.date().isoformat(), "--output", file),
        ("restore", lines, "--database", tmp_path / "restored" / "audit.db"),
        ("witness", "resume", lines, "--reason", "the disk broke"),
    )
    for words in commands:
        before = len(office.acts())
        done = run(*words)
        assert (done.code, done.out) == (6, "")
        assert "all organisations" in done.err
        (act,) = office.acts()[before:]
        assert (act.kind, act.operator) == (OperatorActKind.COMMAND_REFUSED, LOCAL.name)
        assert act.detail.startswith("audit " + " ".join(map(str, words[: 2 if words[0] == "witness" else 1])) + ": ")
        assert "all organisations" in act.detail
    assert not file.exists()


def test_a_session_that_is_over_is_refused_and_on_record(office: Officers, run: Run) -> None:
    office.sit_as(1001, ANN)
    write_configuration(office.config, f"{ACCOUNTS.format(directory=office.config.parent)}\nidle_minutes = 0.0001")
    before = len(office.refusals())
    time.sleep(0.02)
    assert run("deletion", "propose", "--exchange", "E1", *WHY).code == 6
    assert [operator for operator, _ in office.refusals()[before:]] == [None]


def test_without_accounts_nobody_deletes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    office = Officers(tmp_path, monkeypatch)
    write_configuration(office.config, 'policy = "os-user"')
    done = run_main(
        monkeypatch, capsys, "audit", "deletion", "propose", "--exchange", "E1", *WHY, "--config", office.config
    )
    assert (done.code, "two officers" in done.err) == (6, True)
    assert "os-user" in office.refusals()[-1][1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "one of"),
        (("--exchange", "E1", "--record", "1:2"), "one of"),
        (("--record", "1"), "LANE:N"),
        (("--record", "1:3-2"), "from N to M"),
        (("--nhs-number", "9434765918"), "NHS number"),
    ],
    ids=["nothing", "two things", "no number", "backwards", "a wrong number"],
)
def test_what_cannot_be_meant(office: Officers, run: Run, words: tuple[str, ...], text: str) -> None:
    office.sit_as(1001, ANN)
    done = run("deletion", "propose", *words, *WHY)
    assert (done.code, text in done.err) == (2, True)
    assert "9434765918" not in done.err


def test_an_exchange_that_is_not_there(office: Officers, run: Run) -> None:
    office.sit_as(1001, ANN)
    done = run("deletion", "propose", "--exchange", "E9", *WHY)
    assert (done.code, "no exchange E9" in done.err) == (6, True)


def test_from_the_schedule_to_the_archive_to_the_end(office: Officers, run: Run, tmp_path: Path) -> None:
    office.sit_as(1001, ANN)
    office.fold()
    due = {one["class"]: one["due"] for one in json.loads(run("retention", "--json").out)}
    assert due == {"exchanges": 4, "administration": 0, "refusals": 0}
    assert "for ever" in run("retention").out

    archive, until = tmp_path / "old.tar.gz", LONG_AGO.date().isoformat()
    written = run("archive", "--until", until, "--output", archive)
    assert written.code == 0, written.err
    assert run("archive", "--until", until, "--output", archive).code == 3
    assert run("archive", "--until", datetime.now(UTC).date().isoformat(), "--output", tmp_path / "b").code == 2

    name, digest = _proposed(run("retire", "--until", until, "--archive", archive))
    office.sit_as(1002, BOB)
    assert run("deletion", "approve", name, "--digest", digest).out == f"{name}: 4 contents erased\n"
    office.fold()
    assert office.findings() == ()
    again = run("retire", "--until", until, "--archive", archive)
    assert (again.code, "no record" in again.err) == (6, True)
    (proposed, _) = office.deletions()
    assert isinstance(proposed, DeletionProposed)
    assert proposed.archive is not None
    assert proposed.archive in written.out


def test_an_archive_is_verified_by_itself(
    office: Officers, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    office.sit_as(1001, ANN)
    archive = tmp_path / "old.tar.gz"
    assert run("archive", "--until", LONG_AGO.date().isoformat(), "--output", archive).code == 0
    trail = build_audit(office.settings, SystemClock())
    witness, key = tmp_path / "witness.jsonl", tmp_path / "key.pem"
    WitnessFile(witness).append(list(trail.database.roots()))
    trail.database.close()
    key.write_text(public_pem(build_signing_keys(office.settings).current().public_key))
    keys = office.settings.audit.keys_file()

    def verified(*words: object) -> Done:
        return run_main(monkeypatch, capsys, "audit", "archive-verify", archive, *words)

    bare = verified()
    assert (bare.code, "not checked: contents" in bare.out) == (0, True)
    whole = verified("--keys", keys, "--witness", witness, "--public-key", key, "--json")
    assert whole.code == 0, whole.out
    found = json.loads(whole.out)
    assert (found["findings"], found["records"], found["contents"]) == ([], 6, 6)
    assert found["witnessed"] == found["roots"] > 0
    archive.chmod(0o600)
    archive.write_bytes(archive.read_bytes()[:-500])
    assert verified().code == 3


def test_an_archive_signed_by_somebody_else_is_found(
    office: Officers, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    office.sit_as(1001, ANN)
    office.settings.audit.signing_key_file().unlink()
    have_signing_key(office.settings)
    archive = tmp_path / "old.tar.gz"
    until = LONG_AGO.date().isoformat()
    assert run("archive", "--until", until, "--output", archive).code == 0
    done = run_main(monkeypatch, capsys, "audit", "archive-verify", archive)
    assert (done.code, "signed none of the roots" in done.out) == (1, True)
    refused = run("retire", "--until", until, "--archive", archive)
    assert (refused.code, "another key" in refused.err) == (3, True)


def test_an_archive_is_restored_and_verified_as_a_part(office: Officers, run: Run, tmp_path: Path) -> None:
    office.sit_as(1001, ANN)
    archive, database = tmp_path / "old.tar.gz", tmp_path / "restored" / "audit.db"
    assert run("archive", "--until", LONG_AGO.date().isoformat(), "--output", archive).code == 0
    assert run("restore", archive, "--database", database).code == 0
    assert run("restore", archive, "--database", database).code == 3
    assert database.stat().st_mode & 0o777 == 0o600
    verified = run("verify", "--database", database, "--part", "--json")
    assert verified.code == 0, verified.out
    assert json.loads(verified.out)["records"] == 6
    assert run("verify", "--part").code == 2
    trail = build_audit(office.settings, SystemClock())
    recorded = len(trail.database.lanes())
    trail.database.close()
    found = run("search", "--database", database, "--nhs-number", "9434765919", "--json")
    assert found.code == 0, found.err
    assert sorted(json.loads(line)["exchange"] for line in found.out.splitlines()) == ["E1", "E2"]
    restored = SqliteTrailReader(database)
    assert len(restored.lanes()) == 1, "who searched is on record in the provider's trail"
    restored.close_reader()
    assert len(build_audit(office.settings, SystemClock()).database.lanes()) > recorded
