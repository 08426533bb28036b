"""Registrations that a client's certificate or somebody's file make odd: shown, told of, and no reason to wait."""

import hashlib
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certificate_zoo import Authority
from client_samples import NO_ASIDS, client_of
from command_line import Done, run_main
from signed_in import write_configuration
from smsp_provider.cli.client_view import concerns_of
from smsp_provider.config.clients_file import ClientsFileInvalid, read_document, write_clients
from smsp_provider.domain.clients import Client, FingerprintPin

_AUTHORITY = Authority.named("Test authority")
_AT = datetime(2026, 6, 1, tzinfo=UTC)
_VERSION_3, _VERSION_6 = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")


def _named(*common_names: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ward")]
    subject += [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(_AUTHORITY.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2035, 1, 1, tzinfo=UTC))
    )
    return builder.sign(_AUTHORITY.key, hashes.SHA256())


def _client(certificate: bytes) -> Client:
    return client_of(pins=(FingerprintPin(hashlib.sha256(certificate).hexdigest(), certificate=certificate),))


@pytest.mark.rule("SMSP-SEC-001")
@pytest.mark.parametrize(
    ("names", "said"),
    [(("ward",), None), ((), "has no common name"), (("ward", "office"), "has 2 common names")],
    ids=["one", "none", "two"],
)
def test_a_certificate_that_no_username_can_match_is_told_of(
    names: tuple[str, ...],
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    certificate = _named(*names)
    der = certificate.public_bytes(serialization.Encoding.DER)
    found = [text for text in concerns_of(_client(der), _AT, NO_ASIDS) if "common name" in text]
    assert [said is not None and said in text for text in found] == ([] if said is None else [True])
    file, config = tmp_path / "client.pem", tmp_path / "provider.toml"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    write_configuration(config, 'policy = "os-user"')
    run_main(monkeypatch, capsys, "client", "init", "--config", config)
    fields = ("--ods=A1001", "--contact=desk", "--approval=1", "--legal-basis=care", "--use-case=ward")
    more = ("--organisation=A1001", "--review-on=2099-12-31", "--certificate", file, "--config", config)
    done = run_main(monkeypatch, capsys, "client", "add", "ward", *fields, *more)
    assert done.code == 0, done.err
    assert ("common name" in done.err) == (said is not None)


def test_a_certificate_of_a_version_to_come_can_be_looked_at() -> None:
    certificate = _named("ward").public_bytes(serialization.Encoding.DER).replace(_VERSION_3, _VERSION_6, 1)
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_certificate(certificate)
    assert "no certificate lets it in" not in concerns_of(_client(certificate), _AT, NO_ASIDS)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    config = tmp_path / "provider.toml"
    write_configuration(config, 'policy = "os-user"')
    file = tmp_path / "clients.toml"
    file.write_text(write_clients([client_of()], as_json=False), encoding="utf-8")
    for words in (("init",), ("import", file)):
        assert run_main(monkeypatch, capsys, "client", *words, "--config", config).code == 0
    return config


@pytest.mark.rule("SMSP-SEC-001")
def test_an_export_is_private_also_where_a_file_was_that_is_not(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def export(output: Path) -> Done:
        return run_main(monkeypatch, capsys, "client", "export", "--output", output, "--config", config)

    out, link = tmp_path / "out.toml", tmp_path / "link.toml"
    out.write_text("of before")
    out.chmod(0o644)
    link.symlink_to(out)
    with out.open() as opened:
        assert export(link).code == 0
        assert opened.read() == "of before", "who had the old file open reads nothing of the new one"
    assert link.is_symlink()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "[clients.ward-system]" in out.read_text()
    done = export(tmp_path / "gone" / "out.toml")
    assert done.code == 3
    assert "No such file" in done.err
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 50_000) + " = 1",
        "[" + ".".join("a" * 50_000) + "]",
        "[clients]\nx = {y = [{" + " . ".join(['"a"'] * 50_000) + " = 1}]}",
    ],
    ids=["a key", "a table", "in a table of one line"],
)
def test_names_of_many_parts_are_refused_before_they_take_their_time(text: str, tmp_path: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(text)
    with pytest.raises(ClientsFileInvalid, match="more than 16 parts"):
        read_document(file)


def test_dots_in_texts_and_comments_are_no_names(tmp_path: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(
        f'# {"." * 100} "\n'
        f'a = "{"." * 100} \\" # {"." * 100}"\nb = \'{"." * 100}\'\n'
        f"c = \"\"\"\n{'.' * 100}\n\"\"\"\nd = '''\n{'.' * 100}'''\n[a1.b.c]\nd = 1.5\n"
    )
    document = read_document(file)
    assert document["a1"]["b"]["c"] == {"d": 1.5}
    assert len(document["a"]) == 205
