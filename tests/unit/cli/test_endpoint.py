"""`smsp endpoint`: from a new key to an installed certificate and back, in every form that an authority hands out."""

import json
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from certificate_zoo import CLIENT, SERVER, Authority, Key, Zoo, make_zoo
from command_line import Done, run_main
from smsp_provider.audit.events import Change
from smsp_provider.config.settings import load_settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.wiring.audit import build_audit_reader

NAME = "smsp.example.nhs.uk"
PASSWORD = "correct horse"


@dataclass
class World:
    """A provider's configuration, an authority with an intermediate one, and the command."""

    folder: Path
    zoo: Zoo
    between: Authority
    config: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def run(self, command: str, *arguments: object) -> Done:
        return run_main(self.monkeypatch, self.capsys, "endpoint", command, "--config", self.config, *arguments)

    @property
    def key(self) -> Path:
        return self.folder / "endpoint.key"

    @property
    def certificate(self) -> Path:
        return self.folder / "endpoint.crt"

    def signed(self, *, usages: tuple[x509.ObjectIdentifier, ...] = (SERVER, CLIENT), days: float = 90) -> bytes:
        """The certificate for the waiting request, in PEM, by the intermediate authority."""
        request = x509.load_pem_x509_csr((self.folder / "endpoint.csr").read_bytes())
        assert request.is_signature_valid
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self.between.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=100))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(names.value, critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        return pem(builder.sign(self.between.key, hashes.SHA256()))

    def file(self, content: bytes, name: str = "from-the-authority") -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return make_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def world(tmp_path: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> World:
    key, certificate = zoo.authority.issue("Between", key=_between_key(), is_authority=True, usages=())
    assert isinstance(key, rsa.RSAPrivateKey)
    config = tmp_path / "provider.toml"
    config.write_text(
        f"""
environment = "test"
[server.https]
certificate = "{tmp_path}/endpoint.crt"
key = "{tmp_path}/endpoint.key"
client_ca = "{zoo.ca}"
crl = "{zoo.crl}"
[spine]
endpoint = "http://127.0.0.1:9/"
pds_asid = "928942012545"
[audit]
database = "{tmp_path}/state/audit.db"
[operators]
policy = "os-user"
"""
    )
    monkeypatch.delenv("ENDPOINT_PASSWORD", raising=False)
    return World(tmp_path, zoo, Authority(key, certificate), config, monkeypatch, capsys)


_MADE: list[rsa.RSAPrivateKey] = []


def _between_key() -> rsa.RSAPrivateKey:
    if not _MADE:
        _MADE.append(rsa.generate_private_key(65537, 2048))
    return _MADE[0]


class TestInit:
    @pytest.mark.parametrize("kind", ["rsa", "ec"])
    def test_a_key_waits_for_its_certificate(self, world: World, kind: str) -> None:
        done = world.run("init", "--name", NAME, "--also", "other.example.nhs.uk", "--key-type", kind)
        assert done.code == 0, done.err
        waiting = world.folder / "endpoint.key.next"
        assert stat.S_IMODE(waiting.stat().st_mode) == 0o600
        key = serialization.load_pem_private_key(waiting.read_bytes(), None)
        if kind == "rsa":
            assert isinstance(key, rsa.RSAPrivateKey)
            assert key.key_size == 3072
        else:
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            assert key.curve.name == "secp256r1"
        request = x509.load_pem_x509_csr((world.folder / "endpoint.csr").read_bytes())
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [NAME, "other.example.nhs.uk"]
        assert request.subject.rfc4514_string() == f"CN={NAME}"
        assert not world.key.exists(), "the key in use is not touched"
        assert "PRIVATE" not in done.out + done.err

    def test_a_waiting_key_is_not_thrown_away_unasked(self, world: World) -> None:
        assert world.run("init", "--name", NAME, "--key-type", "ec").code == 0
        before = (world.folder / "endpoint.key.next").read_bytes()
        done = world.run("init", "--name", NAME, "--key-type", "ec")
        assert done.code == 3
        assert "waits for its certificate already" in done.err
        assert (world.folder / "endpoint.key.next").read_bytes() == before
        assert world.run("init", "--name", NAME, "--key-type", "ec", "--replace").code == 0
        assert (world.folder / "endpoint.key.next").read_bytes() != before

    @pytest.mark.parametrize(
        "name", ["localhost", "a b.nhs.uk", "-a.nhs.uk", "a..nhs.uk", "*.nhs.uk", "a" * 70 + ".uk", ""]
    )
    def test_a_name_is_a_full_dns_name(self, world: World, name: str) -> None:
        done = world.run("init", "--name", name)
        assert done.code == 2
        assert not (world.folder / "endpoint.key.next").exists()

    def test_a_side_that_the_settings_do_not_name_is_refused(self, world: World) -> None:
        assert "names no certificate and key for spine" in world.run("init", "--name", NAME, "--side", "spine").err


class TestInstall:
    @pytest.mark.parametrize("order", ["leaf first", "root first", "several files", "DER"])
    def test_a_chain_in_any_order_is_put_in_order_without_its_root(self, world: World, order: str) -> None:
        assert world.run("init", "--name", NAME, "--key-type", "ec").code == 0
        leaf, between, root = world.signed(), pem(world.between.certificate), world.zoo.ca.read_bytes()
        files = {
            "leaf first": [world.file(leaf + between + root)],
            "root first": [world.file(root + between + leaf)],
            "several files": [world.file(between, "one"), world.file(root, "two"), world.file(leaf, "three")],
            "DER": [
                world.file(x509.load_pem_x509_certificate(leaf).public_bytes(serialization.Encoding.DER), "leaf.cer"),
                world.file(between, "between.pem"),
            ],
        }[order]
        done = world.run("install", *files)
        assert done.code == 0, done.err
        assert world.certificate.read_bytes() == leaf + between
        assert stat.S_IMODE(world.key.stat().st_mode) == 0o600
        assert stat.S_IMODE(world.certificate.stat().st_mode) == 0o644
        assert not (world.folder / "endpoint.key.next").exists()
        assert f"names: {NAME}" in done.out
        assert "chain: 2 certificates" in done.out
        assert "PRIVATE" not in done.out + done.err
        assert sorted(path.name for path in world.folder.iterdir() if ".fresh" in path.name) == []

    @pytest.mark.parametrize("by", ["file", "variable", "prompt"])
    def test_a_pkcs12_file_is_opened_with_a_password_that_no_argument_holds(self, world: World, by: str) -> None:
        key, leaf = self._issue(world)
        bundle = pkcs12.serialize_key_and_certificates(
            b"smsp",
            key,
            leaf,
            [world.between.certificate],
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
        file = world.file(bundle, "endpoint.p12")
        arguments: list[object] = [file]
        if by == "file":
            arguments = ["--password-file", world.file(PASSWORD.encode() + b"\n", "password"), file]
        elif by == "variable":
            world.monkeypatch.setenv("ENDPOINT_PASSWORD", PASSWORD)
        else:
            world.monkeypatch.setattr(
                "click.prompt", lambda *_args, **options: PASSWORD if options["hide_input"] else ""
            )
        done = world.run("install", *arguments)
        assert done.code == 0, done.err
        assert world.certificate.read_bytes() == pem(leaf) + pem(world.between.certificate)
        assert PASSWORD not in done.out + done.err

    def _issue(self, world: World, **more: object) -> tuple[Key, x509.Certificate]:
        return world.between.issue("leaf", usages=(SERVER, CLIENT), names=(NAME,), **more)  # type: ignore[arg-type]  # as issue takes it

    def test_a_wrong_password_changes_nothing(self, world: World) -> None:
        key, leaf = self._issue(world)
        bundle = pkcs12.serialize_key_and_certificates(
            None, key, leaf, None, serialization.BestAvailableEncryption(PASSWORD.encode())
        )
        world.monkeypatch.setenv("ENDPOINT_PASSWORD", "wrong")
        done = world.run("install", world.file(bundle))
        assert done.code == 2
        assert "or the password is wrong" in done.err
        assert not world.key.exists()

    def test_an_encrypted_key_in_pem_is_written_without_its_password(self, world: World) -> None:
        key, leaf = self._issue(world)
        encrypted = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
        world.monkeypatch.setenv("ENDPOINT_PASSWORD", PASSWORD)
        assert world.run("install", world.file(encrypted + pem(leaf))).code == 0
        written = serialization.load_pem_private_key(world.key.read_bytes(), None)
        assert written.public_key() == key.public_key()

    def test_a_renewal_may_keep_the_key_and_the_old_pair_comes_back(self, world: World) -> None:
        key, old = self._issue(world)
        _, new = self._issue(world, key=key, days=(-1, 300))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        assert world.run("install", world.file(private + pem(old))).code == 0
        assert world.run("rollback").code == 3, "there was nothing before"
        assert world.run("install", world.file(pem(old) + pem(new))).code == 0, "the longer one counts"
        assert world.certificate.read_bytes() == pem(new)
        for expected in (old, new):
            done = world.run("rollback")
            assert done.code == 0, done.err
            assert world.certificate.read_bytes() == pem(expected)
            assert world.key.read_bytes() == private
            assert stat.S_IMODE(world.key.stat().st_mode) == 0o600

    @pytest.mark.parametrize(
        ("harm", "said"),
        [
            ("another key", "no certificate fits the private key"),
            ("another name", f"the certificate does not hold {NAME}, but other.example.nhs.uk"),
            ("for clients", "it was not issued for serverAuth"),
            ("expired", "leaf: expired"),
            ("not yet", "leaf: not valid yet"),
            ("weak", "its key is too weak"),
            ("no name", "it holds no DNS name"),
            ("not a certificate", "no certificate or key that can be read"),
            ("an expired chain", "Between: expired"),
        ],
    )
    def test_what_must_not_be_used_is_not_installed(self, world: World, harm: str, said: str) -> None:
        more: dict[str, object] = {}
        between = world.between.certificate
        if harm == "weak":
            more["key"] = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
        if harm in ("expired", "not yet"):
            more["days"] = (-3, -1) if harm == "expired" else (1, 3)
        usages = (CLIENT,) if harm == "for clients" else (SERVER,)
        names = {"another name": ("other.example.nhs.uk",), "no name": ()}.get(harm, (NAME,))
        if harm == "an expired chain":
            _, between = world.zoo.authority.issue("Between", key=world.between.key, days=(-5, -1), is_authority=True)
        key, leaf = world.between.issue("leaf", usages=usages, names=names, **more)  # type: ignore[arg-type]  # as issue takes it
        if harm == "another key":
            key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        content = b"nothing" if harm == "not a certificate" else private + pem(leaf) + pem(between)
        done = world.run("install", "--name", NAME, world.file(content))
        assert done.code == 2
        assert said in done.err
        assert not world.key.exists()
        assert not world.certificate.exists()

    def test_the_names_of_the_request_must_be_in_the_certificate(self, world: World) -> None:
        assert world.run("init", "--name", NAME, "--also", "two.example.nhs.uk", "--key-type", "ec").code == 0
        key = serialization.load_pem_private_key((world.folder / "endpoint.key.next").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        _, leaf = self._issue(world, key=key)
        done = world.run("install", world.file(pem(leaf)))
        assert done.code == 2
        assert "the certificate does not hold two.example.nhs.uk" in done.err

    def test_a_failure_in_the_middle_leaves_everything_as_it_was(self, world: World) -> None:
        key, leaf = self._issue(world)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        assert world.run("install", world.file(private + pem(leaf))).code == 0
        before = world.key.read_bytes(), world.certificate.read_bytes()
        other_key, other = self._issue(world)
        replace = Path.replace

        def fails(self: Path, target: Path) -> Path:
            if target == world.certificate:
                raise OSError(28, "No space left on device", str(target))
            return replace(self, target)

        world.monkeypatch.setattr(Path, "replace", fails)
        more = other_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        done = world.run("install", world.file(more + pem(other)))
        assert done.code == 3
        assert "No space left" in done.err
        assert (world.key.read_bytes(), world.certificate.read_bytes()) == before
        assert [path for path in world.folder.iterdir() if ".fresh" in path.name] == []


class TestStatus:
    def test_everything_is_shown_with_its_use(self, world: World) -> None:
        assert world.run("init", "--name", NAME, "--key-type", "ec").code == 0
        assert world.run("install", world.file(world.signed() + pem(world.between.certificate))).code == 0
        done = world.run("status")
        assert done.code == 0, done.out
        for text in ("shown to callers", "who signs for callers", "whose certificates are revoked", NAME, "Between"):
            assert text in done.out
        found = json.loads(world.run("status", "--json").out)
        assert [file["setting"] for file in found["files"]] == [
            "server.https.certificate",
            "server.https.client_ca",
            "server.https.crl",
        ]
        leaf = found["files"][0]["certificates"][0]
        assert (leaf["names"], leaf["days_left"], len(leaf["sha256"])) == ([NAME], 89, 64)
        assert "PRIVATE" not in str(found)

    @pytest.mark.parametrize(("days", "code", "word"), [(60, 0, ""), (20, 0, "warning"), (-1, 1, "problem")])
    def test_the_exit_code_tells_what_has_ended(self, world: World, days: float, code: int, word: str) -> None:
        assert world.run("init", "--name", NAME, "--key-type", "ec").code == 0
        (world.folder / "endpoint.key.next").rename(world.key)
        world.certificate.write_bytes(world.signed(days=days))
        done = world.run("status")
        assert done.code == code
        section = done.out.partition("server.https.client_ca")[0]
        assert [kind for kind in ("problem", "warning") if kind in section] == ([word] if word else [])

    def test_files_that_are_not_there_are_problems(self, world: World) -> None:
        done = world.run("status")
        assert done.code == 1
        assert "No such file" in done.out


@pytest.mark.rule("SMSP-AUDIT-008")
def test_what_takes_the_place_of_what_is_on_record_before_it_does(world: World) -> None:
    for words in (("init", "--name", NAME), ("init", "--name", NAME, "--replace")):
        assert world.run(*words).code == 0
        certificate = world.file(world.signed() + pem(world.between.certificate))
        assert world.run("install", certificate).code == 0
    newer = world.certificate.read_bytes()
    assert world.run("rollback").code == 0
    older = world.certificate.read_bytes()
    records = [entry.record for entry in build_audit_reader(load_settings(world.config), SystemClock()).read()]
    changes = [record for record in records if isinstance(record, Change)]
    assert {(change.what, change.name) for change in changes} == {("endpoint", "https")}
    first, second = (
        json.dumps({"sha256": x509.load_pem_x509_certificate(one).fingerprint(hashes.SHA256()).hex()})
        for one in (older, newer)
    )
    told = [
        tuple(None if one is None else json.dumps(json.loads(one)) for one in (change.before, change.after))
        for change in changes
    ]
    assert told == [(None, first), (first, second), (second, first)]
    database = load_settings(world.config).audit.database
    database.write_bytes(b"not a database")
    done = world.run("rollback")
    assert done.code == 3
    assert world.certificate.read_bytes() == older, "what cannot be put on record is not done"
