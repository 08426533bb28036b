"""Which certificate files the settings name, what each is used for, and what needs attention about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from smsp_provider.certificates.judging import Purpose
from smsp_provider.certificates.state import State, authorities_state, lists_state, pair_state
from smsp_provider.config.settings import HTTPSListener, Settings

__all__ = ["Pair", "Use", "attention", "pairs", "uses"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and key of this endpoint, by the section of the settings that names them."""

    section: str
    certificate: Path
    key: Path
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Use:
    """A file by its setting, what it is used for, and what is in it."""

    setting: str
    file: Path
    use: str
    state: State


def pairs(settings: Settings) -> dict[str, Pair]:
    """The pairs of the settings, by the word for their side on the command line."""
    server, spine = settings.server, settings.spine
    found = {}
    for side, listener in (("https", server.https), ("proxy", server.proxy)):
        if listener is not None:
            found[side] = Pair(f"server.{side}", listener.certificate, listener.key, Purpose.SERVER)
    if spine.certificate is not None and spine.key is not None:
        found["spine"] = Pair("spine", spine.certificate, spine.key, Purpose.CLIENT)
    return found


def uses(settings: Settings, now: datetime) -> list[Use]:
    """Every certificate file of the settings, as it is at ``now``."""
    shown_to = {
        "https": "shown to callers, by the provider",
        "proxy": "shown to callers, by nginx",
        "spine": "shown to Spine",
    }
    found = [
        Use(
            f"{pair.section}.certificate",
            pair.certificate,
            shown_to[side],
            pair_state(pair.certificate, pair.key, pair.purpose, now),
        )
        for side, pair in pairs(settings).items()
    ]
    for side, listener in (("https", settings.server.https), ("proxy", settings.server.proxy)):
        if listener is not None:
            found += _trust(f"server.{side}", listener, now)
    if settings.spine.ca is not None:
        found.append(
            Use("spine.ca", settings.spine.ca, "who signs for Spine", authorities_state(settings.spine.ca, now))
        )
    return found


def _trust(section: str, listener: HTTPSListener, now: datetime) -> Iterator[Use]:
    authorities = listener.client_ca
    yield Use(f"{section}.client_ca", authorities, "who signs for callers", authorities_state(authorities, now))
    if listener.crl is not None:
        state = lists_state(listener.crl, authorities, now)
        yield Use(f"{section}.crl", listener.crl, "whose certificates are revoked", state)


def attention(settings: Settings, now: datetime) -> Iterator[str]:
    """A line for everything that has gone wrong with a certificate file or soon will."""
    for use in uses(settings, now):
        for text in (*use.state.problems, *use.state.warnings):
            yield f"{use.setting}: {text}"
