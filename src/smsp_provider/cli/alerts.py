"""``smsp alerts``: whether alerts arrive where the settings send them."""

import socket
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.operator_events import Alert, AlertKind
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import ExitCode, UnusableConfiguration
from smsp_provider.cli.operator_session import requires
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.alert_sinks import SinkFailed
from smsp_provider.observe.logs import alert_line
from smsp_provider.wiring.alerts import build_alert_sinks

__all__ = ["alerts"]

_SECONDS: Final = 10.0


@click.group()
def alerts() -> None:
    """Alerts besides the operator log."""


@alerts.command()
@config_option
@requires(Permission.TRAFFIC_READ)
def test(config_file: Path, operator: Operator) -> int:
    """Send one alert to every sink of the settings, and say what happened.

    Exit code 1 when a sink did not take it.
    """
    clock = SystemClock()
    settings = read_settings(config_file)
    try:
        sinks = build_alert_sinks(settings.alerts, clock)
    except OSError as error:
        raise UnusableConfiguration(f"alerts.webhook_ca: {error.strerror or 'holds something else'}") from None
    if not sinks:
        click.echo("alerts go to the operator log only: neither alerts.file nor alerts.webhook is set")
    alert = Alert(AlertKind.TEST, None, f"a test, sent by {operator.name}")
    has_failed = False
    for sink in sinks:
        try:
            sink.take(alert_line(alert, clock.now(), socket.gethostname().partition(".")[0]), _SECONDS)
            click.echo(f"{sink.name}: taken")
        except SinkFailed as failed:
            has_failed = True
            later = "the provider would try again" if failed.again else "the provider would count it as lost"
            click.echo(f"{sink.name}: not taken: {failed.reason} ({later})")
    return ExitCode.UNEXPECTED if has_failed else ExitCode.OK
