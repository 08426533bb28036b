"""The memory of used MessageIDs: a repeat is told from a first use, whoever asks, and never where there was none."""

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_samples import run_program
from smsp_provider.engine.ports import ReplayUnavailable
from smsp_provider.storage import mapped_replay
from smsp_provider.storage.mapped_replay import MappedReplayMemory
from smsp_provider.storage.shared_region import SharedRegion

pytestmark = pytest.mark.rule("WS-ADR-01", "WS-REL-02")

_START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
_WINDOW = timedelta(seconds=60)
_PLACES = 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "replay.table"


@pytest.fixture
def memory(path: Path) -> MappedReplayMemory:
    return MappedReplayMemory(path, _WINDOW, buckets=1)


def _ids() -> Iterator[str]:
    return (str(uuid.UUID(int=number)).upper() for number in range(1, 1_000_000))


def test_the_same_id_of_the_same_caller_is_a_repeat_until_the_window_has_passed(memory: MappedReplayMemory) -> None:
    first, second = list(zip(range(2), _ids(), strict=False))
    assert not memory.is_repeat("one", first[1], _START)
    assert memory.is_repeat("one", first[1], _START)
    assert not memory.is_repeat("two", first[1], _START)
    assert not memory.is_repeat("one", second[1], _START)
    assert memory.is_repeat("one", first[1], _START + _WINDOW)
    assert not memory.is_repeat("one", first[1], _START + _WINDOW + timedelta(microseconds=1))
    assert memory.is_repeat("one", first[1], _START + _WINDOW + _WINDOW)


@pytest.mark.parametrize("written", ["urn:uuid:", "uuid:", "lower case"])
def test_the_forms_of_an_id_are_one_id(memory: MappedReplayMemory, written: str) -> None:
    message_id = next(_ids())
    other = message_id.lower() if written == "lower case" else written + message_id
    assert not memory.is_repeat("one", message_id, _START)
    assert memory.is_repeat("one", other, _START)


def test_what_is_taken_back_may_be_used_again(memory: MappedReplayMemory) -> None:
    first, second, *_ = [next_id for next_id, _ in zip(_ids(), range(2), strict=False)]
    memory.is_repeat("one", first, _START)
    memory.is_repeat("one", second, _START)
    memory.forget("one", first)
    memory.forget("nobody", second)
    assert not memory.is_repeat("one", first, _START)
    assert memory.is_repeat("one", second, _START)


def test_a_full_bucket_takes_nothing_more_and_tells_no_wrong_repeat(memory: MappedReplayMemory) -> None:
    ids = _ids()
    used = [next(ids) for _ in range(_PLACES)]
    for number, message_id in enumerate(used):
        assert not memory.is_repeat("one", message_id, _START + timedelta(milliseconds=number))
    late = next(ids)
    with pytest.raises(ReplayUnavailable, match="full"):
        memory.is_repeat("one", late, _START + _WINDOW)
    assert all(memory.is_repeat("one", message_id, _START + _WINDOW) for message_id in used)
    # The oldest makes room as soon as it has left the window, and only the oldest.
    after = _START + _WINDOW + timedelta(microseconds=500)
    assert not memory.is_repeat("one", late, after)
    assert memory.is_repeat("one", late, after)
    assert all(memory.is_repeat("one", message_id, after) for message_id in used[1:])


def test_all_objects_and_processes_agree_and_a_restart_forgets_nothing(path: Path) -> None:
    ids = _ids()
    mine, theirs = next(ids), next(ids)
    memory = MappedReplayMemory(path, _WINDOW)
    memory.is_repeat("one", mine, _START)
    program = """
from datetime import UTC, datetime, timedelta
from smsp_provider.storage.mapped_replay import MappedReplayMemory
memory = MappedReplayMemory(Path(sys.argv[1]), timedelta(seconds=60))
at = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
print([memory.is_repeat("one", message_id, at) for message_id in sys.argv[2:]])
"""
    assert run_program(program, path, mine, theirs) == "[True, False]\n"
    assert MappedReplayMemory(path, _WINDOW).is_repeat("one", theirs, _START)


