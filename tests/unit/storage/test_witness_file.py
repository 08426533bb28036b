"""The file of a witness: appended to, read from its end, and whole after the machine stopped within a line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from smsp_provider.audit.chain import SignedRoot
from smsp_provider.audit.roots import BoundLane, next_statement, sign
from smsp_provider.audit.witness import WitnessLineInvalid, WitnessUnavailable, write_line
from smsp_provider.storage.audit_signing_key import SigningKey
from smsp_provider.storage.witness_file import WitnessFile, read_witness_file

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))


def roots(number: int, lanes: int = 1) -> list[SignedRoot]:
    made: list[SignedRoot] = []
    for n in range(1, number + 1):
        moved = [(BoundLane(f"{lane:06}", n, bytes(32)), n - 1) for lane in range(lanes)]
        at = datetime(2026, 3, 4, tzinfo=UTC)
        statement = next_statement(made[-1] if made else None, moved, trail="T", made_at="M", at=at, signer=KEY)
        made.append(sign(statement, KEY))
    return made


# The lines of a thousand lanes are longer than what is read at once.
@pytest.mark.parametrize("lanes", [1, 1000], ids=["short lines", "long lines"])
def test_roots_are_appended_and_the_last_one_is_found(tmp_path: Path, lanes: int) -> None:
    witness, made = WitnessFile(tmp_path / "roots.jsonl"), roots(5, lanes)
    assert witness.last() is None
    witness.append(made[:1])
    assert witness.last() == made[0]
    witness.append(made[1:])
    assert witness.last() == made[4]
    assert list(read_witness_file(tmp_path / "roots.jsonl")) == made


@pytest.mark.parametrize("lanes", [1, 1000], ids=["short lines", "long lines"])
@pytest.mark.parametrize("kept", [1, 300, -1], ids=["its first byte", "a part of it", "all but its end"])
@pytest.mark.parametrize("before", [0, 2], ids=["the first line", "a later line"])
def test_half_a_line_is_none_and_is_written_again(tmp_path: Path, lanes: int, kept: int, before: int) -> None:
    file, made = tmp_path / "roots.jsonl", roots(4, lanes)
    witness = WitnessFile(file)
    witness.append(made[:before])
    with file.open("ab") as stream:
        stream.write(write_line(made[before])[:kept])
    assert witness.last() == (made[before - 1] if before else None)
    assert list(read_witness_file(file)) == made[:before]
    witness.append(made[before:])
    assert list(read_witness_file(file)) == made


def test_something_else_in_the_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "roots.jsonl"
    file.write_bytes(write_line(roots(1)[0]) + b"{}\n")
    with pytest.raises(WitnessUnavailable, match="no root"):
        WitnessFile(file).last()
    with pytest.raises(WitnessLineInvalid, match="line 2"):
        list(read_witness_file(file))


def test_a_volume_that_is_not_mounted_is_no_empty_witness(tmp_path: Path) -> None:
    witness = WitnessFile(tmp_path / "volume" / "roots.jsonl")
    with pytest.raises(WitnessUnavailable, match="directory"):
        witness.last()
    with pytest.raises(WitnessUnavailable):
        witness.append(roots(1))
