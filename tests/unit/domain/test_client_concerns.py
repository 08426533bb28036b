from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from client_samples import AT, NO_ASIDS, client_of, pin_of
from smsp_provider.domain.client_concerns import concerns
from smsp_provider.domain.clients import Authority, Client, NamePin, PinState, SignaturePolicy
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.organisations import ASIDDirectory

DAY = timedelta(days=1)


def _told(client: Client, ends: dict[str, datetime] | None = None, shared: ASIDDirectory = NO_ASIDS) -> list[str]:
    return list(concerns(client, AT, shared, ends or {}))


def _review(days: int) -> Client:
    return client_of(authority=Authority("reference", "basis", "use", (AT + days * DAY).date()))


def test_a_client_in_order_is_of_no_concern() -> None:
    assert _told(client_of()) == []


@pytest.mark.rule("SMSP-SEC-001")
@pytest.mark.parametrize(
    ("days", "text"),
    [
        (31, None),
        (30, "authority to access is to be reviewed in 30 days"),
        (0, "authority to access is to be reviewed in 0 days"),
        (-1, "authority to access was to be reviewed 1 days ago: refused in live"),
    ],
)
def test_a_review_is_spoken_of_thirty_days_before(days: int, text: str | None) -> None:
    assert _told(_review(days)) == ([] if text is None else [text])


def test_a_disabled_client_is_that_and_nothing_else() -> None:
    assert _told(replace(_review(-1), enabled=False, disabled_reason="left", pins=())) == ["disabled"]


def test_a_client_whose_signatures_nobody_looks_at_is_spoken_of() -> None:
    told = {policy: _told(client_of(signatures=policy)) for policy in (None, *SignaturePolicy)}
    ignored = told.pop(SignaturePolicy.IGNORE)
    assert ignored == ["signatures are ignored; in live they are verified all the same"]
    assert not any(told.values())


@pytest.mark.rule("WS-SEC-09")
@pytest.mark.parametrize(
    ("pins", "text"),
    [
        ((), "no certificate lets it in"),
        ((pin_of("one", until=AT),), "no certificate lets it in"),
        ((pin_of("one", until=AT + 31 * DAY),), None),
        ((pin_of("one", until=AT + 3 * DAY),), "its last certificate ends in 3 days, and no next one is registered"),
        ((pin_of("one", until=AT + 3 * DAY), pin_of("two", PinState.NEXT)), None),
        (
            (pin_of("one", until=AT + 3 * DAY), NamePin("CN=one", "CN=ca", AT + 9 * DAY)),
            "its last certificate ends in 9 days",
        ),
        ((pin_of("ending"),), "its last certificate ends in 2 days, and no next one is registered"),
        ((pin_of("ended"),), "no certificate lets it in"),
    ],
    ids=[
        "none",
        "one that ended",
        "one that ends later",
        "one that ends soon",
        "one that ends soon, and the next",
        "a rotation that ends soon",
        "a pin without end of a certificate that ends soon",
        "a pin without end of a certificate that ended",
    ],
)
def test_a_client_whose_certificates_run_out_is_spoken_of(pins: tuple[NamePin, ...], text: str | None) -> None:
    ends = {pin_of("ending").fingerprint: AT + 2 * DAY, pin_of("ended").fingerprint: AT}
    assert _told(client_of(pins=pins), ends) == ([] if text is None else [text])


@pytest.mark.rule("SMSP-IG-003")
def test_an_organisation_that_could_never_ask_is_spoken_of() -> None:
    asid = ASID("200000000115")
    client = client_of(organisations={ODSCode(code): None for code in ("C3", "B2")} | {ODSCode("A1"): asid})
    assert _told(client) == ["no ASID for B2, C3"]
    assert _told(client, shared=ASIDDirectory({ODSCode("B2"): asid})) == ["no ASID for C3"]
    assert _told(client, shared=ASIDDirectory({}, asid)) == []
