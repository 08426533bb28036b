"""The section ``[alerts]`` of the settings: where alerts go besides the operator log, and from what on there are some.

Source: IFC-ALT-01 (throughput, sizes, errors, backlog), IFC-TIM-01 (250 ms).
"""

from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from smsp_provider.config.section import Seconds, Section, has_control_character, https_url
from smsp_provider.observe.traffic_watch import TrafficThresholds

__all__ = ["AlertSettings", "traffic_thresholds"]

_MOST: Final = 1_000_000_000


class AlertSettings(Section):
    """Where alerts go besides the operator log, and from what on there are some. A threshold of 0 is none."""

    file: Path | None = Field(
        None, description="File that alerts are appended to, one JSON object a line; made with mode 0600."
    )
    webhook: str = Field("", description="https URL that each alert is POSTed to as a JSON object.")
    webhook_ca: Path | None = Field(
        None, description="PEM file of the authorities that sign for the webhook; unset: those that the machine trusts."
    )
    webhook_token: Path | None = Field(
        None, description="File with a token for the webhook, sent as `Authorization: Bearer`."
    )
    repeat_seconds: Seconds = Field(
        60, le=86_400, description="Identical alerts go to file and webhook once in so long, with their number."
    )
    clock_drift_ms: float = Field(
        250, gt=0, le=250, description="A clock that is further off, or may be, is an alert (IFC-TIM-01)."
    )
    window_seconds: int = Field(
        300, ge=10, le=86_400, description="The time over which the thresholds below are compared."
    )
    most_requests: int = Field(0, ge=0, le=_MOST, description="More requests than this within the window.")
    least_requests: int = Field(0, ge=0, le=_MOST, description="Fewer requests than this within the window.")
    most_errors: int = Field(
        0,
        ge=0,
        le=_MOST,
        description="More faults, and more answers that are the provider's or Spine's failure, than this",
    )
    errors_part: float = Field(0.1, gt=0, le=1, description="if they are at least this part of all requests.")
    most_bytes: int = Field(
        0, ge=0, le=_MOST, description="A mean size of a request's body above this, within the window."
    )
    most_waiting: int = Field(0, ge=0, le=_MOST, description="More requests than this that wait for a turn at Spine.")

    @field_validator("webhook")
    @classmethod
    def _is_url(cls, value: str) -> str:
        return https_url(value)

    @field_validator("file")
    @classmethod
    def _names_a_file(cls, value: Path | None) -> Path | None:
        if value is not None and (value.name in ("", "..") or has_control_character(str(value))):
            raise ValueError("not the name of a file")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if not self.webhook and (self.webhook_ca is not None or self.webhook_token is not None):
            raise ValueError("webhook_ca and webhook_token are for a webhook, and there is none")
        if self.most_requests and self.least_requests > self.most_requests:
            raise ValueError("least_requests is above most_requests: there would always be an alert")
        return self

    def relaxed(self) -> dict[str, bool]:
        """What is relaxed of these, by the name to be told."""
        return {"alerts.webhook (http)": urlsplit(self.webhook).scheme == "http"}


def traffic_thresholds(alerts: AlertSettings) -> TrafficThresholds:
    """The thresholds for the watch over traffic."""
    return TrafficThresholds(
        window_seconds=alerts.window_seconds,
        most_requests=alerts.most_requests,
        least_requests=alerts.least_requests,
        most_errors=alerts.most_errors,
        errors_part=alerts.errors_part,
        most_bytes=alerts.most_bytes,
        most_waiting=alerts.most_waiting,
    )
