"""Where the workers of a host share an access token: a small file that only its owner may read.

It is written beside its place and moved there, so that nobody reads half a token. Nothing here raises: a token that
cannot be shared is asked for once more.
"""

import json
import os
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from smsp_provider.engine.token_share import AccessToken

__all__ = ["TokenFile"]

_MODE: Final = 0o600


class TokenFile:
    """Keeps one token in ``path``, in a directory of the provider's own.

    ``holder`` says whose it is and where from: a token of another application or endpoint, left there before settings
    were changed, is none of ours and is sent to nobody.
    """

    def __init__(self, path: Path, holder: str) -> None:
        self._path: Final = path
        self._holder: Final = holder

    def load(self) -> AccessToken | None:
        """The token in the file; None where there is none of the holder's, or a file that others may read."""
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    return None
                kept = json.load(file)
            if kept["holder"] != self._holder:
                return None
            ends = datetime.fromisoformat(kept["ends"])
            return AccessToken(str(kept["token"]), ends) if ends.tzinfo is not None else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def save(self, token: AccessToken | None) -> None:
        """Put the token into the file, or remove it."""
        with suppress(OSError):
            if token is None:
                self._path.unlink(missing_ok=True)
                return
            beside = self._path.with_name(f"{self._path.name}.{os.getpid()}.{threading.get_ident()}")
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "w") as file:
                json.dump({"holder": self._holder, "token": token.token, "ends": token.ends.isoformat()}, file)
            beside.replace(self._path)
