"""What holds for every test: none fails because the machine is busy, and none waits for the runner."""

import socket

import pytest
from hypothesis import HealthCheck, settings

__all__ = ["pytest_configure"]

# (Beyond what the profile in use says: in CI that is one whose examples are always the same.)
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let the plugin that runs a failed test once more send at once what it tells and asks the runner for each test.

    Its question follows a message without an answer on the same connection: TCP keeps it back until the message is
    confirmed, which takes 40 ms, longer than most tests. Without several processes there is no such connection.
    """
    connection = getattr(getattr(config, "failures_db", None), "sock", None)
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
