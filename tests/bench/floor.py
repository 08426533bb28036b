"""The floor: the XML work of one verification in straight-line lxml, with no checks, no ids, no audit.

Parse, read and validate the request, build and serialise one Spine query, parse and read one answer, build, validate
and serialise the response. Everything the provider does besides has its price told as a ratio to this.
"""

from collections.abc import Callable

from lxml import etree

from smsp_provider.xmlcore.names import HL7, ITK, SOAP11, WSA, WSA_SPINE, WSSE, WSU
from smsp_provider.xmlcore.schemas import SchemaName, Schemas

_SOAP = f"{{{SOAP11}}}"
_ADDRESSING = f"{{{WSA}}}"
_ENVELOPE = f"{{{ITK}}}"
_V3 = f"{{{HL7}}}"
_SPINE_ADDRESSING = f"{{{WSA_SPINE}}}"
_SECURITY = f"{{{WSSE}}}"
_UTILITY = f"{{{WSU}}}"
_NHS_NUMBER = "2.16.840.1.113883.2.1.4.1"
_ASID = "1.2.826.0.1285.0.2.0.107"
_UUID = "8B5A4C1E-3D27-4F6A-9C10-0000000000AA"
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)


def floor(schemas: Schemas) -> Callable[[bytes, bytes], bytes]:
    """The work as a function of a request and Spine's answer; returns the response."""

    def work(request: bytes, answer: bytes) -> bytes:
        number, born = _read_request(request, schemas)
        _build_query(number, born)
        return _build_response(_read_answer(answer), schemas)

    return work


def _read_request(request: bytes, schemas: Schemas) -> tuple[str, str]:
    """Parse, read every field that a provider has to look at, validate envelope and payload."""
    header, body = etree.fromstring(request, _PARSER)
    texts = {block.tag: block.text for block in header}
    security = header.find(f"{_SECURITY}Security")
    assert security is not None
    assert texts[f"{_ADDRESSING}MessageID"]
    assert texts[f"{_ADDRESSING}To"]
    assert texts[f"{_ADDRESSING}Action"]
    assert security.findtext(f"{_UTILITY}Timestamp/{_UTILITY}Created")
    assert security.findtext(f"{_UTILITY}Timestamp/{_UTILITY}Expires")
    assert security.findtext(f"{_SECURITY}UsernameToken/{_SECURITY}Username")
    envelope = body[0]
    itk_header = envelope.find(f"{_ENVELOPE}header")
    assert itk_header is not None
    assert itk_header.get("service")
    assert itk_header.get("trackingid")
    assert [identity.get("uri") for identity in itk_header.iterfind(f"{_ENVELOPE}auditIdentity/{_ENVELOPE}id")]
    item = itk_header.find(f"{_ENVELOPE}manifest/{_ENVELOPE}manifestitem")
    assert item is not None
    payload = envelope.find(f"{_ENVELOPE}payloads/{_ENVELOPE}payload")
    assert payload is not None
    assert payload.get("id") == item.get("id")
    assert item.get("profileid")
    assert item.get("mimetype")
    message = payload[0]
    assert schemas.is_valid(SchemaName.DISTRIBUTION_ENVELOPE, envelope)
    assert schemas.is_valid(SchemaName.VERIFY_NHS_NUMBER_REQUEST, message)
    query = message.find(f"{_V3}queryEvent")
    assert query is not None
    born = query.find(f"{_V3}Person.DateOfBirth/{_V3}value")
    number = query.find(f"{_V3}Person.NHSNumber/{_V3}value")
    assert born is not None
    assert number is not None
    assert query.findtext(f"{_V3}Person.Name/{_V3}value/{_V3}family")
    assert query.findtext(f"{_V3}Person.Name/{_V3}value/{_V3}given")
    assert query.find(f"{_V3}Person.LocalIdentifier/{_V3}value") is None
    return number.get("extension", ""), born.get("value", "")


