"""What all sections of the settings have in common: no unknown names, no value in an error, texts that can be used."""

import re
from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Seconds", "Section", "has_control_character", "http_url", "https_url", "split_bind"]


class Section(BaseModel):
    """A table of the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


_URL_CHARACTERS: Final = re.compile(r"[!-~]+")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_MAX_PORT: Final = 65_535


def http_url(value: str) -> SplitResult:
    """The parts of an http(s) URL that a client can connect to.

    The texts never repeat the value: somebody may have put a password into it.

    Raises:
        ValueError: it is something else.
    """
    # Before it is split: urlsplit removes tabs and line ends without a word, and the client would not.
    if _URL_CHARACTERS.fullmatch(value) is None:
        raise ValueError("not an http(s) URL")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("not an http(s) URL: its host or its port is none") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("not an http(s) URL")
    if "@" in parts.netloc:
        raise ValueError("a URL with a user name or a password is not supported")
    if port == 0 or (":" not in host and _HOST_NAME.fullmatch(host) is None):
        raise ValueError("not an http(s) URL: its host or its port is none")
    return parts


def https_url(value: str) -> str:
    """An https URL, or an http one of this machine, as it is; an empty text too.

    Raises:
        ValueError: it is something else.
    """
    if value and (parts := http_url(value)).scheme == "http" and not _is_this_machine(parts.hostname or ""):
        raise ValueError("plain HTTP is for loopback addresses only: use https")
    return value


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def has_control_character(text: str) -> bool:
    """Whether something in ``text`` cannot be seen, a line end say."""
    return not text.isprintable()


def split_bind(value: str) -> tuple[str, int]:
    """Host and port of an address to listen on.

    Raises:
        ValueError: there is no port in it, or none that exists.
    """
    host, _, port = value.rpartition(":")
    if _PORT.fullmatch(port) is None or int(port) > _MAX_PORT:
        raise ValueError("the address to listen on needs a port")
    if has_control_character(host):
        raise ValueError("the address to listen on holds a control character")
    return host.strip("[]"), int(port)


Seconds = Annotated[float, Field(gt=0)]
"""A time span of the settings, longer than none."""
