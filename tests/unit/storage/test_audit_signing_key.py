"""The signing key is a private PEM file that OpenSSL knows, and is never replaced by accident."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smsp_provider.audit.chain import SignedRoot
from smsp_provider.audit.roots import check_signature
from smsp_provider.storage.audit_signing_key import (
    SigningKeyFile,
    SigningKeyUnusable,
    make_signing_key,
    public_pem,
    read_public_key,
    read_signing_key,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "signing.key"


def test_a_key_is_made_once(file: Path) -> None:
    assert make_signing_key(file)
    first = read_signing_key(file)
    assert not make_signing_key(file)
    assert read_signing_key(file).public_key == first.public_key
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_no_half_key(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SigningKeyUnusable, match="No space left"):
        make_signing_key(file)
    assert list(file.parent.iterdir()) == []
    monkeypatch.undo()
    assert make_signing_key(file)
    assert SigningKeyFile(file).current().public_key


def test_openssl_verifies_what_was_signed(file: Path, tmp_path: Path) -> None:
    make_signing_key(file)
    key = read_signing_key(file)
    public, statement, signature = (tmp_path / name for name in ("public.pem", "statement", "signature"))
    public.write_text(public_pem(key.public_key))
    statement.write_bytes(b"{}")
    signature.write_bytes(key.sign(b"{}"))
    assert read_public_key(public) == key.public_key
    check_signature(SignedRoot(1, b"{}", key.sign(b"{}")), key.public_key)
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", str(statement)]
    done = subprocess.run([*verify, "-sigfile", str(signature)], capture_output=True, text=True, check=False)
    assert "Signature Verified Successfully" in done.stdout
    statement.write_bytes(b"{ }")
    assert subprocess.run([*verify, "-sigfile", str(signature)], capture_output=True, check=False).returncode != 0


def test_a_key_that_cannot_even_be_looked_for_is_named(file: Path) -> None:
    file.parent.mkdir()
    with pytest.raises(SigningKeyUnusable, match="k: File name too long"):
        SigningKeyFile(file.with_name("k" * 300)).current()


def test_a_key_that_others_can_read_is_refused(file: Path) -> None:
    make_signing_key(file)
    file.chmod(0o640)
    with pytest.raises(SigningKeyUnusable, match="open to other users"):
        read_signing_key(file)


def test_what_is_no_key_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SigningKeyUnusable, match="No such file"):
        read_signing_key(file)
    make_signing_key(file)
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, reason in ((b"", "holds no key"), (other, "another kind")):
        file.write_bytes(content)
        with pytest.raises(SigningKeyUnusable, match=reason):
            read_signing_key(file)
    public = tmp_path / "public.pem"
    with pytest.raises(SigningKeyUnusable, match="No such file"):
        read_public_key(public)
    public.write_text("nothing")
    with pytest.raises(SigningKeyUnusable, match="no public key"):
        read_public_key(public)


def test_the_key_that_follows_takes_the_place_of_the_other(file: Path) -> None:
    keys = SigningKeyFile(file)
    make_signing_key(file)
    assert keys.following() is None
    with pytest.raises(SigningKeyUnusable):
        keys.advance()
    make_signing_key(keys.next_file)
    following = keys.following()
    assert following is not None
    assert keys.advance().public_key == following.public_key == keys.current().public_key
    assert not keys.next_file.exists()
