"""What each host watches beside the requests: Spine, the clock, certificates and traffic."""

from collections.abc import Iterable
from typing import Final

from smsp_provider.audit.operator_events import Observer
from smsp_provider.cli.certificate_watch import CertificateWatch
from smsp_provider.cli.endpoint_files import attention
from smsp_provider.cli.keeper import KeeperTask
from smsp_provider.config.alerts import traffic_thresholds
from smsp_provider.config.settings import Environment, Settings
from smsp_provider.config.vocabulary import load_vocabulary
from smsp_provider.domain.faults import ErrorCode
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.ports import Clock
from smsp_provider.observe.clock_watch import ClockWatch
from smsp_provider.observe.limits_watch import LimitsWatch
from smsp_provider.observe.metrics import CountingObserver
from smsp_provider.observe.spine_watch import SpineWatch
from smsp_provider.observe.traffic_watch import TrafficWatch
from smsp_provider.wiring.audit import vocabulary_file
from smsp_provider.wiring.clock import build_clock_reader
from smsp_provider.wiring.provider import build_counters, build_throttle

__all__ = ["host_tasks"]

_CLOCK_SECONDS: Final = 60.0
_ERRORS: Final = frozenset(
    {
        ResponseCode.ANSWER_UNUSABLE,
        ResponseCode.SPINE_UNREACHABLE,
        ResponseCode.PROVIDER_FAILURE,
        ResponseCode.SPINE_ERROR,
    }
)
"""Answers that nobody who asks rightly should get."""


def host_tasks(settings: Settings, observer: Observer, clock: Clock) -> Iterable[KeeperTask]:
    """The tasks of a host, for its keeper; nothing is opened yet.

    Raises:
        OSError, tomllib.TOMLDecodeError, pydantic.ValidationError: the vocabulary file is unusable.
    """
    throttle, counters = build_throttle(settings, clock), build_counters(settings)
    observer = CountingObserver(observer, counters, clock)
    vocabulary, _ = load_vocabulary(vocabulary_file(settings))
    errors = {code.value for code in ErrorCode} | {vocabulary.codes[code] for code in _ERRORS}
    thresholds = traffic_thresholds(settings.alerts)
    traffic = TrafficWatch(thresholds, errors, counters.read, throttle.waiting, observer, clock)
    yield KeeperTask("the watch over Spine", SpineWatch(throttle.breaker, observer, clock).run, alone=False)
    yield KeeperTask("the watch over limits", LimitsWatch(throttle.times_lost, observer).run, alone=False)
    yield KeeperTask("the watch over traffic", traffic.run, alone=False)
    certificates = CertificateWatch(lambda now: attention(settings, now), observer, clock)
    yield KeeperTask("the watch over certificates", certificates.look, alone=False)
    if settings.environment is Environment.LIVE:
        # (Elsewhere it is often a container that nobody keeps the time of: `smsp clock` shows it.)
        watch = ClockWatch(build_clock_reader(settings, clock), settings.alerts.clock_drift_ms, observer, clock)
        yield KeeperTask("the watch over the clock", watch.run, every=_CLOCK_SECONDS, alone=False)
