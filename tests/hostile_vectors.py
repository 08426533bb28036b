"""Hostile and odd requests, each with the one right answer: for the readers, and over HTTP for the edge.

`hostile_vectors()` builds the table; every row says what it tries. Served rows are odd but right: they must be
understood as the request about `NHS_NUMBER` that they are, and never as one about `OTHER_NHS_NUMBER`.
"""

import base64
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from itk_messages import ACTION_PREFIX, NHS_NUMBER, NOW, OTHER_NHS_NUMBER, Fields, Request, payload_of
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service

__all__ = ["Business", "Fault", "HostileVector", "Served", "hostile_vectors"]

TEXT_XML: Final = "text/xml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Fault:
    """A SOAP fault: its faultcode without prefix, its ITK error code, the HTTP status."""

    faultcode: str = "Client"
    error_code: str = "1000"
    status: int = 500


@dataclass(frozen=True, slots=True)
class Business:
    """A business response without data, HTTP 200."""

    code: ResponseCode = ResponseCode.INPUT_INVALID


@dataclass(frozen=True, slots=True)
class Served:
    """The request is understood: whatever Spine says about `NHS_NUMBER` is the answer."""


Expected = Fault | Business | Served


class HostileVector(NamedTuple):
    """A request and its answer. ``edge_only``: the HTTP edge decides, the readers behind it never see it."""

    name: str
    content_type: str
    soap_action: str | None
    body: bytes
    expected: Expected
    edge_only: bool = False


INVALID: Final = Fault()
DENIED: Final = Fault(error_code="3000")
UNSUPPORTED: Final = Fault("Server", "2200")
INPUT: Final = Business()
SERVED: Final = Served()


def hostile_vectors(now: datetime = NOW, username: str = "client.example.nhs.uk") -> list[HostileVector]:
    """All vectors, fresh at ``now``, sent by ``username``."""
    base = Request(fields=Fields(nhs_number=NHS_NUMBER), now=now, username=username)
    rows: list[tuple[str, bytes | Request, Expected]] = [
        *_documents(base),
        *_encodings(base),
        *_soap(base),
        *_addressing(base),
        *_security(base),
        *_envelope(base),
        *_encoded_payloads(base),
        *_payloads(base),
    ]
    vectors = [
        HostileVector(name, TEXT_XML, base.soap_action, body if isinstance(body, bytes) else body.body(), expected)
        for name, body, expected in rows
    ]
    return [*vectors, *_http(base)]


Row = tuple[str, bytes | Request, Expected]


def _with_prolog(base: Request, prolog: str) -> bytes:
    """The request with a document type or another declaration before its root."""
    body = base.body()
    return prolog.encode() + body[body.index(b"?>") + 2 :]


