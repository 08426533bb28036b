"""The key ring of the audit trail, and what is sealed with it."""

import stat
import threading
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_samples import intent_of
from audit_trails import happened, make_trail
from smsp_provider.audit.chain import Lane, SealBroken, SealedContent, commitment_of
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.audit_keys import (
    AuditKeysUnusable,
    KeyRing,
    KeySource,
    begin_key_ring,
    key_ring_from_environment,
    new_key_ring,
    read_key_ring,
    rotate_key_ring,
)
from smsp_provider.storage.audit_sealing import KeyRingUnsealer, LaneSealer, rewrap_lanes

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LINE = "a " + "00" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "private" / "audit.keys"


def _lane(sealer: LaneSealer, name: str = "T") -> Lane:
    return Lane(1, name, date(2026, 11, 21), "W", sealer.key_id, sealer.wrapped_key)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_ring_is_made_once_by_however_many_and_is_private(file: Path) -> None:
    made: list[KeyRing] = []
    threads = [threading.Thread(target=lambda: made.append(begin_key_ring(file, NOW))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {ring.current for ring in made} == {"2026-11-21.1"}
    assert len({ring.keys[ring.current] for ring in made}) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [found.name for found in file.parent.iterdir()] == ["audit.keys"]


def test_a_new_key_is_current_and_the_others_stay(file: Path) -> None:
    first = begin_key_ring(file, NOW)
    told: list[tuple[str, str, list[str]]] = []

    def record(before: str, after: str) -> None:
        told.append((before, after, list(read_key_ring(file).keys)))

    second = rotate_key_ring(file, NOW, record)
    # On record before it is there.
    assert told == [("2026-11-21.1", "2026-11-21.2", ["2026-11-21.1"])]
    assert list(second.keys) == ["2026-11-21.1", "2026-11-21.2"]
    assert second.current == "2026-11-21.2"
    assert second.keys["2026-11-21.1"] == first.keys["2026-11-21.1"]
    assert read_key_ring(file) == second
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_ring_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = new_key_ring(NOW)
    monkeypatch.setenv("AUDIT_KEYS", ring.text())
    assert key_ring_from_environment("AUDIT_KEYS") == ring
    assert KeySource(Path("nowhere"), "AUDIT_KEYS").load(NOW, is_new=False) == ring
    monkeypatch.delenv("AUDIT_KEYS")
    with pytest.raises(AuditKeysUnusable, match="AUDIT_KEYS is not set"):
        key_ring_from_environment("AUDIT_KEYS")


@pytest.mark.parametrize(
    "text",
    ["", "# none\n", "a 00", f"{LINE}\n{LINE}", f"{LINE}0", "a " + "zz" * 32, "/ " + "00" * 32, "a\n"],
    ids=["empty", "comment", "short", "twice", "odd", "no digits", "no id", "no key"],
)
def test_what_is_no_ring_is_refused_without_a_word_of_it(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700)
    file.touch(mode=0o600)
    file.write_text(text)
    with pytest.raises(AuditKeysUnusable) as refused:
        read_key_ring(file)
    assert "00" * 8 not in str(refused.value)


def test_a_ring_open_to_others_or_missing_is_refused(file: Path) -> None:
    with pytest.raises(AuditKeysUnusable, match="No such file"):
        read_key_ring(file)
    begin_key_ring(file, NOW)
    file.chmod(0o640)
    with pytest.raises(AuditKeysUnusable, match="0600"):
        read_key_ring(file)


def test_no_key_shows_itself(file: Path) -> None:
    ring = begin_key_ring(file, NOW)
    assert ring.keys[ring.current].hex() not in repr(ring) + str(ring)


@given(st.binary(max_size=2000), st.integers(1, 2**31))
def test_a_content_comes_back_with_the_salt_of_its_commitment(content: bytes, n: int) -> None:
    ring = new_key_ring(NOW)
    sealer = LaneSealer(ring, "T")
    commitment, sealed = sealer.seal(n, content)
    salt, opened = KeyRingUnsealer(ring).unseal(_lane(sealer), SealedContent(1, n, sealed))
    assert opened == content
    assert commitment_of(salt, opened) == commitment
    assert len(content) < 4 or content not in sealed
    assert sealer.seal(n, content) != (commitment, sealed), "the same content twice is not seen to be the same"


def test_a_content_opens_in_its_own_place_only() -> None:
    ring = new_key_ring(NOW)
    sealer, other = LaneSealer(ring, "T"), LaneSealer(ring, "U")
    _, sealed = sealer.seal(7, b"content")
    unsealer = KeyRingUnsealer(ring)
    wrong = (
        (_lane(sealer), SealedContent(1, 8, sealed)),
        (_lane(other, "U"), SealedContent(1, 7, sealed)),
        (_lane(sealer, "U"), SealedContent(1, 7, sealed)),
        (_lane(sealer), SealedContent(1, 7, sealed[:-1] + bytes([sealed[-1] ^ 1]))),
        (_lane(sealer), SealedContent(1, 7, b"")),
    )
    for lane, content in wrong:
        with pytest.raises(SealBroken, match="the seal is broken"):
            unsealer.unseal(lane, content)
    with pytest.raises(SealBroken) as missing:
        KeyRingUnsealer(KeyRing({"other": b"k" * 32}, "other")).unseal(_lane(sealer), SealedContent(1, 7, sealed))
    assert missing.value.key_missing == ring.current


@pytest.mark.rule("SMSP-AUDIT-001")
def test_after_a_rotation_the_old_key_opens_nothing_and_nothing_was_encrypted_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "audit.db"
    trail = make_trail(path)
    trail.open_intent(intent_of("E1"))
    old = read_key_ring(path.with_name("audit.keys"))
    (lane,) = trail.database.lanes()
    before = list(trail.database.contents(lane))
    ring = rotate_key_ring(path.with_name("audit.keys"), NOW, lambda _before, _after: None)
    assert (rewrap_lanes(trail.database, ring), rewrap_lanes(trail.database, ring)) == (1, 0)
    (lane,) = trail.database.lanes()
    assert lane.key_id == ring.current
    assert list(trail.database.contents(lane)) == before
    with pytest.raises(SealBroken):
        KeyRingUnsealer(old).unseal(lane, before[0])
    only_new = KeyRing({ring.current: ring.keys[ring.current]}, ring.current)
    assert KeyRingUnsealer(only_new).unseal(lane, before[0])
    assert KeyRingUnsealer(old, lambda: ring).unseal(lane, before[0]), "a process that runs reads the ring again"
    trail.open_intent(intent_of("E2"))
    trail.close_session()
    assert len(happened(make_trail(path).read())) == 2


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_trail_is_not_continued_with_other_keys_or_none(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "audit.db"
    trail = make_trail(path)
    trail.open_intent(intent_of("E1"))
    trail.close_session()
    keys = path.with_name("audit.keys")
    keys.rename(path.with_name("kept.keys"))
    with pytest.raises(StorageUnsafe, match="No such file"):
        make_trail(path).open()
    assert not keys.exists(), "no new ones beside a trail that they would not open"
    begin_key_ring(keys, NOW)
    with pytest.raises(StorageUnsafe, match="not those that the audit trail was written with"):
        make_trail(path).open()
