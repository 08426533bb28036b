"""Builds the SOAP requests of a well-behaved client, with every header, attribute and field open to be broken.

`Request()` is valid; `replace(Request(), to=None)` leaves wsa:To out; `.body()` gives the bytes, `.soap_action` the
HTTP header that goes with them. None always means "leave it out". Text is escaped, fields named `*_markup` are not.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from smsp_provider.domain.service import Service

__all__ = [
    "ACTION_PREFIX",
    "NHS_NUMBER",
    "NOW",
    "OTHER_NHS_NUMBER",
    "REQUEST_ROOTS",
    "Fields",
    "Request",
    "payload_of",
    "request_for",
    "with_texts",
]

NOW: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
"""The moment at which the built requests are fresh."""

ACTION_PREFIX: Final = "urn:nhs-itk:services:201005:"
NHS_NUMBER: Final = "9990000018"
"""A well-formed number of nobody."""
OTHER_NHS_NUMBER: Final = "9991234055"

REQUEST_ROOTS: Final = {
    Service.VERIFY_NHS_NUMBER: "verifyNHSNumberRequest-v1-0",
    Service.GET_NHS_NUMBER: "getNHSNumberRequest-v1-0",
    Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER: "getPatientDetailsByNHSNumberRequest-v1-0",
    Service.GET_PATIENT_DETAILS_BY_SEARCH: "getPatientDetailsBySearchRequest-v1-0",
    Service.GET_PATIENT_DETAILS: "getPatientDetails-v1-0",
}

_CODES: Final = {**REQUEST_ROOTS, Service.GET_PATIENT_DETAILS: "getPatientDetailsRequest-v1-0"}
_NAMESPACES: Final = (
    'xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsa="http://www.w3.org/2005/08/addressing"'
    ' xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"'
    ' xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"'
    ' xmlns:itk="urn:nhs-itk:ns:201005" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
_SERVICE_MESSAGE: Final = "2.16.840.1.113883.2.1.3.2.4.17.284"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The fields of a payload; the default patient is an invention."""

    date_of_birth: str | None = "19710523"
    gender: str | None = None
    local_identifier: tuple[str, str] | None = None
    nhs_number: str | None = None
    given: str | None = None
    family: str | None = None
    postcode: str | None = None


_BY_NUMBER: Final = Fields(nhs_number=NHS_NUMBER)
_BY_SEARCH: Final = Fields(gender="2", given="Orla", family="Quillfeather")
_DEFAULT_FIELDS: Final = {
    Service.VERIFY_NHS_NUMBER: _BY_NUMBER,
    Service.GET_NHS_NUMBER: _BY_SEARCH,
    Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER: _BY_NUMBER,
    Service.GET_PATIENT_DETAILS_BY_SEARCH: _BY_SEARCH,
    Service.GET_PATIENT_DETAILS: _BY_NUMBER,
}


def payload_of(
    service: Service,
    fields: Fields | None = None,
    *,
    root: str | None = None,
    code: str | None = None,
    payload_id: str | None = "5D2F1C80-7B1E-4B5C-9C0A-1E6A52F4A7D1",
    extra_markup: str = "",
) -> str:
    """The payload of a request; ``root`` renames its root element, ``extra_markup`` goes to the end of queryEvent."""
    root = root or REQUEST_ROOTS[service]
    identifier = "" if payload_id is None else f'<id root="{payload_id}"/>'
    return (
        f'<{root} xmlns="urn:hl7-org:v3" classCode="CACT" moodCode="EVN">{identifier}'
        f'<code codeSystem="{_SERVICE_MESSAGE}" code="{code or _CODES[service]}"/>'
        f"<queryEvent>{_parameters(fields or _DEFAULT_FIELDS[service])}{extra_markup}</queryEvent></{root}>"
    )


