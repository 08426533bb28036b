"""What is said of certificate files: dates, chains, keys, revocation lists."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certificate_zoo import Zoo, make_zoo
from smsp_provider.certificates.judging import Purpose
from smsp_provider.certificates.state import authorities_state, lists_state, pair_state

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return make_zoo(tmp_path_factory.mktemp("zoo"))


def test_a_good_pair_needs_no_attention(zoo: Zoo) -> None:
    state = pair_state(zoo.server.certificate, zoo.server.key, Purpose.SERVER, NOW)
    assert (state.problems, state.warnings) == ((), ())
    assert (state.facts[0].subject, state.facts[0].issuer) == ("server", "Test authority")
    assert state.facts[0].names == ("localhost", "127.0.0.1")


@pytest.mark.parametrize(
    ("days", "kind", "said"),
    [(-2, "problems", "not valid before"), (1, "warnings", "valid until"), (31, "problems", "(expired)")],
)
def test_dates_are_watched_from_thirty_days_on(zoo: Zoo, days: int, kind: str, said: str) -> None:
    # It is valid from yesterday on, for 31 days.
    state = pair_state(zoo.server.certificate, zoo.server.key, Purpose.SERVER, NOW + timedelta(days=days))
    (text,) = getattr(state, kind)
    assert text.startswith("server: ")
    assert said in text


def test_a_pair_that_does_not_fit_is_a_problem(zoo: Zoo, tmp_path: Path) -> None:
    wrong = pair_state(zoo.server.certificate, zoo.client.key, Purpose.SERVER, NOW)
    assert wrong.problems == ("the private key belongs to another certificate",)
    missing = pair_state(zoo.server.certificate, tmp_path / "none", Purpose.SERVER, NOW)
    assert "No such file" in missing.problems[0]
    nothing = pair_state(zoo.server.key, zoo.server.key, Purpose.SERVER, NOW)
    assert (nothing.facts, nothing.problems) == ((), ("no PEM certificate in it, or a broken one",))
    turned = tmp_path / "turned.pem"
    turned.write_bytes(zoo.ca.read_bytes() + zoo.server.certificate.read_bytes())
    assert (
        "the chain is not in order, or a certificate of it is missing"
        in pair_state(turned, zoo.server.key, Purpose.SERVER, NOW).problems
    )
    for client in (zoo.client, zoo.bad["RSA 1024"]):
        assert "it was not issued for serverAuth" in str(
            pair_state(client.certificate, client.key, Purpose.SERVER, NOW).problems
        )


def test_a_key_that_others_may_read_is_warned_of(zoo: Zoo, tmp_path: Path) -> None:
    key = tmp_path / "open.key"
    key.write_bytes(zoo.server.key.read_bytes())
    for mode, said in ((0o600, False), (0o640, True), (0o604, True)):
        key.chmod(mode)
        state = pair_state(zoo.server.certificate, key, Purpose.SERVER, NOW)
        assert ("the private key is open to others than its owner" in state.warnings) is said


def test_authorities_have_dates_too(zoo: Zoo) -> None:
    assert authorities_state(zoo.ca, NOW).problems == ()
    assert "Test authority: valid until" in authorities_state(zoo.ca, NOW + timedelta(days=1)).warnings[0]
    assert "(expired)" in authorities_state(zoo.ca, NOW + timedelta(days=40)).problems[0]
    assert "no PEM certificate" in authorities_state(zoo.crl, NOW).problems[0]


@pytest.mark.parametrize(
    ("days", "warned"), [((-1, 7), False), ((-6, 0.9), True), ((-0.1, 0.5), False), ((-0.5, 0.1), True)]
)
def test_revocation_lists_are_watched_from_a_quarter_of_their_life_on(
    zoo: Zoo, tmp_path: Path, days: tuple[float, float], *, warned: bool
) -> None:
    crl = tmp_path / "crl.pem"
    crl.write_bytes(zoo.authority.revocation_list([1, 2, 3], days))
    state = lists_state(crl, zoo.ca, NOW)
    assert state.problems == ()
    assert bool(state.warnings) is warned
    assert (state.facts[0].subject, state.facts[0].issuer) == ("3 revoked", "Test authority")


def test_a_newer_list_counts_for_an_older_one(zoo: Zoo, tmp_path: Path) -> None:
    crl = tmp_path / "crl.pem"
    crl.write_bytes(zoo.authority.revocation_list([1], (-9, -1)) + zoo.authority.revocation_list([1], (-1, 7)))
    state = lists_state(crl, zoo.ca, NOW)
    assert (len(state.facts), state.problems, state.warnings) == (2, (), ())
