"""``smsp pds-fhir key``: what it writes, what it never overwrites, and that the two halves belong together."""

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from command_line import Done, run_main
from smsp_provider.cli.pds_fhir import make_key_pair
from smsp_provider.connectors.pds_fhir_token import load_signing_key, make_assertion
from smsp_provider.simulator.fhir_token import Application, TokenDesk, public_keys

FORM = "application/x-www-form-urlencoded"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


Run = Callable[..., Done]


@pytest.fixture
def make_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``smsp pds-fhir key`` with a kid and a folder."""
    return lambda kid, folder: run_main(monkeypatch, capsys, "pds-fhir", "key", "--key-id", kid, "--out", folder)


def test_the_command_makes_a_key_and_what_to_register(make_key: Run, tmp_path: Path) -> None:
    done = make_key("live-1", tmp_path / "keys")
    assert done.code == 0
    private, jwks = tmp_path / "keys" / "live-1.key", tmp_path / "keys" / "jwks.json"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert load_signing_key("live-1", private).key.key_size == 4096
    (entry,) = json.loads(jwks.read_text())["keys"]
    assert set(entry) == {"kty", "kid", "alg", "use", "n", "e"}
    assert (entry["kty"], entry["kid"], entry["alg"], entry["use"]) == ("RSA", "live-1", "RS512", "sig")
    assert "PRIVATE" not in done.out
    assert str(private) in done.out


def test_a_second_key_stands_beside_the_first_and_both_are_good(tmp_path: Path) -> None:
    first, jwks = make_key_pair(tmp_path, "one", bits=2048)
    second, _ = make_key_pair(tmp_path, "two", bits=2048)
    desk = TokenDesk(Application("key", public_keys(jwks.read_bytes())), "https://example.invalid/token")
    for place, (kid, file) in enumerate((("one", first), ("two", second))):
        signed = make_assertion(load_signing_key(kid, file), "key", desk.url, str(place), datetime.now(UTC))
        form = f"grant_type=client_credentials&client_assertion_type={TYPE}&client_assertion={signed}"
        assert desk.answer(FORM, form.encode())[0] == 200


def test_nothing_is_overwritten(make_key: Run, tmp_path: Path) -> None:
    private, jwks = make_key_pair(tmp_path, "one", bits=2048)
    before = private.read_bytes(), jwks.read_bytes()
    done = make_key("one", tmp_path)
    assert done.code == 3
    assert "a key of this kid already" in done.err
    jwks.unlink()
    done = make_key("one", tmp_path)
    assert done.code == 3
    assert "choose another --key-id" in done.err
    assert private.read_bytes() == before[0]
    assert not jwks.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no JWKS"),
        ("[]", "no JWKS"),
        ('{"keys": {}}', "no JWKS"),
        ('{"keys": [1]}', "no JWKS"),
        ('{"keys": [{"kid": "x", "d": "secret"}]}', "private key"),
    ],
    ids=["no JSON", "a list", "no list of keys", "no key", "a private key"],
)
def test_a_file_that_is_no_public_jwks_stays_as_it_is(make_key: Run, tmp_path: Path, content: str, said: str) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(content)
    done = make_key("one", tmp_path)
    assert done.code == 3
    assert said in done.err
    assert "secret" not in done.err
    assert jwks.read_text() == content
    assert not (tmp_path / "one.key").exists()


@pytest.mark.parametrize("kid", ["", "../one", "a b", "x" * 65], ids=["empty", "a path", "a blank", "long"])
def test_a_kid_is_a_short_plain_word(make_key: Run, tmp_path: Path, kid: str) -> None:
    assert make_key(kid, tmp_path).code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_a_usable_key_is_refused_without_its_content(tmp_path: Path, content: str) -> None:
    file = tmp_path / "broken.key"
    file.write_text(content)
    with pytest.raises(ValueError, match="no unencrypted private key"):
        load_signing_key("one", file)
