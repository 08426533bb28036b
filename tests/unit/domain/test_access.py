import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_samples import AT, NO_ASIDS, any_clients, book_of, certificate_of, client_of, pin_of
from smsp_provider.domain.access import ClientBook, RegisteredClient
from smsp_provider.domain.audit_identity import AccessMethod, Caller, SpineAuthor
from smsp_provider.domain.clients import Authority, Client, NamePin, PinState
from smsp_provider.domain.faults import ErrorCode, FaultCode, ToolkitFault
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.organisations import ASIDDirectory
from smsp_provider.domain.service import Service

DAY = timedelta(days=1)
OWN, OTHER, SHARED = (ASID(f"20000000000{n}") for n in range(3))
A, B, FOREIGN = (ODSCode(code) for code in ("A1001", "B2002", "C3003"))
AUTHOR = SpineAuthor("100000000001", "200000000002", "R8000")


def refusal(ask: Callable[[], object]) -> ToolkitFault:
    with pytest.raises(ToolkitFault) as refused:
        ask()
    assert refused.value.error_code is ErrorCode.ACCESS_DENIED
    assert refused.value.faultcode is FaultCode.CLIENT
    assert refused.value.diagnostic == ""
    return refused.value


def caller(
    organisation: ODSCode | None = A, named: ASID | None = None, method: AccessMethod = AccessMethod.UNATTENDED
) -> Caller:
    return Caller(method, organisation, named, AUTHOR if method is AccessMethod.SMARTCARD else None)


def registered(shared: ASIDDirectory = NO_ASIDS, **changes: object) -> RegisteredClient:
    client = replace(client_of(), **changes)  # type: ignore[arg-type]  # each test names a field and its value
    return ClientBook([client], shared).clients[client.name]


OVERDUE = replace(client_of().authority, review_on=(AT - DAY).date())
NOBODY: dict[str, Callable[[], ToolkitFault]] = {
    "no certificate": lambda: refusal(lambda: book_of(client_of()).by_certificate(None, AT)),
    "a certificate of nobody": lambda: refusal(
        lambda: book_of(client_of()).by_certificate(certificate_of("stranger"), AT)
    ),
    "nobody registered": lambda: refusal(lambda: book_of().by_certificate(certificate_of("ward-system"), AT)),
    "a pin that has ended": lambda: refusal(
        lambda: book_of(client_of(pins=(pin_of("ward-system", until=AT),))).by_certificate(
            certificate_of("ward-system"), AT
        )
    ),
    "a name of another authority": lambda: refusal(
        lambda: book_of(client_of(pins=(NamePin("CN=ward-system", "CN=Other", AT + DAY),))).by_certificate(
            certificate_of("ward-system"), AT
        )
    ),
    "a certificate of two clients": lambda: refusal(
        lambda: book_of(client_of(), client_of("lab-system", pins=(pin_of("ward-system"),))).by_certificate(
            certificate_of("ward-system"), AT
        )
    ),
    "one client's certificate, another's name": lambda: refusal(
        lambda: book_of(
            client_of(), client_of("lab-system", pins=(NamePin("CN=ward-system", "CN=Test authority", AT + DAY),))
        ).by_certificate(certificate_of("ward-system"), AT)
    ),
    "a disabled client": lambda: refusal(
        lambda: book_of(client_of(enabled=False, disabled_reason="stolen key")).by_certificate(
            certificate_of("ward-system"), AT
        )
    ),
    "an authority that was to be reviewed": lambda: refusal(
        lambda: book_of(client_of(authority=OVERDUE)).by_certificate(certificate_of("ward-system"), AT)
    ),
    "no username": lambda: refusal(lambda: book_of(client_of()).by_username(None, AT)),
    "an empty username": lambda: refusal(lambda: book_of(client_of()).by_username("", AT)),
    "a username of nobody": lambda: refusal(lambda: book_of(client_of()).by_username("stranger", AT)),
    "a username in other letters": lambda: refusal(lambda: book_of(client_of()).by_username("WARD-SYSTEM", AT)),
    "a username of two clients": lambda: refusal(
        lambda: book_of(client_of(), client_of("lab-system", usernames=frozenset({"ward-system"}))).by_username(
            "ward-system", AT
        )
    ),
    "the username of a disabled client": lambda: refusal(
        lambda: book_of(client_of(enabled=False, disabled_reason="stolen key")).by_username("ward-system", AT)
    ),
}


@pytest.mark.rule("WS-SEC-08", "SMSP-SEC-001")
@pytest.mark.parametrize("case", NOBODY)
def test_whoever_is_not_let_in_is_told_one_and_the_same_text(case: str) -> None:
    fault = NOBODY[case]()
    assert fault.text == "The calling system is not authorised to use this service"