def _documents(base: Request) -> Iterator[Row]:
    """Not XML, or XML that attacks its parser."""
    body = base.body()
    yield "an empty body", b"", INVALID
    yield "white space only", b" \r\n\t ", INVALID
    yield "a document cut in the middle", body[: len(body) // 2], INVALID
    yield "a document without its last byte", body[:-1], INVALID
    yield "a second root element", body + b"<again/>", INVALID
    yield "two documents in one body", body + body, INVALID
    yield "an HTML error page", b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", INVALID
    yield "JSON", b'{"NHSNumber": true}', INVALID
    yield "an empty document type", _with_prolog(base, "<!DOCTYPE soap:Envelope>"), INVALID
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE e [<!ENTITY l0 "ha">{laughs}]>'
    yield "an entity bomb", bomb.encode() + b"<e>&l9;</e>", INVALID
    quadratic = f'<!DOCTYPE e [<!ENTITY a "{"a" * 20_000}">]><e>{"&a;" * 2_000}</e>'
    yield "a quadratic entity bomb", quadratic.encode(), INVALID
    external = '<!DOCTYPE e [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    yield "an external entity", external.encode() + b"<e>&x;</e>", INVALID
    parameter = '<!DOCTYPE e [<!ENTITY % p SYSTEM "http://127.0.0.1:9/e.dtd"> %p;]><e/>'
    yield "an external parameter entity", parameter.encode(), INVALID
    yield "an external subset", b'<!DOCTYPE e SYSTEM "http://127.0.0.1:9/e.dtd"><e/>', INVALID
    defaulted = "<!DOCTYPE soap:Envelope [<!ATTLIST soap:Envelope x CDATA 'y'>]>"
    yield "a document type with a default attribute", _with_prolog(base, defaulted), INVALID
    yield "an entity that nobody declared", body.replace(b"Person.DateOfBirth</sem", b"&who;</sem"), INVALID
    yield "ten thousand levels of nesting", b"<a>" * 10_000 + b"</a>" * 10_000, INVALID
    nested = "<x>" * 300 + "</x>" * 300
    yield "three hundred levels in an ignored header block", replace(base, extra_header_markup=nested), INVALID
    doubled = body.replace(b'count="1"', b'count="1" count="1"', 1)
    yield "an attribute given twice", doubled, INVALID
    aliased = body.replace(b"<itk:header ", b'<itk:header xmlns:a="urn:x" xmlns:b="urn:x" a:y="1" b:y="2" ', 1)
    yield "an attribute given twice through two prefixes", aliased, INVALID
    yield "a prefix that nobody declared", replace(base, extra_header_markup="<ghost:x/>"), INVALID
    many = "".join(f' a{number}="1"' for number in range(2_000))
    yield (
        "two thousand attributes in the distribution envelope",
        body.replace(b" trackingid", many.encode() + b" trackingid"),
        INVALID,
    )
    yield "two thousand attributes in an ignored header block", replace(base, extra_header_markup=f"<x{many}/>"), SERVED
    yield (
        "a huge attribute in an ignored header block",
        replace(base, extra_header_markup=f'<x y="{"a" * 40_000}"/>'),
        SERVED,
    )
    yield "a huge attribute in place of a value", replace(base, fields=Fields(nhs_number="9" * 40_000)), INPUT
    yield (
        "a stylesheet and a comment before the root",
        _with_prolog(base, '<?xml-stylesheet href="http://127.0.0.1:9/x.xsl"?><!-- x -->'),
        SERVED,
    )


def _encodings(base: Request) -> Iterator[Row]:
    """UTF-8 is the only encoding, whatever a declaration says."""
    body = base.body()
    text = body.decode()
    yield "NUL characters between elements", body.replace(b"<soap:Body>", b"<soap:Body>\x00"), INVALID
    yield "a reference to the NUL character", body.replace(b"Person.DateOfBirth</sem", b"&#0;</sem"), INVALID
    yield "a reference to a control character", body.replace(b"Person.DateOfBirth</sem", b"&#1;</sem"), INVALID
    yield "a reference to half a surrogate pair", body.replace(b"Person.DateOfBirth</sem", b"&#xD800;</sem"), INVALID
    yield "half a surrogate pair as bytes", body.replace(b"Person.DateOfBirth</sem", b"\xed\xa0\x80</sem"), INVALID
    yield "an overlong slash", body.replace(b"<soap:Body>", b"<soap:Body>\xc0\xaf"), INVALID
    latin = replace(base, fields=Fields(nhs_number=NHS_NUMBER, family="Bront\u00eb", given="Zo\u00eb"))
    yield "Latin-1 bytes", latin.body().decode().encode("latin-1"), INVALID
    yield "UTF-16 with a byte order mark", text.encode("utf-16"), INVALID
    yield "UTF-16 without a byte order mark", text.encode("utf-16-le"), INVALID
    yield "UTF-32", text.encode("utf-32"), INVALID
    yield "UTF-7 in the declaration", text.replace('encoding="UTF-8"', 'encoding="UTF-7"').encode(), SERVED
    yield "UTF-8 with a byte order mark", b"\xef\xbb\xbf" + body, SERVED
    yield (
        "UTF-8 that is declared as Latin-1",
        latin.body().replace(b'encoding="UTF-8"', b'encoding="ISO-8859-1"'),
        SERVED,
    )
    yield "UTF-8 that is declared as UTF-16", body.replace(b'encoding="UTF-8"', b'encoding="UTF-16"'), SERVED
    yield "UTF-8 without a declaration", _with_prolog(base, ""), SERVED


def _soap(base: Request) -> Iterator[Row]:
    """Envelopes that are none, or too much of one."""
    body = base.body()
    other = replace(base, fields=Fields(nhs_number=OTHER_NHS_NUMBER))
    soap11, soap12 = b"http://schemas.xmlsoap.org/soap/envelope/", b"http://www.w3.org/2003/05/soap-envelope"
    yield "a SOAP 1.2 envelope", body.replace(soap11, soap12), Fault("VersionMismatch")
    yield "an envelope of an unknown namespace", body.replace(soap11, b"urn:soap"), INVALID
    yield "an envelope without a namespace", b"<Envelope><Header/><Body><x/></Body></Envelope>", INVALID
    yield (
        "the distribution envelope without SOAP",
        base.envelope().replace("<itk:Distr", "<itk:Distr", 1).encode(),
        INVALID,
    )
    yield "a payload without any envelope", payload_of(base.service).encode(), INVALID
    no_body = body[: body.index(b"<soap:Body>")] + b"</soap:Envelope>"
    yield "no soap:Body", no_body, INVALID
    yield "an empty soap:Body", replace(base, body_markup=""), INVALID
    yield "text in the soap:Body", replace(base, body_markup="a request"), INVALID
    yield "two elements in the soap:Body", replace(base, extra_body_markup="<x/>"), INVALID
    yield "two distribution envelopes in the soap:Body", replace(base, extra_body_markup=other.envelope()), INVALID
    fault = "<soap:Fault><faultcode>soap:Server</faultcode><faultstring>x</faultstring></soap:Fault>"
    yield "a fault in place of a request", replace(base, body_markup=fault), INVALID
    yield "a second soap:Header", body.replace(b"<soap:Body>", b"<soap:Header/><soap:Body>"), INVALID
    late = body.replace(b"</soap:Body>", b"</soap:Body><soap:Header/>")
    yield "a soap:Header after the soap:Body", late, INVALID
    second = f"<soap:Body>{other.envelope()}</soap:Body>".encode()
    yield "a second soap:Body after the first", body.replace(b"</soap:Envelope>", second + b"</soap:Envelope>"), INVALID
    yield "a second soap:Body before the first", body.replace(b"<soap:Body>", second + b"<soap:Body>"), INVALID
    yield "an element beside the soap:Body", body.replace(b"</soap:Envelope>", b"<x/></soap:Envelope>"), INVALID
    wrapper = f'<Wrapper><soap:Body Id="signed">{other.envelope()}</soap:Body></Wrapper>'
    yield "another patient's body wrapped into a header block", replace(base, extra_header_markup=wrapper), SERVED
    yield "another patient's body wrapped into the soap:Body", replace(base, body_markup=wrapper), INVALID
    href = '<itk:DistributionEnvelope href="#id1"/>'
    yield "an href in place of content", replace(base, body_markup=href), INVALID
    cycle = '<x id="id1" href="#id1"/>'
    yield "an href that points to itself", replace(base, extra_header_markup=cycle), SERVED
    unknown = '<x:trace xmlns:x="urn:x" soap:mustUnderstand="{}"/>'
    yield (
        "a header block that must be understood",
        replace(base, extra_header_markup=unknown.format("1")),
        Fault("MustUnderstand"),
    )
    yield (
        "a header block that must be understood, in words",
        replace(base, extra_header_markup=unknown.format("true")),
        Fault("MustUnderstand"),
    )
    yield "a header block that may be ignored", replace(base, extra_header_markup=unknown.format("0")), SERVED


def _addressing(base: Request) -> Iterator[Row]:
    """WS-Addressing that is missing, doubled, of another kind, or leads elsewhere."""
    body = base.body()
    again = "<wsa:MessageID>0A3C7C52-6C5B-4C1C-8F55-0B1C7C0C11AA</wsa:MessageID>"
    yield "no MessageID", replace(base, message_id=None), INVALID
    yield "two MessageIDs", replace(base, extra_header_markup=again), INVALID
    yield "a MessageID that is no UUID", replace(base, message_id="urn:uuid:1"), INVALID
    yield "a MessageID of full-width digits", replace(base, message_id=f"{base.message_id}"[:-1] + "\uff14"), INVALID
    yield "a MessageID with markup in it", body.replace(b"</wsa:MessageID>", b"<x/></wsa:MessageID>"), INVALID
    yield (
        "a MessageID with another behind it",
        replace(base, message_id=f"{base.message_id} {base.message_id}"),
        INVALID,
    )
    yield (
        "a MessageID in lower case with a prefix",
        replace(base, message_id=f"urn:uuid:{base.message_id}".lower()),
        SERVED,
    )
    yield "a MessageID with a comment in it", body.replace(b"</wsa:MessageID>", b"<!-- x --></wsa:MessageID>"), SERVED
    yield "no To", replace(base, to=None), INVALID
    yield "two Tos", replace(base, extra_header_markup="<wsa:To>http://127.0.0.1:9/</wsa:To>"), INVALID
    yield "no Action", replace(base, action=None), INVALID
    yield "two Actions", replace(base, extra_header_markup=f"<wsa:Action>{base.default_action}</wsa:Action>"), INVALID
    other_action = ACTION_PREFIX + Service.GET_NHS_NUMBER.value
    yield "an Action that differs from SOAPAction", replace(base, action=other_action), INVALID
    yield "a ReplyTo that leads elsewhere", replace(base, reply_to="http://127.0.0.1:9/collect"), INVALID
    parameters = (
        "<wsa:ReplyTo><wsa:Address>http://www.w3.org/2005/08/addressing/anonymous</wsa:Address>"
        "<wsa:ReferenceParameters><x/></wsa:ReferenceParameters></wsa:ReplyTo>"
    )
    yield "a ReplyTo with reference parameters", replace(base, extra_header_markup=parameters), INVALID
    fault_to = "<wsa:FaultTo><wsa:Address>http://127.0.0.1:9/collect</wsa:Address></wsa:FaultTo>"
    yield "a FaultTo that leads elsewhere", replace(base, extra_header_markup=fault_to), SERVED
    older = b"http://schemas.xmlsoap.org/ws/2004/08/addressing"
    yield "the WS-Addressing of 2004", body.replace(b"http://www.w3.org/2005/08/addressing", older), INVALID


def _security(base: Request) -> Iterator[Row]:
    """Timestamps and names that are missing, doubled, or not to be believed."""
    plain = replace(
        base, extra_security_markup="<wsse:UsernameToken><wsse:Username>x</wsse:Username></wsse:UsernameToken>"
    )
    stamp = "<wsu:Timestamp><wsu:Created>2001-01-01T00:00:00Z</wsu:Created></wsu:Timestamp>"
    late, early = base.now + timedelta(hours=2), base.now - timedelta(hours=2)
    yield "no security block", replace(base, security_markup=""), DENIED
    yield "two security blocks", replace(base, extra_header_markup="<wsse:Security/>"), DENIED
    yield "an empty security block", replace(base, security_markup="<wsse:Security/>"), DENIED
    yield "two timestamps", replace(base, extra_security_markup=stamp), DENIED
    yield "a timestamp without Created", replace(base, created=None), DENIED
    yield "a timestamp without Expires", replace(base, expires=None), DENIED
    yield (
        "a message that has expired",
        replace(base, created=_instant(early), expires=_instant(base.now - timedelta(seconds=1))),
        DENIED,
    )
    yield (
        "a message from the future",
        replace(base, created=_instant(late), expires=_instant(late + timedelta(minutes=1))),
        DENIED,
    )
    yield (
        "a message that expired before it was made",
        replace(
            base, created=_instant(base.now + timedelta(minutes=4)), expires=_instant(base.now + timedelta(minutes=3))
        ),
        DENIED,
    )
    yield "a local time", replace(base, created=_instant(base.now).removesuffix("Z")), DENIED
    yield "a time with an offset", replace(base, created=_instant(base.now).replace("Z", "+00:00")), DENIED
    yield "a day that no calendar has", replace(base, created="2026-02-30T09:00:00Z"), DENIED
    yield "a time of Arabic-Indic digits", replace(base, created="\u0662\u0660\u0662\u0666-03-02T09:00:00Z"), DENIED
    long = f"{_instant(base.now).removesuffix('Z')}.{'0' * 30_000}Z"
    yield "a time of thirty thousand digits", replace(base, created=long), SERVED
    yield "no username", replace(base, username=None), DENIED
    yield "an empty username", replace(base, username=" "), DENIED
    yield "two username tokens", plain, DENIED
    yield "another client's username", replace(base, username="other.example.nhs.uk"), DENIED
    yield "a username with markup in it", base.body().replace(b"</wsse:Username>", b"<x/></wsse:Username>"), DENIED


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def _envelope(base: Request) -> Iterator[Row]:
    """Distribution envelopes with something missing, doubled or contradicting."""
    body = base.body()
    item = '<itk:manifestitem id="x" mimetype="text/xml"/>'
    organisation = (None, "urn:nhs-uk:identity:ods:X26")
    yield "another element in the soap:Body", replace(base, body_markup="<itk:Envelope/>"), INVALID
    yield (
        "a distribution envelope of another namespace",
        body.replace(b'xmlns:itk="urn:nhs-itk:ns:201005"', b'xmlns:itk="urn:nhs-itk:ns:201105"'),
        INVALID,
    )
    yield "a header of another namespace", body.replace(b"<itk:header ", b'<itk:header xmlns:itk="urn:x" ', 1), INVALID
    yield "no service", replace(base, header_service=None), INVALID
    yield (
        "a service that differs from Action",
        replace(base, header_service=ACTION_PREFIX + Service.GET_NHS_NUMBER.value),
        INVALID,
    )
    yield "no tracking id", replace(base, tracking_id=None), INVALID
    yield "a tracking id in lower case", replace(base, tracking_id=f"{base.tracking_id}".lower()), INVALID
    yield "a tracking id with a prefix", replace(base, tracking_id=f"uuid:{base.tracking_id}"), INVALID
    yield (
        "two addresses",
        replace(base, addresses=("urn:nhs-uk:addressing:ods:A1", "urn:nhs-uk:addressing:ods:B2")),
        INVALID,
    )
    yield "no audit identity", replace(base, audit_ids=None), INPUT
    yield "an empty audit identity", replace(base, audit_ids=()), INPUT
    yield "a blank audit identity", replace(base, audit_ids=((None, " "), (None, ""))), INPUT
    yield "an audit identity without uri", replace(base, audit_ids=((None, None),)), INPUT
    yield (
        "an audit identity that names no organisation",
        replace(base, audit_ids=(("1.2.826.0.1285.0.2.0.65", "123456789012"),)),
        INPUT,
    )
    yield "no audit identity and no tracking id", replace(base, audit_ids=None, tracking_id=None), INPUT
    yield "five audit identities", replace(base, audit_ids=(organisation,) * 5), INVALID
    yield (
        "two auditIdentity elements",
        body.replace(b"<itk:auditIdentity>", b"<itk:auditIdentity/><itk:auditIdentity>"),
        INVALID,
    )
    yield "no manifest count", replace(base, manifest_count=None), INVALID
    yield "a manifest count of two", replace(base, manifest_count="2"), INVALID
    yield "a manifest count of full-width one", replace(base, manifest_count="\uff11"), INVALID
    yield "two manifest items", replace(base, extra_manifest_markup=item), INVALID
    yield "two manifest items, counted", replace(base, manifest_count="2", extra_manifest_markup=item), INVALID
    yield "a manifest item without id", replace(base, manifest_id=None), INVALID
    yield "an id that differs in case only", replace(base, payload_id=f"{base.payload_id}".lower()), INVALID
    yield "another payload's id", replace(base, payload_id="uuid_other"), INVALID
    yield "no mimetype", replace(base, mimetype=None), INVALID
    yield "another mimetype", replace(base, mimetype="text/html"), INVALID
    yield "no profile id", replace(base, profile_id=None), INVALID
    yield (
        "another service's profile id",
        replace(base, profile_id="urn:nhs-en:profile:getNHSNumberRequest-v1-0"),
        INVALID,
    )
    yield "metadata", replace(base, metadata="true"), INVALID
    yield "metadata that a toolkit has denied", replace(base, metadata="false"), SERVED
    yield "a flag that is no boolean", replace(base, compressed="yes"), INVALID
    yield "an encrypted payload", replace(base, encrypted="true"), UNSUPPORTED
    yield "a payload with a filename", replace(base, filename="../../etc/passwd"), INVALID
    yield "no payloads count", replace(base, payloads_count=None), INVALID
    yield "a payloads count of nothing", replace(base, payloads_count="0"), INVALID
    yield "two payloads", replace(base, extra_payloads_markup='<itk:payload id="x"/>'), INVALID
    yield (
        "an element that the envelope does not know",
        replace(base, extra_envelope_header_markup="<itk:priority/>"),
        INVALID,
    )
    yield "an element after the payloads", replace(base, extra_envelope_markup="<itk:payloads/>"), INVALID
    outer = Request().envelope().replace(payload_of(Service.VERIFY_NHS_NUMBER), "")
    yield "a distribution envelope in the payload", replace(base, payload=outer), INPUT


def _encoded_payloads(base: Request) -> Iterator[Row]:
    """base64 and gzip, as they are and as weapons."""
    content = payload_of(base.service, base.fields).encode()
    plain = replace(base, base64="true")
    packed = replace(plain, compressed="true")
    squeezed = gzip.compress(content)
    yield "a payload in base64", replace(plain, payload=_base64(content)), SERVED
    broken = base64.encodebytes(content).decode()
    yield "a payload in broken lines of base64", replace(plain, payload=broken), SERVED
    yield "a payload in gzip and base64", replace(packed, payload=_base64(squeezed)), SERVED
    halves = gzip.compress(content[:99]) + gzip.compress(content[99:])
    yield "a payload in two gzip members", replace(packed, payload=_base64(halves)), SERVED
    yield "base64 garbage", replace(plain, payload="@@@ not base64 @@@"), INVALID
    yield (
        "base64 without its padding",
        replace(plain, payload=_base64(content + b" " * (1 - len(content) % 3)).rstrip("=") + "A"),
        INVALID,
    )
    yield "base64 of other alphabets", replace(plain, payload="\u0410\u0411\u0412\u0413"), INVALID
    yield "elements where base64 was promised", plain, INVALID
    yield "base64 that is not gzip", replace(packed, payload=_base64(content)), INVALID
    yield "a zlib stream where gzip was promised", replace(packed, payload=_base64(zlib.compress(content))), INVALID
    yield "a gzip stream cut short", replace(packed, payload=_base64(squeezed[:-9])), INVALID
    yield "a gzip stream with a wrong checksum", replace(packed, payload=_base64(squeezed[:-8] + b"\0" * 8)), INVALID
    yield "a gzip stream with a tail", replace(packed, payload=_base64(squeezed + b"tail")), INVALID
    yield "a gzip bomb", replace(packed, payload=_base64(gzip.compress(b"<a>" + b" " * 30_000_000 + b"</a>"))), INVALID
    members = gzip.compress(b" " * 1_000) * 100
    yield "a gzip bomb of many members", replace(packed, payload=_base64(members)), INVALID
    yield "gzip without base64", replace(base, compressed="true"), INVALID
    yield "base64 of nothing", replace(plain, payload=" "), INPUT
    yield "gzip of nothing", replace(packed, payload=_base64(gzip.compress(b""))), INPUT
    yield "base64 that is not XML", replace(plain, payload=_base64(b"MSH|^~\\&|")), INPUT
    yield "base64 that is not UTF-8", replace(plain, payload=_base64(content.decode().encode("utf-16"))), INPUT
    entity = b'<!DOCTYPE e [<!ENTITY x SYSTEM "file:///etc/passwd">]><e>&x;</e>'
    yield "base64 that hides an external entity", replace(plain, payload=_base64(entity)), INPUT
    yield "base64 that hides deep nesting", replace(plain, payload=_base64(b"<a>" * 5_000 + b"</a>" * 5_000)), INPUT


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _payloads(base: Request) -> Iterator[Row]:
    """Payloads that are none, or that try to be read as another patient's."""
    service = base.service
    right = payload_of(service, base.fields)
    extension = f'extension="{NHS_NUMBER}"'
    named = payload_of(service, Fields(nhs_number=NHS_NUMBER, given="Orla", family="Quillfeather"))
    other_value = f'<value root="2.16.840.1.113883.2.1.4.1" extension="{OTHER_NHS_NUMBER}"/>'
    number = f"<Person.NHSNumber>{other_value}<semanticsText>Person.NHSNumber</semanticsText></Person.NHSNumber>"

    def changed(old: str, new: str, payload: str = right) -> Request:
        assert old in payload
        return replace(base, payload=payload.replace(old, new, 1))

    yield "no payload content", replace(base, payload=""), INPUT
    yield "text in place of a payload", replace(base, payload="9990000018"), INPUT
    yield "two elements in the payload", replace(base, payload=right * 2), INPUT
    yield "another service's payload", replace(base, payload=payload_of(Service.GET_NHS_NUMBER)), INPUT
    yield "another message's code", replace(base, payload=payload_of(service, code="getNHSNumberRequest-v1-0")), INPUT
    yield "a payload of no namespace", changed(' xmlns="urn:hl7-org:v3"', ""), INPUT
    yield "a payload of another namespace", changed("urn:hl7-org:v3", "urn:hl7-org:v2"), INPUT
    yield "a payload without its id", replace(base, payload=payload_of(service, payload_id=None)), INPUT
    yield "a second NHS number", replace(base, payload=payload_of(service, base.fields, extra_markup=number)), INPUT
    yield "a second NHS number before the first", changed("<Person.NHSNumber>", f"{number}<Person.NHSNumber>"), INPUT
    yield (
        "a second value in a parameter",
        changed(
            "<semanticsText>Person.NHS",
            f'<value root="2.16.840.1.113883.2.1.4.1" extension="{OTHER_NHS_NUMBER}"/><semanticsText>Person.NHS',
        ),
        INPUT,
    )
    yield (
        "a parameter that says it is another",
        changed("<semanticsText>Person.NHSNumber", "<semanticsText>Person.LocalIdentifier"),
        INPUT,
    )
    yield "an NHS number under another root", changed('root="2.16.840.1.113883.2.1.4.1"', 'root="1.2.3"'), INPUT
    foreign = f'<x:value xmlns:x="urn:x" extension="{OTHER_NHS_NUMBER}"/>'
    yield (
        "a value of another namespace before the value",
        changed('<value root="2.16.840.1.113883.2.1.4.1"', f'{foreign}<value root="2.16.840.1.113883.2.1.4.1"'),
        INPUT,
    )
    yield (
        "an extension attribute of another namespace",
        changed(extension, f'{extension} x:extension="{OTHER_NHS_NUMBER}" xmlns:x="urn:x"'),
        INPUT,
    )
    yield (
        "an NHS number of full-width digits",
        changed(extension, f'extension="{"".join(chr(0xFEE0 + ord(digit)) for digit in NHS_NUMBER)}"'),
        INPUT,
    )
    yield "an NHS number with a line break", changed(extension, f'extension="{NHS_NUMBER}&#10;"'), INPUT
    yield (
        "an NHS number in character references",
        changed(extension, f'extension="{"".join(f"&#{ord(digit)};" for digit in NHS_NUMBER)}"'),
        SERVED,
    )
    yield "an NHS number that is nil", changed("<Person.NHSNumber>", '<Person.NHSNumber xsi:nil="true">'), INPUT
    yield (
        "an NHS number with a null flavour",
        changed("<Person.NHSNumber>", '<Person.NHSNumber nullFlavor="UNK">'),
        INPUT,
    )
    yield "a query with a null flavour", changed("<queryEvent>", '<queryEvent nullFlavor="NI">'), INPUT
    yield "a date that xsi:type makes a code", changed('<value value="', '<value xsi:type="CV" code="1" value="'), INPUT
    yield "a date that xsi:type makes an interval", changed('<value value="', '<value xsi:type="IVL_TS" value="'), INPUT
    yield "a type from nowhere", changed('<value value="', '<value xmlns:x="urn:x" xsi:type="x:y" value="'), INPUT
    place = 'xsi:schemaLocation="urn:hl7-org:v3 http://127.0.0.1:9/x.xsd"'
    yield "a schema location that leads elsewhere", changed("<queryEvent>", f"<queryEvent {place}>"), SERVED
    yield (
        "comments and instructions in the payload",
        changed("<queryEvent>", f"<!-- {OTHER_NHS_NUMBER} --><?x y?><queryEvent>"),
        SERVED,
    )
    yield "a comment in a name", changed("Quillfeather", "Quill<!-- x -->feather", named), SERVED
    yield "an instruction in a name", changed("Quillfeather", "Quill<?x y?>feather", named), SERVED
    yield "CDATA in a name", changed("Quillfeather", "<![CDATA[Quill]]>feather", named), SERVED
    yield "an element in a name", changed("Quillfeather", 'Quill<x xmlns="urn:x"/>feather', named), INPUT
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
    yield "an inclusion in a name", changed("Quillfeather", include, named), INPUT
    yield "text between the parts of a name", changed("<given>", f"{OTHER_NHS_NUMBER}<given>", named), SERVED
    yield "two family names", changed("</family>", "</family><family>Other</family>", named), INPUT
    yield "a wildcard in a verification", changed("Quillfeather", "Quil*", named), INPUT
    yield "a date of birth in the future", changed('value="19710523"', 'value="29710523"'), INPUT
    yield "a date of birth that no calendar has", changed('value="19710523"', 'value="19710230"'), INPUT
    yield "a very long name", changed("Quillfeather", "Q" * 5_000, named), INPUT


def _http(base: Request) -> Iterator[HostileVector]:
    """The same request under other HTTP headers."""
    body = base.body()
    action = base.default_action
    unknown = ACTION_PREFIX + "getEverything-v1-0"
    elsewhere = replace(base, action=unknown, header_service=unknown).body()
    rows: tuple[tuple[str, str, str | None, bytes, Expected, bool], ...] = (
        ("an unknown action", TEXT_XML, f'"{unknown}"', elsewhere, INVALID, False),
        ("an unknown action without SOAPAction", TEXT_XML, None, elsewhere, INVALID, False),
        ("SOAPAction of another service", TEXT_XML, f'"{ACTION_PREFIX}getNHSNumber-v1-0"', body, INVALID, False),
        ("SOAPAction with one quote", TEXT_XML, f'"{action}', body, INVALID, False),
        ("SOAPAction in another case", TEXT_XML, action.upper(), body, INVALID, False),
        ("SOAPAction without quotes", TEXT_XML, action, body, SERVED, False),
        ("an empty SOAPAction", TEXT_XML, '""', body, SERVED, False),
        ("no SOAPAction", TEXT_XML, None, body, SERVED, False),
        ("text/xml without a charset", "text/xml", f'"{action}"', body, SERVED, False),
        ("text/xml in another case with a wrong charset", "Text/XML; Charset=iso-8859-1", action, body, SERVED, False),
        ("the content type of SOAP 1.2", "application/soap+xml", action, body, Fault("VersionMismatch"), True),
        ("JSON's content type", "application/json", action, body, Fault(status=415), True),
        ("a form's content type", "application/x-www-form-urlencoded", action, body, Fault(status=415), True),
        ("a multipart content type", 'multipart/related; boundary="x"', action, body, Fault(status=415), True),
        ("no content type", "", action, body, Fault(status=415), True),
        ("more than the size limit", TEXT_XML, action, b" " * 200_000 + body, Fault(status=413), True),
    )
    for name, content_type, soap_action, content, expected, edge_only in rows:
        yield HostileVector(name, content_type, soap_action, content, expected, edge_only)
