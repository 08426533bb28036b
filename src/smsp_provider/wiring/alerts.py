"""The operator log of a process with the sinks of the settings behind it."""

from typing import BinaryIO, Final

from smsp_provider.config.settings import AlertSettings, Settings
from smsp_provider.connectors.http import server_only_context
from smsp_provider.connectors.webhook import Webhook, WebhookFailed
from smsp_provider.engine.ports import Clock
from smsp_provider.observe.alert_sinks import AlertFile, AlertSink, SinkFailed
from smsp_provider.observe.alerts import AlertingLog
from smsp_provider.observe.logs import Level, LogLevel

__all__ = ["build_alert_sinks", "build_log"]


class _WebhookSink:
    """A webhook as a sink of alerts."""

    name: Final = "webhook"
    is_local: Final = False

    def __init__(self, webhook: Webhook) -> None:
        self._webhook: Final = webhook

    def take(self, line: bytes, seconds: float) -> None:
        """See :meth:`smsp_provider.observe.alert_sinks.AlertSink.take`."""
        try:
            self._webhook.post(line, seconds)
        except WebhookFailed as failed:
            raise SinkFailed(failed.reason, again=failed.again) from None


def build_alert_sinks(alerts: AlertSettings, clock: Clock) -> tuple[AlertSink, ...]:
    """Where alerts go besides the log; nothing is opened or connected to yet.

    Raises:
        OSError: the file of the webhook's authorities is missing or holds something else.
    """
    sinks: tuple[AlertSink, ...] = ()
    if alerts.file is not None:
        sinks += (AlertFile(alerts.file),)
    if alerts.webhook:
        context = server_only_context(alerts.webhook_ca)
        sinks += (_WebhookSink(Webhook(alerts.webhook, clock, context, alerts.webhook_token)),)
    return sinks


def build_log(settings: Settings, stream: BinaryIO, clock: Clock, level: LogLevel | None = None) -> AlertingLog:
    """The operator log on ``stream``, with sinks of its own; ``level`` where somebody switches it.

    Raises:
        OSError: see :func:`build_alert_sinks`.
    """
    return AlertingLog(
        stream,
        level or LogLevel(Level[settings.log.level.upper()]),
        clock,
        build_alert_sinks(settings.alerts, clock),
        settings.alerts.repeat_seconds,
    )
