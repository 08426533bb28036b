"""A client manager of some organisations: nothing shown, exported or changed is another organisation's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client_samples import client_of, pin_of
from command_line import run_main
from signed_in import Desk
from smsp_provider.audit.events import OperatorActKind
from smsp_provider.cli.client_session import ClientSession, prepare_registry, session_of
from smsp_provider.cli.exit_codes import ExitCode, NotAllowed, UnusableConfiguration
from smsp_provider.domain.clients import Client
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.operators import (
    EVERYTHING,
    Account,
    Operator,
    OrganisationScope,
    Role,
    organisations_of,
)
from smsp_provider.storage.client_registry import ClientChange

pytestmark = pytest.mark.rule("SMSP-IG-001")

CODES = [ODSCode(code) for code in ("A1", "B2", "C3", "D4")]
organisation_sets = st.frozensets(st.sampled_from(CODES), min_size=1)


def client_for(name: str, codes: frozenset[ODSCode], **changes: object) -> Client:
    first = min(codes, key=lambda code: code.code)
    return client_of(name, ods_code=first, organisations=dict.fromkeys(codes), **changes)


clients = st.lists(organisation_sets, max_size=6).map(
    lambda sets: [client_for(f"client-{number}", codes) for number, codes in enumerate(sets)]
)
scopes = st.one_of(st.just(EVERYTHING), organisation_sets.map(OrganisationScope))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    made = Desk(tmp_path_factory.mktemp("desk"))
    made.prepare()
    return made


@pytest.fixture
def whole(desk: Desk) -> Iterator[ClientSession]:
    """The registry as the provider itself sees it; empty."""
    prepare_registry(desk.settings)
    with session_of(desk.settings) as session:
        _fill(session, [])
        yield session


def _fill(session: ClientSession, wanted: list[Client]) -> None:
    before = session.state().clients
    session.change(lambda _: [ClientChange(name, client, None) for name, client in before.items()])
    session.change(lambda _: [ClientChange(client.name, None, client) for client in wanted])


def _make(session: ClientSession, change: ClientChange) -> None:
    session.change(lambda _: [change])


def manager(scope: OrganisationScope) -> Operator:
    return Operator("jsmith", frozenset({Role.CLIENT_MANAGER}), scope)


@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(clients, scopes, organisation_sets)
def test_only_clients_whose_organisations_all_lie_in_the_scope_are_there(
    desk: Desk, whole: ClientSession, registered: list[Client], scope: OrganisationScope, wanted: frozenset[ODSCode]
) -> None:
    _fill(whole, registered)
    before = dict(whole.state().clients)
    with session_of(desk.settings, manager(scope)) as session:
        seen = session.state().clients
        assert set(seen) == {client.name for client in registered if scope.covers(organisations_of(client))}
        for client in registered:
            moved = client_for(client.name, wanted)
            if client.name not in seen:
                for change in (
                    ClientChange(client.name, client, None),
                    ClientChange(client.name, client, replace(client, contact="mine")),
                    ClientChange(client.name, None, moved),
                ):
                    with pytest.raises(UnusableConfiguration, match="the name is taken"):
                        _make(session, change)
            elif not scope.covers(wanted):
                with pytest.raises(NotAllowed, match="not yours to change"):
                    _make(session, ClientChange(client.name, client, moved))
    assert whole.state().clients == before


@pytest.mark.parametrize("field", ["pins", "usernames"])
def test_of_another_organisations_client_one_learns_nothing_by_a_conflict(
    desk: Desk, whole: ClientSession, field: str
) -> None:
    shared = {"pins": (pin_of("same"),)} if field == "pins" else {"usernames": frozenset({"same"})}
    _fill(whole, [client_for("hidden-one", frozenset({CODES[1]}), **shared)])
    with session_of(desk.settings, manager(OrganisationScope(frozenset({CODES[0]})))) as session:
        mine = client_for("mine", frozenset({CODES[0]}), **shared)
        with pytest.raises(UnusableConfiguration) as caught:
            session.change(lambda _: [ClientChange("mine", None, mine)])
    assert (
        caught.value.message == f"client mine: {field}: another client is registered with the same; nothing was changed"
    )


@pytest.mark.rule("SMSP-AUDIT-008")
def test_a_change_that_reaches_for_other_organisations_is_on_record_as_refused(
    desk: Desk, whole: ClientSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill(whole, [client_for("mine", frozenset({CODES[0]}))])
    scope = OrganisationScope(frozenset({CODES[0]}))
    desk.sit_down(Account("jsmith", "Jane Smith", frozenset({Role.CLIENT_MANAGER}), scope))
    before = len(desk.acts())
    words = ("client", "set", "mine", "--organisation", CODES[1].code, "--config", desk.config)
    assert run_main(monkeypatch, capsys, *words).code == ExitCode.NOT_ALLOWED
    assert [(act.kind, act.operator, act.detail) for act in desk.acts()[before:]] == [
        (OperatorActKind.COMMAND, "jsmith", "client set"),
        (
            OperatorActKind.COMMAND_REFUSED,
            "jsmith",
            "client mine: has organisations that are not yours to change",
        ),
    ]


def test_the_commands_show_and_export_no_other(
    desk: Desk,
    whole: ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    _fill(whole, [client_for("mine", frozenset({CODES[0]})), client_for("hidden-one", frozenset(CODES[:2]))])
    scope = OrganisationScope(frozenset({CODES[0]}))
    desk.sit_down(Account("jsmith", "Jane Smith", frozenset({Role.CLIENT_MANAGER}), scope))
    output = tmp_path / "clients.toml"
    for words in (("list",), ("list", "--json"), ("show", "mine"), ("export",), ("export", "--output", output)):
        ended = run_main(monkeypatch, capsys, "client", *words, "--config", desk.config)
        assert ended.code == 0, ended.err
        assert "hidden-one" not in ended.out + ended.err
    assert "mine" in output.read_text()
    assert "hidden-one" not in output.read_text()
    for command in (("show", "hidden-one"), ("export", "hidden-one"), ("remove", "hidden-one", "--yes")):
        ended = run_main(monkeypatch, capsys, "client", *command, "--config", desk.config)
        assert (ended.code, ended.out) == (2, "")
        assert "there is no client hidden-one" in ended.err
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    ended = run_main(monkeypatch, capsys, "client", "import", empty, "--prune", "--yes", "--config", desk.config)
    assert ended.code == 0, ended.err
    assert set(whole.state().clients) == {"hidden-one"}
