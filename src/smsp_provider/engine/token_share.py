"""An access token that the workers of a host have in common: the port between who asks for it and who keeps it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

__all__ = ["AccessToken", "TokenShare"]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and when it ends, by this machine's clock, aware."""

    token: str = field(repr=False)
    ends: datetime


class TokenShare(Protocol):
    """Where workers leave the token they share. Neither method raises: a token can be had again."""

    def load(self) -> AccessToken | None:
        """The token last saved, or None."""
        ...

    def save(self, token: AccessToken | None) -> None:
        """Leave a token for the others, or take it away."""
        ...
