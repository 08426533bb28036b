"""The distribution envelope of a request (COR-DEH-*, COR-DEP-*, DE-PDS-*), checked in one documented order.

1. one itk:DistributionEnvelope with one itk:header whose service is the action: fault 1000;
2. the audit identity, before everything else of the envelope: SMSP-0001 where it names nobody (SMSP-AUDIT-005);
3. trackingid, addresslist, manifest, payloads: fault 1000, in the order of the document;
4. an encrypted payload: fault 2200, not supported;
5. the schema, for anything that is left: fault 1000 with the path;
6. decoding: fault 1000; content that is then no XML element: SMSP-0001, told as ``payload_problem``.

So a fault always comes before a business answer, but for the audit identity.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Final, NoReturn

from lxml import etree

from smsp_provider.domain.audit_identity import AuditId, AuthorRefused, Caller, recognise
from smsp_provider.domain.faults import invalid_message, provider_failure
from smsp_provider.domain.identifiers import OID
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.requests import InputInvalid
from smsp_provider.domain.service import Service
from smsp_provider.itk.payload import payload_content
from smsp_provider.itk.services import SERVICES, service_of_action
from smsp_provider.xmlcore.names import ITK
from smsp_provider.xmlcore.read import XML_SPACE, by_tag
from smsp_provider.xmlcore.schemas import SchemaName, Schemas

__all__ = ["DEFAULT_PROFILES", "Distribution", "EnvelopePolicy", "peek_identity", "read_distribution"]

_ENVELOPE: Final = f"{{{ITK}}}DistributionEnvelope"
_HEADER: Final = f"{{{ITK}}}header"
_ADDRESS_LIST: Final = f"{{{ITK}}}addresslist"
_ADDRESS: Final = f"{{{ITK}}}address"
_AUDIT_IDENTITY: Final = f"{{{ITK}}}auditIdentity"
_ID: Final = f"{{{ITK}}}id"
_MANIFEST: Final = f"{{{ITK}}}manifest"
_MANIFEST_ITEM: Final = f"{{{ITK}}}manifestitem"
_SENDER: Final = f"{{{ITK}}}senderAddress"
_PAYLOADS: Final = f"{{{ITK}}}payloads"
_PAYLOAD: Final = f"{{{ITK}}}payload"

_UUID: Final = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
_ONE: Final = re.compile(r"\+?0*1")
_BOOLEANS: Final = MappingProxyType({"true": True, "1": True, "false": False, "0": False})
_MAX_AUDIT_IDS: Final = 4

DEFAULT_PROFILES: Final = MappingProxyType(
    {service: frozenset({entry.request_profile}) for service, entry in SERVICES.items()}
)
"""The one request profile id that transport.md gives each service."""


@dataclass(frozen=True, slots=True)
class EnvelopePolicy:
    """``accepted_profiles``: the request profile ids of each service (COR-DEH-09).

    ``max_payload_bytes`` bounds a payload after base64 and gzip.
    """

    accepted_profiles: Mapping[Service, frozenset[str]] = field(default_factory=lambda: DEFAULT_PROFILES)
    max_payload_bytes: int = 65_536


@immutable
class Distribution(Masked):
    """What a distribution envelope says. Either ``payload`` or ``payload_problem`` is set, never both.

    ``decoded`` tells that the payload came in base64 or gzip; ``caller`` is whom the audit identity names, or why they
    may not be named to Spine.
    """

    service: Service
    tracking_id: str
    profile_id: str
    audit_ids: tuple[AuditId, ...]
    caller: Caller | AuthorRefused
    sender_address: str | None
    payload: etree._Element | None
    payload_problem: InputInvalid | None
    decoded: bool

    def require_caller(self) -> Caller:
        """Who asks.

        Raises:
            AuthorRefused: the user cannot be named to Spine.
        """
        if isinstance(self.caller, AuthorRefused):
            raise self.caller
        return self.caller

    def require_payload(self) -> etree._Element:
        """The payload's root element.

        Raises:
            InputInvalid: there is none; it says why.
        """
        if self.payload is None:
            raise self.payload_problem or InputInvalid("payload", "has no content")
        return self.payload


def read_distribution(
    body_child: etree._Element, action: str, schemas: Schemas, policy: EnvelopePolicy
) -> Distribution:
    """Check the envelope and return what it says; ``action`` is the request's, already agreed with SOAPAction.

    Raises:
        InputInvalid: the audit identity is missing, empty or blank, or names no organisation (SMSP-AUDIT-005).
        ToolkitFault: 1000: any other breach of the envelope; 2200: an encrypted payload.
    """
    service = service_of_action(action)
    if service is None:
        _refuse("wsa:Action is not a service of this endpoint", rule="WS-ADR-04")
    groups = by_tag(body_child[:])
    header = _header_of(body_child, groups.get(_HEADER, ()))
    if _value(header.get("service"), "service", rule="COR-DEH-01") != action:
        _refuse("header service differs from wsa:Action", rule="COR-DEH-01")
    parts = by_tag(header[:])
    audit_ids = _audit_ids(parts.get(_AUDIT_IDENTITY, ()))
    # That it is nobody comes before the rest of the envelope; whether the user may be named is said later.
    caller = _caller(audit_ids)
    tracking_id = _tracking_id(header)
    _check_addresses(parts.get(_ADDRESS_LIST, ()))
    item = dict(_one(parts.get(_MANIFEST, ()), _MANIFEST_ITEM, "manifest", "COR-DEH-05").items())
    payload_id = _check_item(item, policy.accepted_profiles[service])
    payload = _one(groups.get(_PAYLOADS, ()), _PAYLOAD, "payloads", "COR-DEP-01")
    _check_payload(payload, payload_id)
    base64, compressed = _flag(item, "base64"), _flag(item, "compressed")
    if _flag(item, "encrypted"):
        raise provider_failure("Encrypted payloads are not supported", rule="COR-DEH-06")
    _check_schema(body_child, payload, schemas)
    content = payload_content(payload, base64=base64, compressed=compressed, max_bytes=policy.max_payload_bytes)
    problem = content if isinstance(content, InputInvalid) else None
    return Distribution(
        service=service,
        tracking_id=tracking_id,
        profile_id=item["profileid"],
        audit_ids=audit_ids,
        caller=caller,
        sender_address=_sender(parts.get(_SENDER, ())),
        payload=None if isinstance(content, InputInvalid) else content,
        payload_problem=problem,
        decoded=base64 or compressed,
    )


def peek_identity(body_child: etree._Element) -> tuple[str | None, tuple[AuditId, ...]]:
    """Tracking id and audit ids of an envelope that was refused, as far as they are there: for the audit only."""
    header = body_child.find(_HEADER)
    if header is None:
        return None, ()
    ids = header.iterfind(f"{_AUDIT_IDENTITY}/{_ID}")
    found = (AuditId(item.get("type", OID.ITK_IDENTITY).strip(), item.get("uri", "").strip()) for item in ids)
    return header.get("trackingid"), tuple(islice(found, 2 * _MAX_AUDIT_IDS))


def _audit_ids(found: Sequence[etree._Element]) -> tuple[AuditId, ...]:
    """The ids of the audit identities found in an itk:header, trimmed, those without a uri left out.

    Raises:
        InputInvalid: none is left (SMSP-AUDIT-005).
        ToolkitFault: 1000: two audit identities, or more than four ids.
    """
    if not found:
        raise InputInvalid("auditIdentity", "is missing")
    if len(found) > 1:
        _refuse("auditIdentity is given more than once", rule="DE-PDS-02")
    ids = by_tag(found[0][:]).get(_ID, ())
    if len(ids) > _MAX_AUDIT_IDS:
        _refuse("auditIdentity holds more than four ids", rule="DE-PDS-02")
    named = []
    for item in ids:
        uri = (item.get("uri") or "").strip()
        if uri:
            named.append(AuditId((item.get("type") or OID.ITK_IDENTITY).strip(), uri))
    if not named:
        raise InputInvalid("auditIdentity", "is blank" if ids else "is empty")
    return tuple(named)


def _caller(audit_ids: tuple[AuditId, ...]) -> Caller | AuthorRefused:
    try:
        return recognise(audit_ids)
    except AuthorRefused as refusal:
        return refusal


def _header_of(body_child: etree._Element, headers: Sequence[etree._Element]) -> etree._Element:
    if body_child.tag != _ENVELOPE:
        _refuse("The soap:Body holds no itk:DistributionEnvelope", rule="DE-PDS-01")
    if len(headers) != 1:
        _refuse("itk:header is missing or given more than once", rule="COR-DEH-01")
    return headers[0]


def _value(attribute: str | None, name: str, *, rule: str) -> str:
    """An attribute that must be there and must say something."""
    value = (attribute or "").strip(XML_SPACE)
    if not value:
        _refuse(f"{name} is missing", rule=rule)
    return value


def _flag(item: Mapping[str, str], name: str) -> bool:
    """An optional xs:boolean, false by default."""
    value = item.get(name)
    if value is None:
        return False
    flag = _BOOLEANS.get(value.strip(XML_SPACE))
    if flag is None:
        _refuse(f"{name} is neither true nor false", rule="DE-PDS-03")
    return flag


def _tracking_id(header: etree._Element) -> str:
    tracking_id = header.get("trackingid") or ""
    if not tracking_id:
        _refuse("trackingid is missing", rule="COR-DEH-02")
    if not _UUID.fullmatch(tracking_id):
        _refuse("trackingid is not a bare upper-case UUID", rule="COR-DEH-02")
    return tracking_id


def _check_addresses(lists: Sequence[etree._Element]) -> None:
    addresses = [address for found in lists for address in found[:] if address.tag == _ADDRESS]
    if len(addresses) > 1:
        _refuse("addresslist holds more than one address", rule="DE-PDS-02")


def _one(groups: Sequence[etree._Element], tag: str, name: str, rule: str) -> etree._Element:
    """The one item of the one counted group ``name``: manifestitem of manifest, payload of payloads."""
    if len(groups) != 1:
        _refuse(f"{name} is missing or given more than once", rule=rule)
    group = groups[0]
    if not _ONE.fullmatch(_value(group.get("count"), f"{name} count", rule=rule)):
        _refuse(f"{name} count is not 1", rule=rule)
    items = by_tag(group[:]).get(tag, ())
    if len(items) != 1:
        _refuse(f"{name} count does not match: {len(items)} of {tag.rpartition('}')[2]}", rule=rule)
    return items[0]


def _check_item(item: Mapping[str, str], accepted_profiles: frozenset[str]) -> str:
    """The attributes of the manifest item; returns the id that the payload must have."""
    payload_id = item.get("id") or ""
    if not payload_id:
        _refuse("manifestitem id is missing", rule="COR-DEH-06")
    if _value(item.get("mimetype"), "mimetype", rule="COR-DEH-06") != "text/xml":
        _refuse("mimetype is not text/xml", rule="DE-PDS-01")
    if _value(item.get("profileid"), "profileid", rule="COR-DEH-07") not in accepted_profiles:
        _refuse("profileid is not supported for this service", rule="COR-DEH-09")
    if _flag(item, "metadata"):
        _refuse("metadata is true", rule="DE-PDS-01")
    return payload_id


def _check_payload(payload: etree._Element, payload_id: str) -> None:
    given = payload.get("id") or ""
    if not given:
        _refuse("payload id is missing", rule="COR-DEH-06")
    if given != payload_id:
        _refuse("payload id differs from manifestitem id", rule="COR-DEH-06")
    if payload.get("filename") is not None:
        _refuse("payload has a filename", rule="DE-PDS-01")


def _check_schema(envelope: etree._Element, payload: etree._Element, schemas: Schemas) -> None:
    """Everything that has no rule of its own; the path holds names of the schema only.

    The envelope's schema looks into the payload (several elements, xsi:type, elements of its own vocabulary); but what
    is wrong in there is SMSP-0001 by the payload's own schema, so the verdict is then given without the content.
    """
    if schemas.is_valid(SchemaName.DISTRIBUTION_ENVELOPE, envelope):
        return
    content = tuple(payload)
    for element in content:
        payload.remove(element)
    findings = schemas.findings(SchemaName.DISTRIBUTION_ENVELOPE, envelope)
    payload.extend(content)
    if findings:
        _refuse(f"The distribution envelope breaks its schema at {findings[0].path}", rule="WS-VAL-01")


def _sender(senders: Sequence[etree._Element]) -> str | None:
    return senders[0].get("uri") if senders else None


def _refuse(text: str, *, rule: str) -> NoReturn:
    raise invalid_message(text, rule=rule)
