"""Who and where this process is, as the operating system tells it."""

import os
import pwd
import socket
from pathlib import Path
from typing import Final

from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.storage.operator_sessions import AccessPoint

__all__ = ["access_point", "home_directory", "login_uid", "name_of", "os_user", "refuse_another_user"]

_LOGIN_UID: Final = Path("/proc/self/loginuid")
_UNSET: Final = 4_294_967_295
_STREAMS: Final = (0, 1, 2)


def os_user() -> str:
    """Who acts: the user of this process and, where that one took somebody's place with sudo, who that was."""
    user = name_of(os.geteuid())
    before = os.environ.get("SUDO_USER", "")
    return f"{user} (sudo by {before})" if before else user


def name_of(uid: int) -> str:
    """The name of a user, or the number of one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def home_directory() -> Path:
    """The home directory of the user of this process, whatever the environment says: sudo may have left it.

    Raises:
        CannotStart: there is no such user.
    """
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        raise CannotStart(f"the user {os.geteuid()} has no home directory: set operators.session_directory") from None


def login_uid() -> int:
    """Who logged in to the machine, whatever user they are now.

    The kernel keeps that from the login on, where the system sets it; sudo's word for it is the next best.
    """
    try:
        kept = int(_LOGIN_UID.read_text(encoding="ascii"))
    except (OSError, ValueError):
        kept = _UNSET
    if kept != _UNSET:
        return kept
    before = os.environ.get("SUDO_UID", "")
    return int(before) if before.isascii() and before.isdigit() else os.getuid()


def access_point() -> AccessPoint:
    """From where a command is run. A session is bound to the user, to who logged in as that user, and to the host."""
    host = socket.gethostname()
    shown = f"{os_user()} on {host}, {_terminal()}"
    return AccessPoint(shown, f"{os.geteuid()}:{login_uid()}@{host}")


def _terminal() -> str:
    for stream in _STREAMS:
        if os.isatty(stream):
            return os.ttyname(stream)
    return "no terminal"


def refuse_another_user(file: Path | None) -> None:
    """Files made by another user beside these would lock the provider out of its own registry and trail.

    Raises:
        CannotStart: the file, or the directory where it will be, is another user's.
    """
    for place in () if file is None else (file, file.absolute().parent):
        if place.exists():
            owner = place.stat().st_uid
            if owner != os.geteuid():
                name = name_of(owner)
                raise CannotStart(f"{place}: belongs to {name}: run this as that user (sudo -u {name})")
            return
