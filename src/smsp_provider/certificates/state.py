"""What is in certificate files, and what of it needs somebody's attention.

A problem keeps the files from doing their work, or soon will have; a warning is for before that. Nothing here raises:
a file that cannot be read is a problem like any other.
"""

import stat
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from smsp_provider.certificates.judging import Purpose, objections, weaknesses
from smsp_provider.certificates.reading import has_key, names_of, read_certificates, read_key, reason_of, title_of
from smsp_provider.certificates.revocation import check_lists, earliest_end, is_near_its_end, read_lists

__all__ = ["Facts", "State", "authorities_state", "lists_state", "pair_state"]

_SOON: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Facts:
    """A certificate or revocation list: whose it is, who issued it, and from when to when it is valid (UTC)."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: datetime
    ends: datetime | None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What files hold, with problems and warnings in words; no private key or part of one."""

    facts: tuple[Facts, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def pair_state(certificate: Path, key: Path, purpose: Purpose, now: datetime) -> State:
    """This endpoint's certificate with its chain, and its key."""
    try:
        chain = read_certificates(certificate)
    except (OSError, ValueError) as error:
        return State(problems=(reason_of(error),))
    problems, warnings = _dates(chain, now)
    problems += [f"the certificate of this endpoint: {text}" for text in objections(chain[0], purpose)]
    if any(one.issuer != issuer.subject for one, issuer in pairwise(chain)):
        problems.append("the chain is not in order, or a certificate of it is missing")
    try:
        if not has_key(chain[0], read_key(key)):
            problems.append("the private key belongs to another certificate")
        if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            warnings.append("the private key is open to others than its owner")
    except PermissionError:
        warnings.append("the private key cannot be read by this user, so it was not looked at")
    except (OSError, ValueError) as error:
        problems.append(reason_of(error))
    return State(tuple(map(_facts, chain)), tuple(problems), tuple(warnings))


def authorities_state(file: Path, now: datetime) -> State:
    """The authorities that the other side's certificates must chain to."""
    try:
        authorities = read_certificates(file)
    except (OSError, ValueError) as error:
        return State(problems=(reason_of(error),))
    problems, warnings = _dates(authorities, now)
    warnings += [
        f"{title_of(one.subject)}: {text}"
        for one in authorities
        for text in weaknesses(one)
        # Nobody checks the signature that an authority at the root has made for itself.
        if one.issuer != one.subject or "signature" not in text
    ]
    return State(tuple(map(_facts, authorities)), tuple(problems), tuple(warnings))


def lists_state(file: Path, authorities: Path, now: datetime) -> State:
    """The revocation lists of these authorities."""
    try:
        lists = read_lists(file)
        facts = tuple(
            Facts(f"{len(one)} revoked", title_of(one.issuer), (), one.last_update_utc, one.next_update_utc)
            for one in lists
        )
    except (OSError, ValueError) as error:
        return State(problems=(reason_of(error),))
    try:
        check_lists(lists, read_certificates(authorities), now)
    except (OSError, ValueError) as error:
        return State(facts, (reason_of(error),))
    first = earliest_end(lists)
    if first is not None and first.next_update_utc is not None and is_near_its_end(first, now):
        text = f"the list of {title_of(first.issuer)} is valid until {_time(first.next_update_utc)}"
        return State(facts, (), (f"{text}: after that nobody is let in",))
    return State(facts)


def _dates(certificates: list[x509.Certificate], now: datetime) -> tuple[list[str], list[str]]:
    """Problems and warnings of their dates."""
    problems, warnings = [], []
    for one in certificates:
        name, end = title_of(one.subject), one.not_valid_after_utc
        if end <= now:
            problems.append(f"{name}: valid until {_time(end)} (expired)")
        elif end < now + _SOON:
            warnings.append(f"{name}: valid until {_time(end)}")
        if one.not_valid_before_utc > now:
            problems.append(f"{name}: not valid before {_time(one.not_valid_before_utc)}")
    return problems, warnings


def _facts(one: x509.Certificate) -> Facts:
    return Facts(
        title_of(one.subject),
        title_of(one.issuer),
        names_of(one),
        one.not_valid_before_utc,
        one.not_valid_after_utc,
        one.fingerprint(SHA256()).hex(),
    )


def _time(moment: datetime) -> str:
    return f"{moment:%d.%m.%Y %H:%M} UTC"
