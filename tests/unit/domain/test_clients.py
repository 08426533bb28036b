import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given

from client_samples import AT, any_clients, certificate_of, client_of, pin_of
from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.client_document import canonical_json, document_of
from smsp_provider.domain.clients import (
    Authority,
    Client,
    ClientInvalid,
    FingerprintPin,
    Limits,
    NamePin,
    PinState,
    rotated,
)
from smsp_provider.domain.identifiers import ASID, ODSCode

SECRETS = "zqx"
"""Stands in every value that is refused, and may stand in no text about it."""

DAY = timedelta(days=1)


@pytest.mark.rule("SMSP-SEC-001")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Zqx System"),
        ("name", ""),
        ("name", "zqx" * 40),
        ("contact", " zqx "),
        ("contact", "zqx\x1b[2J"),
        ("contact", "zqx" * 400),
        ("party_key", ""),
        ("usernames", frozenset({"zqx", ""})),
        ("profiles", frozenset({"zqx\n"})),
        ("organisations", {}),
        ("organisations", {ODSCode("A1001:zqx"): None}),
        ("organisations", {ODSCode("A1001"): ASID("zqx")}),
        ("ods_code", ODSCode("")),
        ("services", frozenset()),
        ("access_methods", frozenset({AccessMethod.NAMED_ASID})),
        ("pins", (pin_of("one"), replace(pin_of("one"), state=PinState.NEXT))),
        ("disabled_reason", "zqx"),
        ("enabled", False),
    ],
    ids=[
        "name with a capital and a blank",
        "no name",
        "name too long",
        "contact with blanks around it",
        "contact that drives a terminal",
        "contact too long",
        "empty party key",
        "empty username",
        "profile with a line end",
        "no organisation",
        "organisation with the token of a person",
        "asid of letters",
        "no ods code",
        "no service",
        "no access method but naming an asid",
        "a pin twice",
        "enabled with a reason",
        "disabled without one",
    ],
)
def test_a_registration_that_cannot_stand_is_refused_by_the_name_of_the_field(field: str, value: object) -> None:
    with pytest.raises(ClientInvalid) as refused:
        replace(client_of(), **{field: value})  # type: ignore[arg-type]  # wrong values are the point
    expected = "disabled_reason" if field == "enabled" else field
    assert str(refused.value).startswith(f"{expected}: ")
    assert SECRETS not in str(refused.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FingerprintPin("AB" * 32),
        lambda: FingerprintPin("ab" * 31),
        lambda: FingerprintPin("ab" * 32, certificate=b"another"),
        lambda: FingerprintPin("ab" * 32, until=datetime(2030, 1, 1)),  # noqa: DTZ001 - that is the point
        lambda: NamePin("", "CN=authority", AT),
        lambda: NamePin("CN=client", " ", AT),
        lambda: NamePin("CN=client", "CN=authority", datetime(2030, 1, 1)),  # noqa: DTZ001 - that is the point
        lambda: Limits(rate=0),
        lambda: Limits(rate=float("nan")),
        lambda: Limits(rate=float("inf")),
        lambda: Limits(burst=3),
        lambda: Limits(rate=1, burst=0),
        lambda: Limits(concurrency=0),
        lambda: Limits(concurrency=10**9),
        lambda: Authority("", "basis", "use", AT.date()),
    ],
    ids=[
        "fingerprint in capitals",
        "fingerprint too short",
        "another certificate than the fingerprint's",
        "end without a time zone",
        "pin by name without a subject",
        "pin by name without an issuer",
        "pin by name, end without a time zone",
        "rate of nothing",
        "rate that is no number",
        "rate without end",
        "burst without a rate",
        "burst of nothing",
        "concurrency of nothing",
        "concurrency beyond all machines",
        "authority without a reference",
    ],
)
def test_a_part_of_a_registration_that_cannot_stand_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ClientInvalid):
        make()


@pytest.mark.rule("WS-SEC-09")
def test_several_certificates_are_recognised_each_while_its_time_lasts() -> None:
    client = client_of(
        pins=(
            pin_of("old", PinState.RETIRED, AT + DAY),
            pin_of("current"),
            NamePin("CN=new", "CN=Test authority", AT + 2 * DAY),
        )
    )
    days = {
        word: [client.recognises(certificate_of(word), AT + days * DAY) for days in (0, 1, 2)]
        for word in ("old", "current", "new", "foreign")
    }
    assert days == {
        "old": [True, False, False],
        "current": [True, True, True],
        "new": [True, True, False],
        "foreign": [False, False, False],
    }
    assert not client.recognises(certificate_of("new", issuer="CN=Another authority"), AT)


@pytest.mark.rule("WS-SEC-09")
def test_a_rotation_takes_the_next_certificate_and_lets_the_old_one_run_out() -> None:
    client = client_of(
        pins=(pin_of("older", PinState.RETIRED, AT + DAY), pin_of("old"), pin_of("new", PinState.NEXT), pin_of("gone"))
    )
    gone = replace(client, pins=(*client.pins[:3], pin_of("gone", until=AT)))
    assert rotated(gone, AT, 7 * DAY).pins == (
        pin_of("older", PinState.RETIRED, AT + DAY),
        pin_of("old", PinState.RETIRED, AT + 7 * DAY),
        pin_of("new"),
    )


@pytest.mark.rule("WS-SEC-09")
@pytest.mark.parametrize(
    "pins",
    [(), (pin_of("old"),), (pin_of("old"), pin_of("new", PinState.NEXT, AT))],
    ids=["no pin", "no next pin", "next pin that has ended"],
)
def test_without_a_next_certificate_nothing_is_rotated(pins: tuple[Any, ...]) -> None:
    with pytest.raises(ClientInvalid, match="next"):
        rotated(client_of(pins=pins), AT, 7 * DAY)


@pytest.mark.rule("WS-SEC-09")
@given(any_clients())
def test_a_rotation_never_locks_out_and_changes_nothing_but_pins(client: Client) -> None:
    try:
        done = rotated(client, AT, 7 * DAY)
    except ClientInvalid:
        return
    assert replace(done, pins=client.pins) == client
    now = [pin for pin in done.pins if pin.until is None or pin.until > AT]
    assert any(pin.state is PinState.CURRENT for pin in now)
    assert all(pin.until is not None and pin.until <= AT + 7 * DAY for pin in now if pin.state is PinState.RETIRED)


@pytest.mark.rule("SMSP-AUDIT-008")
@given(any_clients())
def test_a_document_says_all_of_a_client_but_its_name(client: Client) -> None:
    line = canonical_json(document_of(client))
    assert line.isascii()
    assert canonical_json(json.loads(line)) == line
    assert canonical_json(document_of(replace(client, name="another"))) == line


@pytest.mark.rule("SMSP-AUDIT-008")
@given(any_clients(), any_clients())
def test_clients_that_differ_have_documents_that_differ(one: Client, other: Client) -> None:
    same = replace(one, name="same") == replace(other, name="same")
    assert same == (document_of(one) == document_of(other))


def test_a_document_does_not_depend_on_the_time_zone_of_a_pin() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    here, there = (client_of(pins=(pin_of("one", until=until),)) for until in (AT.astimezone(UTC), elsewhere))
    assert document_of(here) == document_of(there)


def test_a_certificate_stands_in_no_repr() -> None:
    der = b"certificate bytes"
    pin = FingerprintPin(hashlib.sha256(der).hexdigest(), certificate=der)
    assert "bytes" not in repr(client_of(pins=(pin,)))
