"""Which passwords an operator may choose.

Length does most of the work; the rest refuses what is guessed first: words that everybody takes, runs on the keyboard,
few characters over and over, and what belongs to the person.

Source: SMSP-IG-002 (length, reuse, trivial passwords, expiry). Reuse is decided where the old hashes are.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

__all__ = ["LONGEST_PASSWORD", "PasswordPolicy", "normalised", "weaknesses"]

LONGEST_PASSWORD: Final = 256
"""Characters: longer ones would only make work."""

_FEWEST_CHARACTERS: Final = 6
"""Different characters in a password."""
_RUN: Final = 4
"""Neighbours on the keyboard or in the alphabet that count as one character's worth."""
_OWN: Final = 4
"""Characters of a name that must not stand in a password."""

_RUNS: Final = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "1qaz2wsx3edc4rfv")
_LIKENESSES: Final = str.maketrans("0134578@$!", "oleastbasi")
"""What is put in the place of a letter in the hope that nobody thinks of it."""

_COMMON_WORDS: Final = """
abc access account admin administrator autumn baseball battery changeme charlie company computer correct default
doctor dragon enter football freedom friday guest health healthcare hello horse hospital hunter iloveyou letmein
liverpool login london manage manchester master monday monkey mustang nhs ninja nurse operator passphrase passwd
password passwort patient pokemon princess provider qwerty qwertz root saturday secret secure security server
service shadow soccer spine spring staple starwars summer sunday sunshine superman superuser system temporary test
thursday trustno tuesday user wednesday welcome whatever winter
"""
_DOUBLED: Final = re.compile(r"(.)\1+")
_COMMON: Final = sorted((_DOUBLED.sub(r"\1", word) for word in _COMMON_WORDS.split()), key=len, reverse=True)
_YEAR: Final = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """``length`` in characters at least, ``remembered`` earlier passwords that cannot come back, ``days`` it lasts."""

    length: int
    remembered: int
    days: int

    def is_over(self, changed_at: datetime, at: datetime) -> bool:
        """Whether a password of this age has to be changed before anything else."""
        return at >= changed_at + timedelta(days=self.days)


def normalised(password: str) -> str:
    """The form that is hashed: the same characters however a keyboard composes them (NFC)."""
    return unicodedata.normalize("NFC", password)


def weaknesses(password: str, policy: PasswordPolicy, own: Iterable[str]) -> tuple[str, ...]:
    """Why this cannot be somebody's password, in words that repeat nothing of it; empty where it can.

    ``own`` are the names of the account and of the person, and whatever else is known of them.
    """
    return tuple(_weaknesses(normalised(password), policy, own))


def _weaknesses(password: str, policy: PasswordPolicy, own: Iterable[str]) -> Iterator[str]:
    if len(password) < policy.length:
        yield f"it needs {policy.length} characters or more"
    if len(password) > LONGEST_PASSWORD:
        yield f"it must not be longer than {LONGEST_PASSWORD} characters"
        return
    if not password.isprintable():
        yield "it holds a character that cannot be typed everywhere"
    folded = password.casefold()
    if len(set(folded)) < _FEWEST_CHARACTERS:
        yield f"it needs {_FEWEST_CHARACTERS} different characters or more"
    if any(part in form for part in _parts(own) for form in (folded, folded.translate(_LIKENESSES))):
        yield "it contains a name of yours"
    if len(_unguessed(folded)) < policy.length // 2:
        yield "it consists of common words, runs on the keyboard, years or repetitions"


def _parts(own: Iterable[str]) -> Iterator[str]:
    for name in own:
        for part in re.split(r"[^\w]+|_", name.casefold()):
            if len(part) >= _OWN:
                yield part


def _unguessed(folded: str) -> str:
    """What is left when all that is guessed first is taken out."""
    rest = _without_runs(_DOUBLED.sub(r"\1", _YEAR.sub("", folded)))
    spelt = rest.translate(_LIKENESSES)
    for word in _COMMON:
        spelt = spelt.replace(word, "")
    return re.sub(r"(.+?)\1+", r"\1", re.sub(r"[\W_]", "", spelt))


def _without_runs(text: str) -> str:
    for line in _RUNS:
        for run in (line, line[::-1]):
            for length in range(len(run), _RUN - 1, -1):
                for start in range(len(run) - length + 1):
                    text = text.replace(run[start : start + length], "")
    return text
