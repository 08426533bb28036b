"""From settings to what the WS-Security header of a request has to prove."""

from datetime import timedelta

from smsp_provider.config.settings import Environment, Settings
from smsp_provider.soap.security import SecurityPolicy

__all__ = ["security_policy"]


def security_policy(settings: Settings) -> SecurityPolicy:
    """The policy of these settings; what live refuses of them, it refuses of a registered client, too."""
    return SecurityPolicy(
        settings.security.username,
        timedelta(seconds=settings.service.clock_skew_seconds),
        settings.security.signatures,
        settings.security.allow_sha1,
        timedelta(seconds=settings.service.max_message_seconds),
        clients_may_ignore=settings.environment is not Environment.LIVE,
    )
