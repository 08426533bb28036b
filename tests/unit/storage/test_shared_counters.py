import threading
from pathlib import Path

import pytest

from smsp_provider.storage.shared_counters import SharedCounters


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "counters.table"


def test_counters_of_one_name_are_one_whoever_counts(table: Path) -> None:
    one, other = SharedCounters(table), SharedCounters(table)
    one.add((("requests", 1), ("seconds", 0.25)))
    other.add((("seconds", 0.5), ("requests", 1), ("alerts", 1)))
    assert one.read() == {"requests": 2.0, "seconds": 0.75, "alerts": 1.0}


def test_threads_lose_no_count(table: Path) -> None:
    counters = SharedCounters(table, wait_s=60.0)

    def count() -> None:
        for _ in range(200):
            counters.add((("requests", 1),), hour=7)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.read() == {"requests": 1600.0}
    assert counters.hours() == {7: 1600}


def test_they_outlive_their_processes(table: Path) -> None:
    SharedCounters(table).add((("requests", 1),))
    assert SharedCounters(table).read() == {"requests": 1.0}


def test_an_hour_gives_its_place_to_the_one_a_month_later(table: Path) -> None:
    counters = SharedCounters(table)
    for hour in (100, 101, 101, 100 + 24 * 32):
        counters.add((), hour=hour)
    assert counters.hours() == {101: 2, 100 + 24 * 32: 1}


def test_names_without_room_are_left_out_and_the_others_counted(table: Path) -> None:
    counters = SharedCounters(table)
    for _ in range(2):
        counters.add((f"name-{number}", 1) for number in range(1030))
    assert set(counters.read().values()) == {2.0}
    assert len(counters.read()) == 1024


def test_a_table_that_cannot_be_used_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    counters = SharedCounters(tmp_path / "a-file" / "table")
    counters.add((("requests", 1),))
    with pytest.raises(OSError, match=r".*"):
        counters.read()