def _build_query(number: str, born: str) -> bytes:
    element = etree.SubElement
    root = etree.Element(f"{_SOAP}Envelope", nsmap={"soap": SOAP11, "wsa": WSA_SPINE, "hl7": HL7})
    header = element(root, f"{_SOAP}Header")
    for name, text in (
        ("MessageID", f"uuid:{_UUID}"),
        ("Action", "urn:nhs:names:services:pdsquery/QUPA_IN000014UK01"),
        ("To", "https://spine.invalid/sync-service"),
    ):
        element(header, f"{_SPINE_ADDRESSING}{name}").text = text
    for name in ("communicationFunctionRcv", "communicationFunctionSnd"):
        device = element(element(header, f"{_V3}{name}"), f"{_V3}device")
        element(device, f"{_V3}id", root=_ASID, extension="200000000205")
    message = element(element(root, f"{_SOAP}Body"), f"{_V3}QUPA_IN000014UK01")
    element(message, f"{_V3}id", root=_UUID)
    element(message, f"{_V3}creationTime", value="20260302093000")
    element(message, f"{_V3}versionCode", code="3NPfIT6.2.02")
    element(message, f"{_V3}interactionId", root="2.16.840.1.113883.2.1.3.2.4.12", extension="QUPA_IN000014UK01")
    for name, code in (("processingCode", "P"), ("processingModeCode", "T"), ("acceptAckCode", "NE")):
        element(message, f"{_V3}{name}", code=code)
    for name, code in (("communicationFunctionRcv", "RCV"), ("communicationFunctionSnd", "SND")):
        function = element(message, f"{_V3}{name}", typeCode=code)
        device = element(function, f"{_V3}device", classCode="DEV", determinerCode="INSTANCE")
        element(device, f"{_V3}id", root=_ASID, extension="200000000205")
    act = element(message, f"{_V3}ControlActEvent", classCode="CACT", moodCode="EVN")
    agent = element(element(act, f"{_V3}author1", typeCode="AUT"), f"{_V3}AgentSystemSDS", classCode="AGNT")
    system = element(agent, f"{_V3}agentSystemSDS", classCode="DEV", determinerCode="INSTANCE")
    element(system, f"{_V3}id", root=_ASID, extension="200000000205")
    query = element(act, f"{_V3}query")
    birth = element(query, f"{_V3}person.birthTime")
    element(birth, f"{_V3}semanticsText").text = "Person.birthTime"
    element(birth, f"{_V3}value", value=born)
    person = element(query, f"{_V3}person.id")
    element(person, f"{_V3}semanticsText").text = "Person.id"
    element(person, f"{_V3}value", root=_NHS_NUMBER, extension=number)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def _read_answer(answer: bytes) -> str:
    """Parse, read correlation, outcome and everything that the record says about the patient."""
    header, body = etree.fromstring(answer, _PARSER)
    assert header.findtext(f"{_SPINE_ADDRESSING}RelatesTo")
    message = body[0][0]
    acknowledgement = message.find(f"{_V3}acknowledgement")
    reference = message.find(f"{_V3}acknowledgement/{_V3}messageRef/{_V3}id")
    act = message.find(f"{_V3}ControlActEvent")
    assert acknowledgement is not None
    assert reference is not None
    assert act is not None
    assert acknowledgement.get("typeCode") == "AA"
    assert reference.get("root")
    outcome = act.find(f"{_V3}queryAck/{_V3}queryResponseCode")
    assert outcome is not None
    assert outcome.get("code") == "OK"
    assert not [code.get("code") for code in act.iterfind(f"{_V3}reason/*/{_V3}code")]
    patient = act.find(f"{_V3}subject/*/{_V3}subject/{_V3}patientRole")
    assert patient is not None
    number, person = patient.find(f"{_V3}id"), patient.find(f"{_V3}patientPerson")
    assert number is not None
    assert person is not None
    born, gender = person.find(f"{_V3}birthTime"), person.find(f"{_V3}administrativeGenderCode")
    assert born is not None
    assert born.get("value")
    assert gender is not None
    assert gender.get("code")
    assert patient.find(f"{_V3}confidentialityCode") is None
    assert person.find(f"{_V3}deceasedTime") is None
    for name in person.iterfind(f"{_V3}name"):
        assert [name.get("use")] + [part.text for part in name]
        assert _period(name.find(f"{_V3}validTime"))
    for address in patient.iterfind(f"{_V3}addr"):
        assert [address.get("use")] + [line.text for line in address]
        assert _period(address.find(f"{_V3}useablePeriod"))
    for telecom in patient.iterfind(f"{_V3}telecom"):
        assert telecom.get("value")
        assert telecom.get("use")
        assert _period(telecom.find(f"{_V3}useablePeriod"))
    for provision in person.iterfind(f"{_V3}playedOtherProviderPatient/{_V3}subjectOf/{_V3}patientCareProvision"):
        code, practice = provision.find(f"{_V3}code"), provision.find(f"{_V3}performer/*/{_V3}id")
        assert code is not None
        assert code.get("code")
        assert practice is not None
        assert practice.get("extension")
        assert _period(provision.find(f"{_V3}effectiveTime"))
    return number.get("extension", "")


