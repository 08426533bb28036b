"""A change of what the audit trail itself rests on, put on record: its keys, its witnesses."""

import json

from smsp_provider.audit.events import Change
from smsp_provider.audit.roots import parse
from smsp_provider.config.settings import Settings
from smsp_provider.domain.operators import Operator
from smsp_provider.engine.system import SystemClock
from smsp_provider.wiring.audit import build_audit

__all__ = ["record_trail_change"]


def record_trail_change(settings: Settings, operator: Operator, name: str, before: str | None, after: str) -> None:
    """Put on record what is about to be done; a trail that was never started begins with it.

    ``before`` and ``after`` are ids, public keys or reasons, and never a secret.

    Raises:
        AuditUnavailable, StorageUnsafe: it cannot be; nothing may be done.
    """
    clock = SystemClock()
    trail = build_audit(settings, clock)
    try:
        trail.open()
        last = trail.database.last_root()
        version = 0 if last is None else parse(last.statement).number
        documents = None if before is None else json.dumps(before), json.dumps(after)
        trail.record_change(Change(clock.now(), operator.name, "audit trail", name, version, *documents))
    finally:
        trail.close_session()
