"""A bearer token in a file of its own, for services that ask who calls."""

from pathlib import Path
from typing import Final

__all__ = ["TokenUnusable", "authorisation"]

_LONGEST: Final = 4096


class TokenUnusable(Exception):
    """The file cannot be read, or holds no token; the text says which and quotes nothing."""


def authorisation(token: Path | None) -> dict[str, str]:
    """The header for a token, read anew so that another one is in force at once; none where no file is named.

    Raises:
        TokenUnusable: there is none in the file.
    """
    if token is None:
        return {}
    try:
        with token.open("rb") as file:
            text = file.read(_LONGEST).strip().decode("ascii")
    except (OSError, UnicodeDecodeError):
        raise TokenUnusable("the file of the token cannot be read") from None
    if not text.isprintable() or " " in text:
        raise TokenUnusable("the file of the token holds something else")
    return {"Authorization": f"Bearer {text}"}
