"""Builds the valid request that every case starts from. A template writes it; nothing of the provider's writers."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from smsp_provider.conformance.datafiles import environment
from smsp_provider.conformance.services import FIELDS, Service

__all__ = ["AuditIds", "Caller", "Request", "new_request"]

AuditIds = tuple[tuple[str, str], ...]

_ENVIRONMENT: Final = environment()
_TEMPLATE: Final = _ENVIRONMENT.get_template("request.xml.j2")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the username, the address in wsa:To, the ids of the audit identity (type or empty, uri).

    ``facts`` are more texts that cases may write into a message, by name.
    """

    username: str
    to: str
    audit_ids: AuditIds
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """A valid request and what was written into it; ``values`` are all texts by name, the fields among them."""

    body: bytes
    values: Mapping[str, str]
    moment: datetime

    def render(self, text: str) -> str:
        """A text of a case with its ``{{ }}`` places filled: all values, ``uuid()`` and ``time(seconds, format)``."""
        if "{{" not in text:
            return text
        # The text is put into the document by lxml, or is markup already: escaping it here would do it twice.
        template = _ENVIRONMENT.overlay(autoescape=False).from_string(text)
        return template.render(self.values, uuid=_new_uuid, time=_instants(self.moment))


def new_request(service: Service, caller: Caller, fields: Mapping[str, str], moment: datetime | None = None) -> Request:
    """A valid request to a service, fresh at ``moment`` (aware; now, where it is None).

    ``fields`` are the texts to send by the names of :data:`FIELDS`; what is not there is not sent.
    """
    now = moment or datetime.now(UTC)
    values = {
        **caller.facts,
        "message_id": _new_uuid(),
        "tracking_id": _new_uuid(),
        "payload_id": f"uuid_{_new_uuid()}",
        "action": service.action,
        "response_action": service.response_action,
        "operation": service.operation,
        "profile": service.profile,
        "root": service.root,
        "code": service.code,
        "username": caller.username,
        "to": caller.to,
    }
    sent = {name: fields.get(name) for name in FIELDS}
    body = _TEMPLATE.render(values, **sent, audit_ids=caller.audit_ids, uuid=_new_uuid, time=_instants(now))
    return Request(body.encode(), {**values, **{name: text or "" for name, text in sent.items()}}, now)


def _new_uuid() -> str:
    return str(uuid.uuid4()).upper()


def _instants(moment: datetime) -> Callable[..., str]:
    def time(seconds: float, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
        return (moment + timedelta(seconds=seconds)).strftime(form)

    return time