def test_of_many_who_use_an_id_at_once_one_is_first(path: Path) -> None:
    memories = [MappedReplayMemory(path, _WINDOW, wait_s=60) for _ in range(2)]
    ids = [message_id for message_id, _ in zip(_ids(), range(50), strict=False)]
    told: list[bool] = []

    def use(memory: MappedReplayMemory) -> None:
        told.extend(memory.is_repeat("one", message_id, _START) for message_id in ids)

    threads = [threading.Thread(target=use, args=(memory,)) for memory in memories * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (told.count(False), told.count(True)) == (50, 7 * 50)


def test_a_digest_that_stands_across_two_places_is_not_taken_for_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first byte chooses the place: "a" and "b" are neighbours.
    one, next_one = bytes(range(8)), bytes(range(1, 9))
    digests = {"a": one, "b": next_one, "across": one[4:] + next_one[:4]}
    digests = {caller: bytes(4) + digest for caller, digest in digests.items()}
    monkeypatch.setattr(mapped_replay, "_digest", lambda caller, _: digests[caller])
    memory = MappedReplayMemory(path, _WINDOW, buckets=1)
    assert not memory.is_repeat("a", "", _START)
    assert not memory.is_repeat("b", "", _START)
    assert not memory.is_repeat("across", "", _START)
    assert all(memory.is_repeat(caller, "", _START) for caller in digests)


def test_a_write_cut_short_counts_as_no_use(path: Path, memory: MappedReplayMemory) -> None:
    message_id = next(_ids())
    region = SharedRegion(path, kind=b"replay", version=1, size=_PLACES * 16)
    with region.locked() as table:
        table[:8] = mapped_replay._digest("one", message_id)[4:]
    assert not memory.is_repeat("one", message_id, _START)
    assert memory.is_repeat("one", message_id, _START)


def _ask(memory: MappedReplayMemory) -> None:
    memory.is_repeat("one", next(_ids()), _START)


def _take_back(memory: MappedReplayMemory) -> None:
    memory.forget("one", next(_ids()))


@pytest.mark.parametrize("use", [_ask, _take_back])
def test_a_table_that_cannot_be_had_or_is_held_is_unavailable(
    path: Path, tmp_path: Path, use: Callable[[MappedReplayMemory], None]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReplayUnavailable, match="FileExistsError"):
        use(MappedReplayMemory(tmp_path / "file" / "replay.table", _WINDOW))
    held = SharedRegion(path, kind=b"replay", version=1, size=_PLACES * 16)
    with held.locked(), pytest.raises(ReplayUnavailable, match="TimeoutError"):
        use(MappedReplayMemory(path, _WINDOW, buckets=1, wait_s=0.02))


@pytest.mark.parametrize(("seconds", "megabytes"), [(1, 1.0), (900, 10.1), (30 * 86_400, 67.1)])
def test_the_table_is_as_large_as_the_window_needs(path: Path, seconds: int, megabytes: float) -> None:
    MappedReplayMemory(path, timedelta(seconds=seconds)).is_repeat("one", next(_ids()), _START)
    assert round(path.stat().st_size / 1e6, 1) == megabytes


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40), st.booleans()), max_size=120))
def test_it_answers_as_a_table_without_bounds_would(
    tmp_path_factory: pytest.TempPathFactory, uses: list[tuple[int, int, bool]]
) -> None:
    memory = MappedReplayMemory(tmp_path_factory.mktemp("replay") / "replay.table", _WINDOW, buckets=1)
    ids = [message_id for message_id, _ in zip(_ids(), range(91), strict=False)]
    known: dict[int, datetime] = {}
    at = _START
    for number, seconds, taken_back in uses:
        at += timedelta(seconds=seconds)
        live = [moment for moment in known.values() if moment >= at - _WINDOW]
        expected = known.get(number, _START - 2 * _WINDOW) >= at - _WINDOW
        if not expected and len(live) == _PLACES:
            with pytest.raises(ReplayUnavailable):
                memory.is_repeat("one", ids[number], at)
            continue
        assert memory.is_repeat("one", ids[number], at) is expected
        if not expected:
            known[number] = at
        if taken_back:
            memory.forget("one", ids[number])
            known.pop(number)
