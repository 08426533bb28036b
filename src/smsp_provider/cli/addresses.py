"""Addresses to listen on: read from the command line, checked for being free, written into URLs."""

import contextlib
import socket
from dataclasses import dataclass
from typing import Final

import click

__all__ = ["HostPort", "free_port_near", "host_port"]

_MOST: Final = 65_535


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host name or IP address, and a port (0: any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def is_free(self) -> bool:
        """Whether a server could listen here now."""
        try:
            self.listen_for_a_moment()
        except OSError:
            return False
        return True

    def listen_for_a_moment(self) -> int:
        """Listen, and stop at once; returns the port.

        Raises:
            OSError: it is taken, or not an address of this machine.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
            # As servers do: a port whose last connections are still ebbing away is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((self.host, self.port))
            probe.listen()
            return int(probe.getsockname()[1])


def free_port_near(wanted: HostPort) -> HostPort:
    """``wanted`` itself where it is free, else the same host with a port that the system has free.

    Raises:
        OSError: the host is no address of this machine.
    """
    if wanted.port and wanted.is_free():
        return wanted
    return HostPort(wanted.host, HostPort(wanted.host, 0).listen_for_a_moment())


def _can_be_looked_up(host: str) -> bool:
    """Whether the system's resolver takes the text at all: for others Python raises no OSError but errors of text."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return host.isprintable()


class _HostPortType(click.ParamType[HostPort]):
    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> HostPort:
        """``host:port``, an IPv6 address in brackets."""
        if isinstance(value, HostPort):
            return value
        host, _, port = str(value).rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > _MOST:
            self.fail(f"{value!r} is not HOST:PORT, e.g. 127.0.0.1:8080", param, ctx)
        if not _can_be_looked_up(host):
            self.fail(f"{value!r} has no host name or address before its port", param, ctx)
        return HostPort(host.strip("[]"), int(port))


host_port: Final = _HostPortType()
"""The type of an option that takes ``HOST:PORT``."""
