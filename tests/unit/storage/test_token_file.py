"""The shared access token: what one worker leaves another finds, and nobody else reads."""

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smsp_provider.engine.token_share import AccessToken
from smsp_provider.storage.token_file import TokenFile

TOKEN = AccessToken("a-token", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
HOLDER = "an application at an endpoint"


def test_a_token_left_is_found_and_one_taken_away_is_gone(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "token", HOLDER)
    assert file.load() is None
    file.save(TOKEN)
    assert TokenFile(tmp_path / "token", HOLDER).load() == TOKEN
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert "a-token" not in repr(TOKEN)
    file.save(None)
    file.save(None)
    assert file.load() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"token": "x", "ends": "2026-01-02T00:00:00+00:00"}',
        '{"holder": "HOLDER", "token": "x"}',
        '{"holder": "HOLDER", "token": "x", "ends": "soon"}',
        '{"holder": "HOLDER", "token": "x", "ends": "2026-01-02"}',
    ],
    ids=["empty", "no JSON", "a list", "no holder", "no end", "no moment", "no zone"],
)
def test_what_is_no_token_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content.replace("HOLDER", HOLDER))
    file.chmod(0o600)
    assert TokenFile(file, HOLDER).load() is None


def test_a_token_of_another_application_or_endpoint_is_not_used(tmp_path: Path) -> None:
    TokenFile(tmp_path / "token", "an application at another endpoint").save(TOKEN)
    file = TokenFile(tmp_path / "token", HOLDER)
    assert file.load() is None
    file.save(TOKEN)
    assert file.load() == TOKEN


def test_a_file_that_others_can_read_is_not_trusted(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "token", HOLDER)
    file.save(TOKEN)
    (tmp_path / "token").chmod(0o644)
    assert file.load() is None
    file.save(TOKEN)
    assert file.load() == TOKEN


def test_a_place_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "missing" / "token", HOLDER)
    file.save(TOKEN)
    file.save(None)
    assert file.load() is None


def test_nobody_reads_half_a_token(tmp_path: Path) -> None:
    file, stop = TokenFile(tmp_path / "token", HOLDER), threading.Event()
    tokens = [AccessToken(str(place) * 2000, TOKEN.ends + timedelta(seconds=place)) for place in range(4)]
    file.save(tokens[0])

    def write(token: AccessToken) -> None:
        while not stop.is_set():
            file.save(token)

    writers = [threading.Thread(target=write, args=(token,)) for token in tokens]
    for writer in writers:
        writer.start()
    found = [file.load() for _ in range(300)]
    stop.set()
    for writer in writers:
        writer.join(60)
    assert all(token in tokens for token in found)
