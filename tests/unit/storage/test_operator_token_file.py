"""The file in which an operator's machine keeps a token, and the one with the key of second factors."""

import os
import stat
from pathlib import Path

import pytest

from smsp_provider.storage.operator_key import KeyUnusable, make_key, read_key
from smsp_provider.storage.operator_token_file import OperatorTokenFile, TokenFileUnsafe

pytestmark = pytest.mark.rule("SMSP-IG-002")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "smsp" / "session-0"


def test_a_token_is_kept_privately_and_forgotten(path: Path) -> None:
    file = OperatorTokenFile(path)
    assert file.read() is None
    file.remove()
    file.write("first")
    file.write("second")
    assert file.read() == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    file.remove()
    assert OperatorTokenFile(path).read() is None


@pytest.mark.parametrize("which", ["file", "directory"])
def test_what_others_could_read_or_put_there_is_not_used(path: Path, which: str) -> None:
    file = OperatorTokenFile(path)
    file.write("token")
    (path if which == "file" else path.parent).chmod(0o750)
    with pytest.raises(TokenFileUnsafe, match="open to other users"):
        file.read()
    if which == "directory":
        with pytest.raises(TokenFileUnsafe, match="open to other users"):
            file.write("another")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_is_another_users_is_not_used(path: Path) -> None:
    file = OperatorTokenFile(path)
    file.write("token")
    os.chown(path, 65534, 65534)
    with pytest.raises(TokenFileUnsafe, match="another user"):
        file.read()
    os.chown(path.parent, 65534, 65534)
    with pytest.raises(TokenFileUnsafe, match="another user"):
        file.write("token")


def test_a_link_to_somewhere_else_is_not_followed(path: Path, tmp_path: Path) -> None:
    file = OperatorTokenFile(path)
    file.write("token")
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        file.read()
    file.write("another")
    assert elsewhere.read_text() == "token"
    assert not path.is_symlink()


def test_an_empty_file_holds_no_token(path: Path) -> None:
    file = OperatorTokenFile(path)
    file.write(" ")
    assert file.read() is None


class TestTheKey:
    def test_it_is_made_once_and_privately(self, tmp_path: Path) -> None:
        file = tmp_path / "state" / "operators.key"
        make_key(file)
        content = file.read_bytes()
        make_key(file)
        assert file.read_bytes() == content
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        sealed = read_key(file).seal("jsmith", b"seed")
        assert read_key(file).open("jsmith", sealed) == b"seed"
        assert read_key(file).seal("jsmith", b"seed") != sealed

    def test_it_opens_what_it_sealed_for_that_account_unchanged(self, tmp_path: Path) -> None:
        for name in ("one", "other"):
            make_key(tmp_path / name / "operators.key")
        key, other = (read_key(tmp_path / name / "operators.key") for name in ("one", "other"))
        sealed = key.seal("jsmith", b"seed")
        for opened_by, account, text in (
            (other, "jsmith", sealed),
            (key, "jjones", sealed),
            (key, "jsmith", sealed[:-1] + bytes([sealed[-1] ^ 1])),
            (key, "jsmith", sealed[:12]),
            (key, "jsmith", b""),
        ):
            with pytest.raises(KeyUnusable, match="not the key"):
                opened_by.open(account, text)

    @pytest.mark.parametrize("content", ["", "no key", "00" * 31, "00" * 33, "zz" * 32], ids=range(5))
    def test_what_is_no_key_is_refused(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "state" / "operators.key"
        make_key(file)
        file.write_text(content)
        with pytest.raises(KeyUnusable, match="holds no key"):
            read_key(file)

    def test_one_that_others_can_read_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "state" / "operators.key"
        make_key(file)
        file.chmod(0o640)
        with pytest.raises(KeyUnusable, match="0600"):
            read_key(file)

    def test_one_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(KeyUnusable, match=r"operators\.key: No such file"):
            read_key(tmp_path / "operators.key")
