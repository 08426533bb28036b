import base64
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client_samples import any_clients, certificate_of, client_of
from smsp_provider.config.clients_file import ClientsFileInvalid, client_from, read_clients, write_clients
from smsp_provider.config.toml_text import to_toml
from smsp_provider.domain.client_document import document_of
from smsp_provider.domain.clients import Client, FingerprintPin, NamePin, PinState
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.service import Service

SMALLEST = """
[clients.ward-system]
ods_code = "a1001"
contact = "service desk"
organisations.A1001 = ""

[clients.ward-system.authority]
approval_reference = "DARS-1"
legal_basis = "direct care"
use_case = "patient administration"
review_on = 2030-01-01
"""
SECRET = "zqx"


def _file(folder: Path, text: str, name: str = "clients.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.rule("SMSP-SEC-001")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(st.lists(any_clients(), max_size=3, unique_by=lambda client: client.name), st.sampled_from(("toml", "json")))
def test_what_is_written_is_read_as_the_same_clients(tmp_path: Path, clients: list[Client], form: str) -> None:
    file = _file(tmp_path, write_clients(clients, as_json=form == "json"), f"clients.{form}")
    assert list(read_clients(file).values()) == clients


_keys = st.text(max_size=8)
_values = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | _keys,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)


def _has_table_in_mixed_list(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_table_in_mixed_list, value.values()))
    if isinstance(value, list):
        if value and all(isinstance(item, dict) for item in value):
            return any(map(_has_table_in_mixed_list, value))
        return any(isinstance(item, dict) or _has_table_in_mixed_list(item) for item in value) or any(
            isinstance(item, list) and any(isinstance(one, dict) for one in item) for item in value
        )
    return False


@given(
    st.dictionaries(
        _keys.filter(lambda key: not any("\ud800" <= one <= "\udfff" for one in key)), _values, max_size=4
    ).filter(lambda tree: not _has_table_in_mixed_list(tree))
)
def test_text_of_a_tree_is_read_as_the_same_tree(tree: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(tree)) == tree


def test_what_toml_has_no_place_for_is_refused() -> None:
    with pytest.raises(TypeError):
        to_toml({"nothing": None})


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    (client,) = read_clients(_file(tmp_path, SMALLEST)).values()
    assert client.ods_code == ODSCode("A1001")
    assert client.organisations == {ODSCode("A1001"): None}
    assert client.services == set(Service)
    assert client.authority.review_on == date(2030, 1, 1)
    assert client.enabled
    assert client.pins == ()


@pytest.mark.rule("WS-SEC-09")
def test_pins_are_read_in_the_forms_that_tools_give_them_in(tmp_path: Path) -> None:
    certificate = certificate_of("one")
    pairs = [certificate.fingerprint[at : at + 2].upper() for at in range(0, 64, 2)]
    encoded = base64.b64encode(certificate.der).decode()
    pins = f"""
    [[clients.ward-system.pins]]
    fingerprint = "{":".join(pairs)}"
    until = 2030-01-01T02:00:00+02:00

    [[clients.ward-system.pins]]
    certificate = "{base64.b64encode(certificate_of("two").der).decode()}"
    state = "next"

    [[clients.ward-system.pins]]
    subject = "CN=three"
    issuer = "CN=Test authority"
    until = "2030-01-01T00:00:00Z"
    """
    (client,) = read_clients(_file(tmp_path, SMALLEST + pins)).values()
    end = datetime(2030, 1, 1, tzinfo=UTC)
    two = certificate_of("two")
    assert client.pins == (
        FingerprintPin(certificate.fingerprint, until=end),
        FingerprintPin(two.fingerprint, PinState.NEXT, certificate=two.der),
        NamePin("CN=three", "CN=Test authority", end),
    )
    both = f'[[clients.ward-system.pins]]\nfingerprint = "{two.fingerprint}"\ncertificate = "{encoded}"'
    with pytest.raises(ClientsFileInvalid, match="pins: the certificate is not that of the fingerprint"):
        read_clients(_file(tmp_path, SMALLEST + both))


