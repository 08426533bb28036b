"""The timestamp and the username: every breach is access denied, and names its element."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from itk_messages import NOW, Request, with_texts
from smsp_provider.domain.clients import SignaturePolicy
from smsp_provider.domain.faults import ErrorCode, FaultCode, ToolkitFault
from smsp_provider.soap.envelope import read_soap
from smsp_provider.soap.security import SecurityFacts, SecurityPolicy, UsernamePolicy, check_security

NAME = "client.example.nhs.uk"
VALID = Request()
POLICY = SecurityPolicy()


def facts_of(
    request: Request, peer: str | None = NAME, policy: SecurityPolicy = POLICY, now: datetime = NOW
) -> SecurityFacts:
    return check_security(read_soap(request.body()), now, peer, policy)


def refusal(request: Request, peer: str | None = NAME, policy: SecurityPolicy = POLICY, now: datetime = NOW) -> str:
    with pytest.raises(ToolkitFault) as caught:
        facts_of(request, peer, policy, now)
    assert (caught.value.faultcode, caught.value.error_code) == (FaultCode.CLIENT, ErrorCode.ACCESS_DENIED)
    return caught.value.text


def instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


@pytest.mark.rule("WS-SEC-04", "WS-SEC-05", "WS-DSC-04")
def test_a_fresh_message_of_the_right_client_is_read() -> None:
    assert facts_of(VALID) == SecurityFacts(NAME, NOW - timedelta(seconds=5), NOW + timedelta(minutes=10), signed=False)


@pytest.mark.rule("WS-DSC-03")
@pytest.mark.parametrize(
    ("text", "microsecond"),
    [("", 0), (".5", 500_000), (".123456", 123_456), (".1234569", 123_456), (".000000999999", 0)],
)
def test_fractions_of_a_second_are_read_to_the_microsecond(text: str, microsecond: int) -> None:
    created = facts_of(replace(VALID, created=f"2026-03-02T09:00:00{text}Z")).created
    assert created == datetime(2026, 3, 2, 9, 0, 0, microsecond, tzinfo=UTC)


@pytest.mark.rule("WS-DSC-03")
@pytest.mark.parametrize("field", ["created", "expires"])
@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T09:00:00",
        "2026-03-02T09:00:00z",
        "2026-03-02T09:00:00+00:00",
        "2026-03-02 09:00:00Z",
        "2026-03-02T09:00Z",
        "2026-03-02T09:00:00.Z",
        "2026-03-02T09:00:00,5Z",
        "2026-02-29T09:00:00Z",
        "2026-03-02T25:00:00Z",
        "2026-03-02T24:00:00Z",
        "2026-03-02T09:00:00Z Z",
        "-2026-03-02T09:00:00Z",
        "12026-03-02T09:00:00Z",
        "2026-03-02T09:00:00.5.5Z",
        "\uff12026-03-02T09:00:00Z",
        " ",
        "2026-03-02T09:00:60Z",
        "0000-01-01T00:00:00Z",
        "20260302T090000Z",
        "now",
    ],
    ids=ascii,
)
def test_a_time_that_is_not_utc_and_real_is_refused(field: str, text: str) -> None:
    assert f"wsu:{field.capitalize()}" in refusal(with_texts(VALID, **{field: text}))


@pytest.mark.rule("WS-SEC-04")
def test_created_may_be_ahead_by_the_skew_and_no_more() -> None:
    for policy in (POLICY, SecurityPolicy(clock_skew=timedelta(0))):
        edge = NOW + policy.clock_skew
        expires = instant(edge + timedelta(minutes=1))
        assert facts_of(replace(VALID, created=instant(edge), expires=expires), policy=policy).created == edge
        ahead = instant(edge + timedelta(microseconds=1))
        assert (
            refusal(replace(VALID, created=ahead, expires=expires), policy=policy) == "wsu:Created lies in the future"
        )


@pytest.mark.rule("WS-SEC-06")
def test_expires_has_no_allowance() -> None:
    created = instant(NOW - timedelta(minutes=10))
    assert facts_of(replace(VALID, created=created, expires=instant(NOW))).expires == NOW
    past = instant(NOW - timedelta(microseconds=1))
    assert refusal(replace(VALID, created=created, expires=past)) == "wsu:Expires has passed"


@pytest.mark.rule("WS-SEC-05")
def test_created_may_not_lie_after_expires() -> None:
    moment = instant(NOW + timedelta(seconds=1))
    assert facts_of(replace(VALID, created=moment, expires=moment)).signed is False
    later = instant(NOW + timedelta(seconds=2))
    assert refusal(replace(VALID, created=later, expires=moment)) == "wsu:Created lies after wsu:Expires"


@pytest.mark.rule("WS-SEC-05")
def test_a_message_may_not_stay_in_time_for_longer_than_the_policy_says() -> None:
    for policy in (POLICY, SecurityPolicy(longest_life=timedelta(minutes=10))):
        at_most = NOW + policy.longest_life
        assert (
            facts_of(replace(VALID, created=instant(NOW), expires=instant(at_most)), policy=policy).expires == at_most
        )
        longer = replace(VALID, created=instant(NOW), expires=instant(at_most + timedelta(microseconds=1)))
        assert refusal(longer, policy=policy) == "wsu:Expires lies too long after wsu:Created"
    for_ever = replace(VALID, expires="9999-12-31T23:59:59Z")
    assert refusal(for_ever) == "wsu:Expires lies too long after wsu:Created"


@pytest.mark.rule("WS-SEC-04", "WS-SEC-05", "WS-DSC-04")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("wsse:Security", {"security_markup": ""}),
        ("wsse:Security", {"extra_header_markup": "<wsse:Security/>"}),
        ("wsu:Timestamp", {"security_markup": "<wsse:Security/>"}),
        ("wsu:Timestamp", {"extra_security_markup": "<wsu:Timestamp/>"}),
        ("wsu:Created", {"created": None}),
        ("wsu:Created", {"created": "</wsu:Created><wsu:Created>"}),
        ("wsse:Security", {"extra_header_markup": '<wsse:Security soap:actor="urn:next"/>'}),
        ("wsu:Timestamp", {"security_markup": "<wsse:Security><x><wsu:Timestamp/></x></wsse:Security>"}),
        ("wsu:Timestamp", {"security_markup": '<wsse:Security><Timestamp xmlns="urn:x"/></wsse:Security>'}),
        ("wsse:UsernameToken", {"username": None, "extra_header_markup": "<wsse:UsernameToken/>"}),
        ("wsu:Expires", {"expires": None}),
        ("wsse:UsernameToken", {"username": None}),
        ("wsse:UsernameToken", {"extra_security_markup": "<wsse:UsernameToken/>"}),
        ("wsse:Username", {"username": ""}),
        ("wsse:Username", {"username": " \n"}),
    ],
)
def test_what_is_missing_or_doubled_is_named(name: str, change: dict[str, str | None]) -> None:
    assert name in refusal(with_texts(VALID, **change))


@pytest.mark.rule("WS-SEC-07")
@pytest.mark.parametrize("peer", [None, "", "other.example.nhs.uk", NAME.upper(), NAME + "."])
def test_the_username_must_be_the_common_name(peer: str | None) -> None:
    text = refusal(VALID, peer)
    assert text == "wsse:Username is not the common name of the client certificate"


@pytest.mark.rule("WS-SEC-07")
def test_the_comparison_can_be_dropped_but_not_the_name() -> None:
    policy = SecurityPolicy(UsernamePolicy.IGNORE)
    assert facts_of(replace(VALID, username="anyone"), None, policy).username == "anyone"
    assert "wsse:UsernameToken" in refusal(replace(VALID, username=None), None, policy)


@pytest.mark.rule("WS-SEC-07")
@pytest.mark.parametrize("peer", [None, NAME, "other.example.nhs.uk"])
def test_a_known_name_is_one_of_the_registered_and_no_other(peer: str | None) -> None:
    policy = SecurityPolicy(UsernamePolicy.KNOWN_NAME)
    names = {"client.example.nhs.uk", "trust-pas"}
    for name in names:
        message = read_soap(replace(VALID, username=name).body())
        assert check_security(message, NOW, peer, policy, known_names=names).username == name
    for name in ("TRUST-PAS", "trust", "other.example.nhs.uk"):
        message = read_soap(replace(VALID, username=name).body())
        with pytest.raises(ToolkitFault) as caught:
            check_security(message, NOW, peer, policy, known_names=names)
        assert caught.value.text == "wsse:Username is not a registered name of the client"
    assert refusal(VALID, NAME, policy) == "wsse:Username is not a registered name of the client"
    assert "wsse:UsernameToken" in refusal(replace(VALID, username=None), NAME, policy)


@pytest.mark.rule("WS-SEC-07")
def test_an_empty_common_name_does_not_match_an_empty_username() -> None:
    assert refusal(replace(VALID, username=""), "") == "wsse:Username is empty"


def test_a_signature_is_noted_where_it_is_ignored() -> None:
    signature = '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'
    policy = SecurityPolicy(signatures=SignaturePolicy.IGNORE)
    facts = facts_of(replace(VALID, extra_security_markup=signature), policy=policy)
    assert (facts.signed, facts.signer) == (True, None)
    with pytest.raises(ToolkitFault, match="ds:Signature"):
        facts_of(replace(VALID, extra_security_markup=signature))


@pytest.mark.rule("WS-SEC-07", "IFC-LOG-02")
def test_a_refusal_quotes_nothing() -> None:
    assert "mallory" not in refusal(replace(VALID, username="mallory"))
    assert "yesterday" not in refusal(replace(VALID, created="yesterday"))
