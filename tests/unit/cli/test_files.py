"""Whatever file is named on the command line or in the settings: a FIFO, a device or a directory is not read."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import run_main
from smsp_provider.cli.files import refuse_irregular
from smsp_provider.simulator.pki import Pki, make_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    file = tmp_path / "fifo"
    os.mkfifo(file)
    return file


def settings(folder: Path, pki: Pki, fifo: Path, setting: str) -> Path:
    """A settings file in which one file is the FIFO."""
    files = {
        "certificate": pki.provider_server.certificate,
        "key": pki.provider_server.key,
        "client_ca": pki.ca.certificate,
        "crl": folder / "clients-crl.pem",
        "spine_certificate": pki.provider_client.certificate,
        "spine_key": pki.provider_client.key,
        "spine_ca": pki.ca.certificate,
        "database": folder / "audit" / "audit.db",
        "vocabulary": Path(__file__).resolve().parents[3] / "config" / "vocabulary.toml",
    } | {setting: fifo}
    (folder / "clients-crl.pem").write_bytes(b"no list\n")
    file = folder / "provider.toml"
    file.write_text(
        f"""
environment = "test"
vocabulary = "{files["vocabulary"]}"
[server.https]
bind = "127.0.0.1:8443"
certificate = "{files["certificate"]}"
key = "{files["key"]}"
client_ca = "{files["client_ca"]}"
{f'crl = "{files["crl"]}"' if setting in ("crl", "none") else ""}
[spine]
endpoint = "https://localhost:1/sync-service"
certificate = "{files["spine_certificate"]}"
key = "{files["spine_key"]}"
ca = "{files["spine_ca"]}"
pds_asid = "928942012545"
[audit]
database = "{files["database"]}"
"""
    )
    return file


@pytest.mark.parametrize("command", [("config", "check"), ("serve",)], ids=["check", "serve"])
@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("certificate", "server.https.certificate, server.https.key"),
        ("key", "server.https.certificate, server.https.key"),
        ("client_ca", "server.https.client_ca"),
        ("crl", "server.https.crl"),
        ("spine_certificate", "spine.certificate, spine.key"),
        ("spine_key", "spine.certificate, spine.key"),
        ("spine_ca", "spine.ca"),
        ("database", "audit.database"),
        ("vocabulary", "vocabulary"),
    ],
)
def test_a_fifo_in_the_settings_is_named_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    pki: Pki,
    fifo: Path,
    command: tuple[str, ...],
    setting: str,
    named: str,
) -> None:
    done = run_main(monkeypatch, capsys, *command, "--config", settings(tmp_path, pki, fifo, setting))
    assert done.code == 2
    assert f"smsp: {named}: {fifo}: it is a FIFO, not a file\n" in done.err


def test_revocation_lists_that_let_no_worker_start_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, pki: Pki
) -> None:
    done = run_main(monkeypatch, capsys, "config", "check", "--config", settings(tmp_path, pki, tmp_path, "none"))
    assert done.code == 2
    assert "smsp: server.https.crl: no revocation list in PEM" in done.err


def test_a_fifo_among_the_schemas_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, pki: Pki
) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    os.mkfifo(pack / "a.xsd")
    file = settings(tmp_path, pki, pki.ca.certificate, "client_ca")
    file.write_text(f'{file.read_text()}\n[schemas]\ndirectory = "{pack}"\n')
    done = run_main(monkeypatch, capsys, "config", "check", "--config", file)
    assert done.code == 2
    assert f"smsp: schemas.directory: {pack}/a.xsd: it is a FIFO, not a file\n" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "check", "--config", "FIFO"),
        ("serve", "--config", "FIFO"),
        ("simulate", "load", "FIFO", "--store", "new.db"),
        ("simulate", "load", "--population", "--store", "FIFO"),
        ("simulate", "list", "--store", "FIFO"),
        ("simulate", "serve", "--store", "FIFO"),
        ("simulate", "serve", "--patients", "FIFO"),
        ("simulate", "serve", "--faults", "FIFO"),
        ("simulate", "serve", "--cert", "FIFO", "--key", "FIFO"),
        ("sandbox", "--patients", "FIFO"),
        ("call", "verifyNHSNumber", "--url", "https://localhost:1/", "--ca", "FIFO"),
        ("call", "verifyNHSNumber", "--url", "https://localhost:1/", "--cert", "FIFO"),
    ],
    ids=lambda arguments: " ".join(argument for argument in arguments if ":" not in argument),
)
def test_a_fifo_on_the_command_line_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fifo: Path, arguments: tuple[str, ...]
) -> None:
    given = [str(fifo) if argument == "FIFO" else argument for argument in arguments]
    done = run_main(monkeypatch, capsys, *given)
    assert done.code == 2
    # click breaks long lines.
    assert f"{fifo}: it is a FIFO, not a file" in re.sub(r"\s+", " ", done.err)


def link_to_a_fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to("fifo")
    return folder / "link"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda folder: folder, "a directory"),
        (lambda _: Path("/dev/zero"), "a device"),
        (link_to_a_fifo, "a FIFO"),
    ],
    ids=["directory", "device", "link"],
)
def test_everything_but_a_regular_file_is_refused(tmp_path: Path, make: Callable[[Path], Path], kind: str) -> None:
    file = make(tmp_path)
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))}: it is {kind}, not a file$"):
        refuse_irregular(file)


def test_a_file_and_nothing_are_let_through(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refuse_irregular(tmp_path / "file")
    refuse_irregular(tmp_path / "missing")