def _period(interval: etree._Element | None) -> list[str | None]:
    """When something applies: without it nobody can tell which name or address is the current one."""
    assert interval is not None
    return [end.get("value") for end in interval]


def _build_response(number: str, schemas: Schemas) -> bytes:
    element = etree.SubElement
    root = etree.Element(f"{_SOAP}Envelope", nsmap={"soap": SOAP11, "wsa": WSA, "itk": ITK})
    header = element(root, f"{_SOAP}Header")
    for name, text in (
        ("MessageID", _UUID),
        ("Action", "urn:nhs-itk:services:201005:verifyNHSNumber-v1-0Response"),
        ("RelatesTo", _UUID),
    ):
        element(header, f"{_ADDRESSING}{name}").text = text
    envelope = element(element(root, f"{_SOAP}Body"), f"{_ENVELOPE}DistributionEnvelope")
    service = "urn:nhs-itk:services:201005:verifyNHSNumber-v1-0Response"
    itk_header = element(envelope, f"{_ENVELOPE}header", service=service, trackingid=_UUID)
    manifest = element(itk_header, f"{_ENVELOPE}manifest", count="1")
    element(
        manifest,
        f"{_ENVELOPE}manifestitem",
        id=f"uuid_{_UUID}",
        mimetype="text/xml",
        profileid="urn:nhs-en:profile:verifyNHSNumberResponse-v1-0",
    )
    payloads = element(envelope, f"{_ENVELOPE}payloads", count="1")
    payload = element(payloads, f"{_ENVELOPE}payload", id=f"uuid_{_UUID}")
    response = element(
        payload, f"{_V3}verifyNHSNumberResponse-v1-0", nsmap={None: HL7}, classCode="OBS", moodCode="EVN"
    )
    element(response, f"{_V3}id", root=_UUID)
    codes = "2.16.840.1.113883.2.1.3.2.4.17."
    element(response, f"{_V3}code", code="verifyNHSNumberResponse-v1-0", codeSystem=f"{codes}284")
    element(response, f"{_V3}value", code="SMSP-0000", codeSystem=f"{codes}285")
    component = element(response, f"{_V3}component", typeCode="COMP")
    valid = element(component, f"{_V3}validIdentifier", classCode="OBS", moodCode="EVN")
    element(valid, f"{_V3}code", code="VI", codeSystem=f"{codes}287")
    element(valid, f"{_V3}value", value="true")
    patient = element(element(valid, f"{_V3}subject", typeCode="SBJ"), f"{_V3}patient", classCode="PAT")
    element(patient, f"{_V3}id", root=_NHS_NUMBER, extension=number)
    assert schemas.is_valid(SchemaName.DISTRIBUTION_ENVELOPE, envelope)
    assert schemas.is_valid(SchemaName.VERIFY_NHS_NUMBER_RESPONSE, response)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")