def _parameters(fields: Fields) -> str:
    """The parameters in the one order that all five schemas share."""
    parts = []
    if fields.date_of_birth is not None:
        parts.append(_parameter("Person.DateOfBirth", _empty("value", value=fields.date_of_birth)))
    if fields.gender is not None:
        coded = _empty("value", code=fields.gender, codeSystem="2.16.840.1.113883.2.1.3.2.4.16.25")
        parts.append(_parameter("Person.Gender", coded))
    if fields.local_identifier is not None:
        root, extension = fields.local_identifier
        parts.append(_parameter("Person.LocalIdentifier", _empty("value", root=root, extension=extension)))
    if fields.nhs_number is not None:
        number = _empty("value", root="2.16.840.1.113883.2.1.4.1", extension=fields.nhs_number)
        parts.append(_parameter("Person.NHSNumber", number))
    if fields.given is not None or fields.family is not None:
        name = _leaf("given", fields.given) + _leaf("family", fields.family)
        parts.append(_parameter("Person.Name", f"<value>{name}</value>"))
    if fields.postcode is not None:
        parts.append(_parameter("Person.Postcode", f"<value>{_leaf('postalCode', fields.postcode)}</value>"))
    return "".join(parts)


def _parameter(name: str, value: str) -> str:
    return f"<{name}>{value}<semanticsText>{name}</semanticsText></{name}>"


def _leaf(name: str, content: str | None) -> str:
    return "" if content is None else f"<{name}>{escape(content)}</{name}>"


def _empty(name: str, **attributes: str | None) -> str:
    return f"<{name}{_attributes(attributes)}/>"


