"""A registered client as a tree of plain values: what is exported, shown, and put on record before and after a change.

The form is that of the clients file (docs/reference/clients.md). Fields at their default are there too, so that a
record does not change its meaning with a default.
"""

import base64
import json
from datetime import UTC, datetime
from typing import Final

from smsp_provider.domain.clients import Client, FingerprintPin, Pin

__all__ = ["canonical_json", "document_of"]

_to_json: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


def document_of(client: Client) -> dict[str, object]:
    """The client without its name; values are text, numbers, booleans, lists and tables of them, nothing is None.

    Moments are in UTC, dates and moments as in ISO 8601, certificates are their DER in base64. Sets are sorted, so that
    the same client always gives the same document. A limit that is not set is left out, and so are ``party_key`` and
    ``signatures``; an organisation without an ASID of its own has an empty one.
    """
    limits = {
        "rate": client.limits.rate,
        "burst": client.limits.burst,
        "concurrency": client.limits.concurrency,
    }
    fields: dict[str, object] = {
        "ods_code": client.ods_code.code,
        "party_key": client.party_key,
        "contact": client.contact,
        "enabled": client.enabled,
        "disabled_reason": client.disabled_reason or None,
        "usernames": sorted(client.usernames),
        "services": sorted(service.value for service in client.services),
        "profiles": sorted(client.profiles),
        "access_methods": sorted(method.value for method in client.access_methods),
        "priority": client.priority.value,
        "signatures": None if client.signatures is None else client.signatures.value,
        "authority": {
            "approval_reference": client.authority.approval_reference,
            "legal_basis": client.authority.legal_basis,
            "use_case": client.authority.use_case,
            "review_on": client.authority.review_on.isoformat(),
        },
        "organisations": {
            organisation.code: "" if asid is None else asid.value
            for organisation, asid in sorted(client.organisations.items(), key=lambda item: item[0].code)
        },
        "limits": {name: value for name, value in limits.items() if value is not None},
        "pins": [_pin(pin) for pin in client.pins],
    }
    return {name: value for name, value in fields.items() if value is not None}


def canonical_json(document: object) -> str:
    """One line of ASCII JSON; the same document always gives the same line."""
    return _to_json(document)


def _pin(pin: Pin) -> dict[str, object]:
    fields: dict[str, object] = {"state": pin.state.value}
    if isinstance(pin, FingerprintPin):
        fields["fingerprint"] = pin.fingerprint
        if pin.certificate is not None:
            fields["certificate"] = base64.b64encode(pin.certificate).decode("ascii")
    else:
        fields |= {"subject": pin.subject, "issuer": pin.issuer}
    if pin.until is not None:
        fields["until"] = _moment(pin.until)
    return fields


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