@pytest.mark.rule("SMSP-SEC-001")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"odscode": "zqx"}, "odscode: there is no such field"),
        ({"ods_code": 7}, "ods_code"),
        ({"contact": "zqx\n"}, "contact"),
        ({"organisations": {}}, "organisations"),
        ({"organisations": {"A1001": "zqx"}}, "organisations"),
        ({"organisations": {"A1001": "", "a1001": ""}}, "organisations"),
        ({"organisations": ["A1001"]}, "organisations"),
        ({"services": ["zqx"]}, "services.0"),
        ({"access_methods": [4]}, "access_methods.0"),
        ({"access_methods": ["1"]}, "access_methods.0"),
        ({"enabled": "zqx"}, "enabled"),
        ({"enabled": False}, "disabled_reason"),
        ({"authority": {"approval_reference": "zqx"}}, "authority.legal_basis"),
        ({"limits": {"rate": "zqx"}}, "limits.rate"),
        ({"limits": {"burst": 3}}, "limits"),
        ({"limits": {"per_day": 3}}, "limits.per_day: there is no such field"),
        ({"pins": [{"fingerprint": "zqx"}]}, "pins"),
        ({"pins": [{}]}, "pins.0"),
        ({"pins": [{"subject": "CN=zqx"}]}, "pins.0"),
        ({"pins": [{"subject": "CN=zqx", "issuer": "CN=zqx"}]}, "pins.0"),
        ({"pins": [{"fingerprint": "ab" * 32, "until": "zqx"}]}, "pins.0.until"),
        ({"pins": [{"fingerprint": "ab" * 32, "until": "2030-01-01T00:00:00"}]}, "pins"),
        ({"pins": [{"fingerprint": "ab" * 32, "until": 1893456000}]}, "pins.0.until"),
        ({"pins": [{"certificate": "zqx!"}]}, "pins.0.certificate"),
    ],
    ids=lambda value: value.replace(".", " ") if isinstance(value, str) else None,
)
def test_a_mistake_is_named_by_client_and_field_and_never_by_its_value(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ClientsFileInvalid) as refused:
        client_from("ward-system", document_of(client_of()) | change)
    assert any(line.startswith(f"client ward-system: {field}") for line in str(refused.value).splitlines())
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("review_on", [20300101, "zqx", "2030-01-01T00:00:00Z", True], ids=type)
def test_the_day_of_a_review_is_a_date(review_on: object) -> None:
    document = document_of(client_of())
    authority = dict(document["authority"], review_on=review_on)  # type: ignore[call-overload]  # a table, as its form says
    with pytest.raises(ClientsFileInvalid, match=r"authority\.review_on"):
        client_from("ward-system", document | {"authority": authority})


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    file = _file(tmp_path, SMALLEST.replace("contact", "contcat") + SMALLEST.replace("ward-system", "Zqx"))
    with pytest.raises(ClientsFileInvalid) as refused:
        read_clients(file)
    assert str(refused.value).splitlines() == [
        f"{file}: client ward-system: contact: Field required",
        f"{file}: client ward-system: contcat: there is no such field",
        f"{file}: client Zqx: name: lower-case letters, digits, dots, hyphens and underscores, at most 64",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("clients.toml", "[clients\nzqx"),
        ("clients.toml", "x = " + "[" * 100_000),
        ("clients.json", "{zqx"),
        ("clients.json", "[" * 100_000),
        ("clients.json", '{"clients": {}, "clients": {}}'),
        ("clients.json", "[]"),
        ("clients.json", "7"),
        ("clients.toml", "zqx = 1"),
        ("clients.toml", "clients = 1"),
        ("clients.toml", "[clients]\nzqx = 1"),
        ("clients.toml", "[ward-system]\nods_code = 'A1001'"),
    ],
    ids=[
        "broken toml",
        "toml without end",
        "broken json",
        "json without end",
        "a name twice",
        "a list",
        "a number",
        "another name",
        "no tables",
        "no table of a client",
        "a client at the top",
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ClientsFileInvalid) as refused:
        read_clients(_file(tmp_path, text, name))
    assert str(refused.value).startswith(f"{tmp_path / name}: ")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ClientsFileInvalid, match="is not TOML"):
        read_clients(file)


def test_an_empty_file_holds_no_clients(tmp_path: Path) -> None:
    assert read_clients(_file(tmp_path, "")) == {}


def test_the_example_of_the_documentation_is_a_clients_file(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "clients.md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    (client,) = read_clients(_file(tmp_path, example)).values()
    assert client.name == "ward-system"
    assert len(client.pins) == 2
    fields = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert set(document_of(client)) <= fields
    assert {"enabled", "disabled_reason", "signatures", "fingerprint", "certificate", "until"} <= fields