def _attributes(attributes: dict[str, str | None]) -> str:
    return "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items() if value is not None)


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A SOAP request. ``action``, ``header_service``, ``profile_id`` and ``payload`` follow the service unless given.

    ``audit_ids`` are (type, uri) pairs, a type of None leaves the attribute to its default; ``audit_ids=None`` leaves
    the whole auditIdentity out. ``security_markup`` replaces the whole wsse:Security block, ``body_markup`` everything
    inside soap:Body; the ``extra_*_markup`` fields are put at the end of the element they are named after.
    """

    service: Service = Service.VERIFY_NHS_NUMBER
    fields: Fields | None = None
    # In the SOAP header:
    message_id: str | None = "9C41F6BE-6E0B-4C7B-8C55-30AD0CF0B7E4"
    action: str | None = ""
    to: str | None = "https://smsp.example.nhs.uk/smsp/pds"
    wsa_from: str | None = None
    reply_to: str | None = None
    relates_to: str | None = None
    now: datetime = NOW
    created: str | None = ""
    expires: str | None = ""
    username: str | None = "client.example.nhs.uk"
    security_markup: str | None = None
    extra_security_markup: str = ""
    extra_header_markup: str = ""
    # In the header of the distribution envelope:
    header_service: str | None = ""
    tracking_id: str | None = "2B7D9A36-0C1F-4E0C-AE7B-6F6D5A1E93C8"
    addresses: tuple[str, ...] = ()
    audit_ids: tuple[tuple[str | None, str | None], ...] | None = ((None, "urn:nhs-uk:identity:ods:X26"),)
    manifest_count: str | None = "1"
    manifest_id: str | None = "uuid_7A0D8E3C-93C5-4A9F-9D36-5D60D5F8B1A2"
    mimetype: str | None = "text/xml"
    profile_id: str | None = ""
    metadata: str | None = None
    compressed: str | None = None
    base64: str | None = None
    encrypted: str | None = None
    extra_manifest_markup: str = ""
    sender_address: str | None = None
    extra_envelope_header_markup: str = ""
    # In its payloads:
    payloads_count: str | None = "1"
    payload_id: str | None = "uuid_7A0D8E3C-93C5-4A9F-9D36-5D60D5F8B1A2"
    filename: str | None = None
    payload: str | None = None
    extra_payloads_markup: str = ""
    extra_envelope_markup: str = ""
    body_markup: str | None = None
    extra_body_markup: str = ""

    @property
    def default_action(self) -> str:
        """The action of the service."""
        return ACTION_PREFIX + self.service.value

    @property
    def soap_action(self) -> str:
        """The HTTP header SOAPAction, quoted as SOAP 1.1 has it."""
        return f'"{self.default_action}"'

    def body(self) -> bytes:
        """The request as bytes."""
        inside = self.envelope() if self.body_markup is None else self.body_markup
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><soap:Envelope {_NAMESPACES}>'
            f"<soap:Header>{self._headers()}{self.extra_header_markup}</soap:Header>"
            f"<soap:Body>{inside}{self.extra_body_markup}</soap:Body></soap:Envelope>"
        ).encode()

    def envelope(self) -> str:
        """The distribution envelope alone (its prefixes are declared on soap:Envelope)."""
        service = self.default_action if self.header_service == "" else self.header_service
        header = _attributes({"service": service, "trackingid": self.tracking_id})
        payload = payload_of(self.service, self.fields) if self.payload is None else self.payload
        return (
            f"<itk:DistributionEnvelope><itk:header{header}>{self._addresses()}{self._audit_identity()}"
            f"{self._manifest()}{self._sender()}{self.extra_envelope_header_markup}</itk:header>"
            f"<itk:payloads{_attributes({'count': self.payloads_count})}>"
            f"<itk:payload{_attributes({'id': self.payload_id, 'filename': self.filename})}>{payload}</itk:payload>"
            f"{self.extra_payloads_markup}</itk:payloads>{self.extra_envelope_markup}</itk:DistributionEnvelope>"
        )

    def _headers(self) -> str:
        parts = [
            _leaf("wsa:MessageID", self.message_id),
            _leaf("wsa:Action", self.default_action if self.action == "" else self.action),
            _leaf("wsa:To", self.to),
        ]
        if self.wsa_from is not None:
            parts.append(f"<wsa:From>{_leaf('wsa:Address', self.wsa_from)}</wsa:From>")
        if self.reply_to is not None:
            parts.append(f"<wsa:ReplyTo>{_leaf('wsa:Address', self.reply_to)}</wsa:ReplyTo>")
        parts.append(_leaf("wsa:RelatesTo", self.relates_to))
        parts.append(self._security() if self.security_markup is None else self.security_markup)
        return "".join(parts)

    def _security(self) -> str:
        created = _instant(self.now - timedelta(seconds=5)) if self.created == "" else self.created
        expires = _instant(self.now + timedelta(minutes=10)) if self.expires == "" else self.expires
        stamp = _leaf("wsu:Created", created) + _leaf("wsu:Expires", expires)
        token = f"<wsse:UsernameToken>{_leaf('wsse:Username', self.username)}</wsse:UsernameToken>"
        return (
            f'<wsse:Security><wsu:Timestamp wsu:Id="ts">{stamp}</wsu:Timestamp>'
            f"{token if self.username is not None else ''}{self.extra_security_markup}</wsse:Security>"
        )

    def _addresses(self) -> str:
        if not self.addresses:
            return ""
        return f"<itk:addresslist>{''.join(_empty('itk:address', uri=uri) for uri in self.addresses)}</itk:addresslist>"

    def _audit_identity(self) -> str:
        if self.audit_ids is None:
            return ""
        ids = "".join(_empty("itk:id", type=kind, uri=uri) for kind, uri in self.audit_ids)
        return f"<itk:auditIdentity>{ids}</itk:auditIdentity>"

    def _manifest(self) -> str:
        profile = f"urn:nhs-en:profile:{_CODES[self.service]}" if self.profile_id == "" else self.profile_id
        item = _empty(
            "itk:manifestitem",
            id=self.manifest_id,
            mimetype=self.mimetype,
            profileid=profile,
            metadata=self.metadata,
            compressed=self.compressed,
            base64=self.base64,
            encrypted=self.encrypted,
        )
        count = _attributes({"count": self.manifest_count})
        return f"<itk:manifest{count}>{item}{self.extra_manifest_markup}</itk:manifest>"

    def _sender(self) -> str:
        return "" if self.sender_address is None else _empty("itk:senderAddress", uri=self.sender_address)


def request_for(service: Service, fields: Fields | None = None, *, now: datetime = NOW) -> Request:
    """A valid request to a service, fresh at ``now``."""
    return replace(Request(), service=service, fields=fields, now=now)


def with_texts(request: Request, **texts: str | None) -> Request:
    """The request with other texts, by the names of its text fields (for tests that take the field from a table)."""
    changes: dict[str, Any] = dict(texts)
    return replace(request, **changes)
