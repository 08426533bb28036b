"""What a client of the mini services writes: payload, SOAP headers and the arguments of a zeep call.

A client's view, built with lxml from the published formats; nothing of it is shared with the provider's readers.
Source: transport.md "A request" and "Distribution envelope in a request"; pds-services.md, request payloads.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lxml import etree

from smsp_provider.domain.identifiers import OID
from smsp_provider.domain.requests import RequestFields
from smsp_provider.domain.service import Service
from smsp_provider.itk.services import SERVICES
from smsp_provider.xmlcore.names import HL7, WSA, WSSE, WSU

__all__ = ["CallerIdentity", "OutgoingRequest", "build_payload"]

_IDENTITY: Final = "urn:nhs-uk:identity:ods:"
_BACKDATED: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """In whose name a request is sent.

    ``username`` is the calling system (over TLS the common name of its certificate); ``organisation`` an ODS code,
    with colons and local tokens of a user behind it where wanted; ``asid`` an accredited system identifier.
    """

    username: str
    organisation: str | None = None
    asid: str | None = None


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One request: new ids, a timestamp from a few seconds ago until ``valid_for`` after ``now`` (aware, UTC)."""

    service: Service
    fields: RequestFields
    identity: CallerIdentity
    to: str
    now: datetime
    valid_for: timedelta = timedelta(minutes=5)

    def headers(self) -> list[etree._Element]:
        """The blocks of soap:Header: WS-Addressing and WS-Security."""
        message_id = f"urn:uuid:{_new_uuid()}"
        reply_to = etree.Element(f"{{{WSA}}}ReplyTo", nsmap={"wsa": WSA})
        etree.SubElement(reply_to, f"{{{WSA}}}Address").text = f"{WSA}/anonymous"
        return [
            _leaf(WSA, "wsa", "MessageID", message_id),
            _leaf(WSA, "wsa", "Action", SERVICES[self.service].action),
            _leaf(WSA, "wsa", "To", self.to),
            reply_to,
            self._security(),
        ]

    def envelope(self) -> dict[str, object]:
        """Header and payloads of the distribution envelope, as zeep's arguments (docs/reference/schemas.md).

        Raises:
            ValueError: a value holds a character that XML cannot carry.
        """
        entry = SERVICES[self.service]
        payload_id = f"uuid_{_new_uuid()}"
        item = {"id": payload_id, "mimetype": "text/xml", "profileid": entry.request_profile}
        return {
            "header": {
                "service": entry.action,
                "trackingid": _new_uuid(),
                "auditIdentity": {"id": self._audit_ids()},
                "manifest": {"count": 1, "manifestitem": [item]},
            },
            "payloads": {
                "count": 1,
                "payload": [{"id": payload_id, "_value_1": build_payload(self.service, self.fields)}],
            },
        }

    def _audit_ids(self) -> list[dict[str, str]]:
        ids = []
        if self.identity.organisation is not None:
            ids.append({"type": OID.ITK_IDENTITY, "uri": _carried(_IDENTITY + self.identity.organisation)})
        if self.identity.asid is not None:
            ids.append({"type": OID.ASID, "uri": _carried(self.identity.asid)})
        # The envelope's schema wants an id; a blank one says "nobody" and is the provider's to refuse.
        return ids or [{"uri": ""}]

    def _security(self) -> etree._Element:
        security = etree.Element(f"{{{WSSE}}}Security", nsmap={"wsse": WSSE, "wsu": WSU})
        timestamp = etree.SubElement(security, f"{{{WSU}}}Timestamp")
        etree.SubElement(timestamp, f"{{{WSU}}}Created").text = _instant(self.now - _BACKDATED)
        etree.SubElement(timestamp, f"{{{WSU}}}Expires").text = _instant(self.now + self.valid_for)
        token = etree.SubElement(security, f"{{{WSSE}}}UsernameToken")
        etree.SubElement(token, f"{{{WSSE}}}Username").text = self.identity.username
        return security


def build_payload(service: Service, fields: RequestFields) -> etree._Element:
    """The request payload of a service, with the fields that are given, right or wrong, in the order of the schemas."""
    entry = SERVICES[service]
    root = etree.Element(entry.request_tag, {"classCode": "CACT", "moodCode": "EVN"}, nsmap={None: HL7})
    _child(root, "id", root=_new_uuid())
    _child(root, "code", codeSystem=OID.SERVICE_MESSAGE, code=entry.request_profile.rpartition(":")[2])
    event = _child(root, "queryEvent")
    if fields.date_of_birth is not None:
        _parameter(event, "Person.DateOfBirth", value=fields.date_of_birth)
    if fields.gender is not None:
        _parameter(event, "Person.Gender", code=fields.gender, codeSystem=OID.GENDER)
    if fields.local_identifier is not None:
        local = fields.local_identifier
        _parameter(event, "Person.LocalIdentifier", root=local.root, extension=local.extension)
    if fields.nhs_number is not None:
        _parameter(event, "Person.NHSNumber", root=OID.NHS_NUMBER, extension=fields.nhs_number)
    if fields.given is not None or fields.family is not None:
        _parameter(event, "Person.Name", {"given": fields.given, "family": fields.family})
    if fields.postcode is not None:
        _parameter(event, "Person.Postcode", {"postalCode": fields.postcode})
    return root


def _parameter(
    event: etree._Element, name: str, parts: dict[str, str | None] | None = None, /, **attributes: str
) -> None:
    parameter = _child(event, name)
    value = _child(parameter, "value", **attributes)
    for part, content in (parts or {}).items():
        if content is not None:
            _child(value, part).text = content
    _child(parameter, "semanticsText").text = name


def _child(parent: etree._Element, name: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{HL7}}}{name}", attributes)


def _leaf(namespace: str, prefix: str, name: str, content: str) -> etree._Element:
    element = etree.Element(f"{{{namespace}}}{name}", nsmap={prefix: namespace})
    element.text = content
    return element


def _carried(value: str) -> str:
    """The value itself; zeep would find only while it calls that XML cannot carry it.

    Raises:
        ValueError: it holds a character that XML cannot carry.
    """
    etree.Element("probe").text = value
    return value


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def _new_uuid() -> str:
    return str(uuid.uuid4()).upper()