@pytest.mark.rule("WS-SEC-08")
def test_operators_are_told_what_it_was() -> None:
    reasons = {case: make().reason for case, make in NOBODY.items()}
    assert reasons["a disabled client"] == "client ward-system is disabled"
    assert reasons["a certificate of two clients"] == "more than one client has it"
    assert "stolen key" not in " ".join(reasons.values())


@pytest.mark.rule("WS-SEC-08")
@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (
            lambda: registered(services=frozenset({Service.VERIFY_NHS_NUMBER})).check_service(Service.GET_NHS_NUMBER),
            "service",
        ),
        (lambda: registered(profiles=frozenset({"urn:one"})).check_profile("urn:two"), "profileid"),
        (lambda: registered().asid_for(caller(FOREIGN)), "auditIdentity"),
        (lambda: registered().asid_for(caller(method=AccessMethod.SMARTCARD)), "access method"),
        (
            lambda: registered(access_methods=frozenset({AccessMethod.ATTENDED})).asid_for(caller()),
            "access method",
        ),
        (lambda: registered().asid_for(caller(named=ASID("200000000115"))), "access method"),
        (
            lambda: registered(
                access_methods=frozenset({AccessMethod.UNATTENDED, AccessMethod.NAMED_ASID}),
                organisations={A: OWN, B: OTHER},
            ).asid_for(caller(named=OTHER)),
            "ASID",
        ),
        (lambda: registered(organisations={A: OWN}).asid_for(caller(None, named=OTHER)), "ASID"),
        (lambda: registered(organisations={A: None}).asid_for(caller()), "auditIdentity"),
        (lambda: registered(ASIDDirectory({FOREIGN: SHARED})).asid_for(caller(FOREIGN)), "auditIdentity"),
        (lambda: registered(ASIDDirectory({}, SHARED)).asid_for(caller(FOREIGN)), "auditIdentity"),
        (lambda: registered(ASIDDirectory({B: SHARED})).asid_for(caller(None, named=SHARED)), "ASID"),
    ],
    ids=[
        "service",
        "profile",
        "organisation",
        "smartcard",
        "unattended",
        "naming an asid at all",
        "the asid of its other organisation",
        "an asid without organisation that is not its own",
        "organisation whose asid nobody knows",
        "organisation of the settings only",
        "organisation of nobody beside a default",
        "asid of the settings only",
    ],
)
def test_each_thing_that_is_not_registered_is_refused_by_its_name(ask: Callable[[], object], field: str) -> None:
    fault = refusal(ask)
    assert field in fault.text
    assert not re.search("[0-9]{4}|ward|urn:", fault.text + fault.reason)


@pytest.mark.rule("SMSP-IG-003")
def test_each_organisation_asks_with_its_own_asid() -> None:
    aggregator = registered(
        ASIDDirectory({B: SHARED, FOREIGN: OTHER}),
        organisations={A: OWN, B: None},
        access_methods=frozenset({AccessMethod.UNATTENDED, AccessMethod.NAMED_ASID}),
    )
    assert aggregator.asid_for(caller(A)) == OWN
    assert aggregator.asid_for(caller(B)) == SHARED
    assert aggregator.asid_for(caller(B, named=SHARED)) == SHARED
    assert aggregator.asid_for(caller(None, named=OWN)) == OWN


@pytest.mark.rule("SMSP-IG-003")
def test_the_default_asid_serves_the_clients_own_organisations_only() -> None:
    client = registered(ASIDDirectory({}, SHARED), organisations={A: None, B: OTHER})
    assert client.asid_for(caller(A)) == SHARED
    assert client.asid_for(caller(B)) == OTHER


@pytest.mark.rule("SMSP-IG-003")
def test_the_organisation_of_an_asid_is_one_of_the_clients_own() -> None:
    shared = ASIDDirectory({B: SHARED, FOREIGN: OTHER})
    client = registered(shared, organisations={A: OWN, B: None})
    assert client.organisation_of(caller(None, named=OWN)) == A
    assert client.organisation_of(caller(None, named=SHARED)) == B
    assert client.organisation_of(caller(None, named=OTHER)) is None
    both = registered(shared, organisations={A: SHARED, B: None})
    assert both.organisation_of(caller(None, named=SHARED)) is None
    assert both.organisation_of(caller(B, named=SHARED)) == B


@pytest.mark.rule("WS-SEC-08")
def test_authority_counts_to_the_end_of_the_day_of_its_review_and_in_live_only() -> None:
    authority = Authority("reference", "basis", "use", AT.date())
    certificate = certificate_of("ward-system")
    book = book_of(client_of(authority=authority))
    assert book.by_certificate(certificate, AT).client.name == "ward-system"
    refusal(lambda: book.by_certificate(certificate, AT + DAY))
    relaxed = book_of(client_of(authority=authority), enforce_review=False)
    assert relaxed.by_certificate(certificate, AT + DAY).client.name == "ward-system"


def test_two_clients_of_one_name_make_no_book() -> None:
    with pytest.raises(ValueError, match="same name"):
        book_of(client_of(), client_of())


_clients = st.lists(any_clients(), min_size=1, max_size=4, unique_by=lambda client: client.name)
_callers = st.builds(
    caller,
    st.none() | st.sampled_from((A, B, FOREIGN)),
    st.none() | st.sampled_from((OWN, OTHER, SHARED)),
    st.sampled_from((AccessMethod.UNATTENDED, AccessMethod.ATTENDED, AccessMethod.SMARTCARD)),
).filter(lambda one: one.ods_code is not None or one.named_asid is not None)


@pytest.mark.rule("WS-SEC-08", "WS-SEC-09")
@given(_clients, st.data())
def test_a_certificate_lets_in_the_one_enabled_client_that_has_it_and_nobody_else(
    clients: list[Client], data: st.DataObject
) -> None:
    book = book_of(*clients)
    pins = [pin for client in clients for pin in client.pins]
    certificate = certificate_of("stranger")
    if pins:
        pin = data.draw(st.sampled_from(pins))
        certificate = (
            replace(certificate, subject=pin.subject, issuer=pin.issuer)
            if isinstance(pin, NamePin)
            else replace(certificate, fingerprint=pin.fingerprint)
        )
    holders = [client for client in clients if client.recognises(certificate, AT)]
    lets_in = (
        [client.name for client in holders]
        if len(holders) == 1 and holders[0].enabled and holders[0].authority.review_on >= AT.date()
        else []
    )
    try:
        found = [book.by_certificate(certificate, AT).client.name]
    except ToolkitFault:
        found = []
    assert found == lets_in


@pytest.mark.rule("WS-SEC-08", "SMSP-IG-003")
@given(
    st.dictionaries(st.sampled_from((A, B)), st.none() | st.sampled_from((OWN, OTHER)), min_size=1),
    st.dictionaries(st.sampled_from((A, B, FOREIGN)), st.sampled_from((SHARED, OTHER))),
    st.sets(st.sampled_from(AccessMethod)).filter(lambda methods: bool(methods - {AccessMethod.NAMED_ASID})),
    _callers,
)
def test_what_is_asked_with_belongs_to_an_organisation_of_the_client_or_nothing_is_asked(
    organisations: dict[ODSCode, ASID | None], shared: dict[ODSCode, ASID], methods: set[AccessMethod], asking: Caller
) -> None:
    client = registered(ASIDDirectory(shared), organisations=organisations, access_methods=frozenset(methods))
    own = {code: asid or shared.get(code) for code, asid in organisations.items()}
    is_registered = asking.methods <= methods and (
        own.get(asking.ods_code) is not None and asking.named_asid in (None, own[asking.ods_code])
        if asking.ods_code is not None
        else asking.named_asid in own.values()
    )
    if not is_registered:
        refusal(lambda: client.asid_for(asking))
        return
    asid = client.asid_for(asking)
    assert asid == (asking.named_asid if asking.ods_code is None else own[asking.ods_code])


@pytest.mark.rule("WS-SEC-08")
@given(any_clients(), st.sampled_from(Service), st.sampled_from(("urn:one", "urn:two")))
def test_services_and_profiles_are_those_registered(client: Client, service: Service, profile: str) -> None:
    client = replace(client, profiles=client.profiles and frozenset({"urn:one"}))
    found = book_of(client).clients[client.name]
    checks: list[tuple[bool, Callable[[], None]]] = [
        (service in client.services, lambda: found.check_service(service)),
        (not client.profiles or profile in client.profiles, lambda: found.check_profile(profile)),
    ]
    for allowed, check in checks:
        if allowed:
            check()
        else:
            refusal(check)


def test_a_retired_pin_lets_in_until_its_end_as_the_next_one_does() -> None:
    book = book_of(client_of(pins=(pin_of("old", PinState.RETIRED, AT + DAY), pin_of("new", PinState.NEXT))))
    for word in ("old", "new"):
        assert book.by_certificate(certificate_of(word), AT).client.name == "ward-system"
    refusal(lambda: book.by_certificate(certificate_of("old"), AT + DAY))
