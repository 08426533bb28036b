"""Valid documents of every message, made from a seed: optional elements on and off, values in all their forms.

Written against the published schemas, not ours. Every document is valid by them; the differential test says so first.
"""

import random
from collections.abc import Callable

from lxml import etree

from smsp_provider.xmlcore.names import HL7, ITK, XSI
from smsp_provider.xmlcore.schemas import SchemaName

NULL_FLAVOURS = ("NI", "NA", "UNK", "NASK", "ASKU", "NAV", "OTH", "PINF", "NINF")
NAMES = ("Ann", "O'Neill", "Zo\u00eb", "d\u2019Arcy", "Sm*", "", " ", "\n\t", "A" * 40, "Li & Co", "<", "\U0001f600")
ROOTS = ("2.16.840.1.113883.2.1.3.2.4.18.24", "1", "1.0.3", "0.0.0")
MOMENTS = (
    "19890101",
    "198901",
    "1989",
    "1",
    "198901011",
    "19890101120000",
    "198901011200+0100",
    "20200101120000.123-1",
)


class Writer:
    """Makes elements of one document, with chance decided by one seed."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)

    def sometimes(self, odds: float = 0.5) -> bool:
        return self.chance.random() < odds

    def element(self, parent: etree._Element, name: str, **attributes: str) -> etree._Element:
        return etree.SubElement(parent, f"{{{HL7}}}{name}", attributes)

    def pick(self, *values: str) -> str:
        return self.chance.choice(values)

    def uuid(self) -> str:
        digits = "".join(self.chance.choices("0123456789ABCDEF", k=32))
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def structure(self, element: etree._Element) -> etree._Element:
        """What every class of a message may open with."""
        if self.sometimes(0.1):
            element.set("nullFlavor", self.pick(*NULL_FLAVOURS, "MSK", "QS", "TRC"))
        if self.sometimes(0.1):
            element.set("updateMode", self.pick("added", "altered", "removed", "unchanged"))
        while self.sometimes(0.06):
            self.data(self.element(element, "realmCode", code=self.pick("GB", "UK", "")))
        if self.sometimes(0.08):
            self.identifier(self.element(element, "typeId"))
        while self.sometimes(0.12):
            self.identifier(self.element(element, "templateId"))
        return element

    def data(self, element: etree._Element) -> etree._Element:
        if self.sometimes(0.05):
            element.set("nullFlavor", self.pick(*NULL_FLAVOURS))
        if self.sometimes(0.05):
            element.set("updateMode", self.pick("added", "altered", "removed", "unchanged"))
        return element

    def identifier(self, element: etree._Element) -> etree._Element:
        """An II with any of its attributes."""
        if self.sometimes(0.9):
            element.set("root", self.pick(*ROOTS, self.uuid(), "A-Name1"))
        if self.sometimes(0.7):
            element.set("extension", self.pick("COMT_MT000013GB01", " ", "x y"))
        if self.sometimes(0.1):
            element.set("assigningAuthorityName", "NHS")
        if self.sometimes(0.1):
            element.set("displayable", self.pick("true", "false", " true "))
        return self.data(element)

    def text(self, element: etree._Element, value: str) -> etree._Element:
        element.text = value
        if self.sometimes(0.08):
            element.set("representation", self.pick("TXT", "B64", " TXT "))
        if self.sometimes(0.08):
            element.set("mediaType", self.pick("text/plain", "", " x "))
        if self.sometimes(0.05):
            element.set("language", "en-GB")
        if self.sometimes(0.03):
            element.set("compression", self.pick("DF", "GZ", "ZL", "Z"))
        if self.sometimes(0.03):
            element.set("integrityCheck", self.pick("", "AAAA", "AA==", " A A A A "))
        if self.sometimes(0.03):
            element.set("integrityCheckAlgorithm", self.pick("SHA-1", "SHA-256"))
        return self.data(element)

    def parameter(self, query: etree._Element, name: str) -> etree._Element:
        """A Person.X element up to its value."""
        return self.structure(self.element(query, f"Person.{name}"))

    def semantics(self, parameter: etree._Element, name: str) -> None:
        text = self.element(parameter, "semanticsText")
        self.text(text, self.pick(f"Person.{name}", f"Person.{name}", f"Person.{name}", ""))
        if self.sometimes(0.1):
            text.text = None

    def name_parts(self, element: etree._Element, *parts: tuple[str, str]) -> None:
        for name, part_type in parts:
            part = self.text(self.element(element, name), self.pick(*NAMES))
            if self.sometimes(0.1):
                part.set("partType", self.pick(part_type, f" {part_type} "))
            if self.sometimes(0.1):
                part.set("qualifier", self.pick("BR", "SP VV", "", "  AC\tPR NB LS CL IN "))
        if self.sometimes(0.1):
            element.text = self.pick("Dr ", "\n  ", "\u00a0")
        if len(element) and self.sometimes(0.05):
            element[-1].tail = "jr"

    def name_use(self, element: etree._Element) -> None:
        if self.sometimes(0.2):
            element.set("use", self.pick("L", "A", "I R", "", "ABC SYL IDE", "PREVIOUS-BIRTH", " PREFERRED\nPREVIOUS "))

    def address_part(self, parent: etree._Element, name: str) -> None:
        part = self.text(self.element(parent, name), self.pick("LS1 4HY", "ls14hy", "", "41 Manor Grove", "LS1*"))
        if self.sometimes(0.1):
            part.set("partType", self.pick("ZIP", "SAL", "DEL", "ADDRK"))


def request(writer: Writer, schema: SchemaName) -> etree._Element:
    """A whole request payload."""
    root_name, code, parameters = _REQUESTS[schema]
    root = etree.Element(
        f"{{{HL7}}}{root_name}", {"classCode": "CACT", "moodCode": "EVN"}, nsmap={None: HL7, "xsi": XSI}
    )
    _message_head(writer, root, code)
    query = writer.structure(writer.element(root, "queryEvent"))
    for name, write, required in parameters:
        if required or writer.sometimes(0.6):
            write(writer, writer.parameter(query, name))
            writer.semantics(query[-1], name)
            if not required and writer.sometimes(0.1):
                _make_nil(query[-1])
    return root


def _message_head(writer: Writer, root: etree._Element, code: str) -> None:
    writer.structure(root)
    if writer.sometimes(0.3):
        root.set(f"{{{XSI}}}schemaLocation", f"{HL7} ../../Schemas/any.xsd")
    writer.element(root, "id", root=writer.uuid())
    writer.element(
        root, "code", code=writer.pick(code, code, f" {code}\t"), codeSystem="2.16.840.1.113883.2.1.3.2.4.17.284"
    )


def _make_nil(element: etree._Element) -> None:
    for child in list(element):
        element.remove(child)
    element.text = None
    element.set(f"{{{XSI}}}nil", "true")


def _moment(writer: Writer, parameter: etree._Element) -> None:
    writer.element(parameter, "value", value=writer.pick(*MOMENTS))


def _gender(writer: Writer, parameter: etree._Element) -> None:
    _gender_code(writer, writer.element(parameter, "value"))


def _gender_code(writer: Writer, element: etree._Element) -> None:
    element.set("code", writer.pick("0", "1", "2", "9", " 1 "))
    element.set("codeSystem", "2.16.840.1.113883.2.1.3.2.4.16.25")


def _nhs_number(writer: Writer, parameter: etree._Element) -> None:
    writer.element(
        parameter, "value", root="2.16.840.1.113883.2.1.4.1", extension=writer.pick("9999345201", "x", " ", "\u0663")
    )


def _local(writer: Writer, parameter: etree._Element) -> None:
    writer.element(parameter, "value", root=writer.pick(*ROOTS), extension=writer.pick("H123", " ", "a b"))


def _name_to_compare(writer: Writer, parameter: etree._Element) -> None:
    value = writer.element(parameter, "value")
    writer.name_use(value)
    _some_name(writer, value)


def _name_to_search(writer: Writer, parameter: etree._Element) -> None:
    _some_name(writer, writer.element(parameter, "value"))


def _some_name(writer: Writer, value: etree._Element) -> None:
    parts = [part for part in (("given", "GIV"), ("family", "FAM")) if writer.sometimes(0.8)]
    writer.name_parts(value, *parts)


def _postcode(writer: Writer, parameter: etree._Element) -> None:
    value = writer.element(parameter, "value")
    writer.address_part(value, "postalCode")
    if writer.sometimes(0.1):
        value.text = "near "


_Parameter = tuple[str, Callable[[Writer, etree._Element], None], bool]
_BIRTH: _Parameter = ("DateOfBirth", _moment, True)
_LOCAL: _Parameter = ("LocalIdentifier", _local, False)
_NUMBER: _Parameter = ("NHSNumber", _nhs_number, True)
_COMPARE: _Parameter = ("Name", _name_to_compare, False)
_POSTCODE: _Parameter = ("Postcode", _postcode, False)
_SEARCH: tuple[_Parameter, ...] = (
    _BIRTH,
    ("Gender", _gender, True),
    _LOCAL,
    ("Name", _name_to_search, True),
    _POSTCODE,
)
_REQUESTS: dict[SchemaName, tuple[str, str, tuple[_Parameter, ...]]] = {
    SchemaName.VERIFY_NHS_NUMBER_REQUEST: (
        "verifyNHSNumberRequest-v1-0",
        "verifyNHSNumberRequest-v1-0",
        (_BIRTH, _NUMBER, _COMPARE),
    ),
    SchemaName.GET_NHS_NUMBER_REQUEST: ("getNHSNumberRequest-v1-0", "getNHSNumberRequest-v1-0", _SEARCH),
    SchemaName.GET_PATIENT_DETAILS_BY_NHS_NUMBER_REQUEST: (
        "getPatientDetailsByNHSNumberRequest-v1-0",
        "getPatientDetailsByNHSNumberRequest-v1-0",
        (_BIRTH, _LOCAL, _NUMBER, _COMPARE),
    ),
    SchemaName.GET_PATIENT_DETAILS_BY_SEARCH_REQUEST: (
        "getPatientDetailsBySearchRequest-v1-0",
        "getPatientDetailsBySearchRequest-v1-0",
        _SEARCH,
    ),
    SchemaName.GET_PATIENT_DETAILS_REQUEST: (
        "getPatientDetails-v1-0",
        "getPatientDetailsRequest-v1-0",
        (
            _BIRTH,
            ("Gender", _gender, False),
            _LOCAL,
            ("NHSNumber", _nhs_number, False),
            _COMPARE,
            _POSTCODE,
        ),
    ),
}


def response(writer: Writer, schema: SchemaName) -> etree._Element:
    """A whole response payload."""
    name = _RESPONSES[schema]
    root = etree.Element(f"{{{HL7}}}{name}", {"classCode": "OBS", "moodCode": "EVN"}, nsmap={None: HL7, "xsi": XSI})
    _message_head(writer, root, name)
    code = writer.pick("SMSP-0000", "DEMOG-0017", "", " DEMOG-0040 ")
    writer.element(root, "value", code=code, codeSystem="2.16.840.1.113883.2.1.3.2.4.17.285")
    if writer.sometimes(0.15):
        return root
    if schema is SchemaName.VERIFY_NHS_NUMBER_RESPONSE:
        _verified(writer, root)
    else:
        patient = _patient(writer, root)
        for _ in range(writer.chance.randint(1, 2)):
            writer.identifier(writer.element(patient, "id"))
        if schema is SchemaName.GET_PATIENT_DETAILS_RESPONSE:
            _details(writer, patient)
    return root


_RESPONSES = {
    SchemaName.VERIFY_NHS_NUMBER_RESPONSE: "verifyNHSNumberResponse-v1-0",
    SchemaName.GET_NHS_NUMBER_RESPONSE: "getNHSNumberResponse-v1-0",
    SchemaName.GET_PATIENT_DETAILS_RESPONSE: "getPatientDetailsResponse-v1-0",
}


def _patient(writer: Writer, parent: etree._Element) -> etree._Element:
    subject = writer.structure(writer.element(parent, "subject", typeCode="SBJ"))
    return writer.structure(writer.element(subject, "patient", classCode="PAT"))


def _verified(writer: Writer, root: etree._Element) -> None:
    component = writer.structure(writer.element(root, "component", typeCode="COMP"))
    valid = writer.structure(writer.element(component, "validIdentifier", classCode="OBS", moodCode="EVN"))
    writer.element(valid, "code", code="VI", codeSystem="2.16.840.1.113883.2.1.3.2.4.17.287")
    writer.element(valid, "value", value=writer.pick("true", "false"))
    patient = _patient(writer, valid)
    writer.element(patient, "id", root="2.16.840.1.113883.2.1.4.1", extension="9999345201")


def _details(writer: Writer, patient: etree._Element) -> None:
    if writer.sometimes(0.8):
        name = writer.element(patient, "name")
        writer.name_use(name)
        parts = [("prefix", "PFX"), ("given", "GIV"), ("given", "GIV"), ("family", "FAM")]
        writer.name_parts(name, *[part for part in parts if writer.sometimes(0.7)])
    for _ in range(writer.chance.randint(0, 3)):
        _address(writer, patient)
    for _ in range(writer.chance.randint(0, 3)):
        _telecom(writer, patient)
    if writer.sometimes(0.8):
        _person(writer, writer.element(patient, "patientPerson", classCode="PSN", determinerCode="INSTANCE"))


def _address(writer: Writer, parent: etree._Element) -> None:
    address = writer.element(parent, "addr")
    if writer.sometimes():
        address.set("use", writer.pick("H", "TMP", "PST", "HP HV WP", "", " PHYS BAD ABC SYL IDE"))
    if writer.sometimes():
        writer.address_part(address, "postalCode")
    for _ in range(5):
        writer.address_part(address, "streetAddressLine")


def _telecom(writer: Writer, parent: etree._Element) -> None:
    telecom = writer.data(writer.element(parent, "telecom"))
    if writer.sometimes(0.9):
        telecom.set("value", writer.pick("tel:01132000000", "mailto:a@example.org", "x+-1:", "tel:0113 2000000"))
    if writer.sometimes():
        telecom.set("use", writer.pick("H", "HP", "MC", "HV WP AS", "EC PG", ""))


def _person(writer: Writer, person: etree._Element) -> None:
    writer.structure(person)
    if writer.sometimes():
        _gender_code(writer, writer.element(person, "administrativeGenderCode"))
    for name in ("birthTime", "deceasedTime"):
        if writer.sometimes():
            writer.element(person, name, value=writer.pick(*MOMENTS))
    if writer.sometimes():
        practice = writer.structure(writer.element(person, "gPPractice", classCode="SDLOC"))
        if writer.sometimes():
            _address(writer, practice)
        if writer.sometimes():
            _telecom(writer, practice)
        if writer.sometimes():
            organisation = writer.element(practice, "locationOrganization", classCode="ORG", determinerCode="INSTANCE")
            writer.structure(organisation)
            if writer.sometimes():
                writer.element(organisation, "id", root=writer.pick(*ROOTS), extension="YT4")
            if writer.sometimes():
                called = writer.data(writer.element(organisation, "name"))
                called.text = writer.pick(*NAMES)
                writer.name_use(called)


def envelope(writer: Writer, _schema: SchemaName) -> etree._Element:
    """A whole distribution envelope around a small payload."""
    itk = f"{{{ITK}}}"
    root = etree.Element(f"{itk}DistributionEnvelope", nsmap={"itk": ITK, "xsi": XSI})
    header = etree.SubElement(root, f"{itk}header", service="urn:a", trackingid=writer.uuid())
    if writer.sometimes():
        addresses = etree.SubElement(header, f"{itk}addresslist")
        for _ in range(writer.chance.randint(1, 2)):
            _itk_address(writer, addresses, "address")
    if writer.sometimes(0.8):
        identity = etree.SubElement(header, f"{itk}auditIdentity")
        for _ in range(writer.chance.randint(1, 4)):
            _itk_address(writer, identity, "id")
    count = writer.chance.randint(1, 2)
    ids = [f"uuid_{writer.uuid()}" for _ in range(count)]
    manifest = etree.SubElement(header, f"{itk}manifest", count=writer.pick(str(count), " +1 ", "-007"))
    for identifier in ids:
        item = etree.SubElement(manifest, f"{itk}manifestitem", id=identifier, mimetype="text/xml")
        if writer.sometimes():
            item.set("profileid", "urn:nhs-en:profile:any-v1-0")
        for flag in ("metadata", "compressed", "base64", "encrypted"):
            if writer.sometimes(0.3):
                item.set(flag, writer.pick("true", "false", "1", "0", " true "))
    if writer.sometimes(0.3):
        _itk_address(writer, header, "senderAddress")
    if writer.sometimes(0.3):
        handling = etree.SubElement(header, f"{itk}handlingSpecification")
        etree.SubElement(
            handling, f"{itk}spec", key="urn:nhs-itk:ns:201005:ackrequested", value=writer.pick("", "true")
        )
    payloads = etree.SubElement(root, f"{itk}payloads", count=str(count))
    for identifier in ids:
        payload = etree.SubElement(payloads, f"{itk}payload", id=identifier)
        if writer.sometimes(0.2):
            payload.set("filename", "a.xml")
        if writer.sometimes(0.8):
            etree.SubElement(payload, writer.pick(f"{{{HL7}}}verifyNHSNumberRequest-v1-0", "plain")).text = "x"
        else:
            payload.text = "QUJD"
    return root


def _itk_address(writer: Writer, parent: etree._Element, name: str) -> None:
    address = etree.SubElement(parent, f"{{{ITK}}}{name}", uri=writer.pick("urn:nhs-uk:identity:ods:rht", "", " a b "))
    if writer.sometimes():
        address.set("type", writer.pick("1.2.826.0.1285.0.2.0.107", ""))


def error_info(writer: Writer, _schema: SchemaName) -> etree._Element:
    """A fault's detail."""
    root = etree.Element(f"{{{ITK}}}ToolkitErrorInfo", nsmap={"itk": ITK, "xsi": XSI})
    etree.SubElement(root, f"{{{ITK}}}ErrorID").text = writer.pick(writer.uuid(), "", "urn:uuid:1")
    code = etree.SubElement(root, f"{{{ITK}}}ErrorCode")
    code.text = writer.pick("1000", "2100", "2200", "3000", "")
    if writer.sometimes():
        code.set("codeSystem", writer.pick("2.16.840.1.113883.2.1.3.2.4.17.268", ""))
    etree.SubElement(root, f"{{{ITK}}}ErrorText").text = "The message is invalid"
    if writer.sometimes():
        etree.SubElement(root, f"{{{ITK}}}ErrorDiagnosticText").text = writer.pick("profileid is missing", "")
    return root


MAKERS: dict[SchemaName, Callable[[Writer, SchemaName], etree._Element]] = {
    **dict.fromkeys(_REQUESTS, request),
    **dict.fromkeys(_RESPONSES, response),
    SchemaName.DISTRIBUTION_ENVELOPE: envelope,
    SchemaName.TOOLKIT_ERROR_INFO: error_info,
}
REQUESTS = tuple(_REQUESTS)


def valid_document(schema: SchemaName, seed: int) -> etree._Element:
    """One valid document; the same one for the same seed."""
    root = MAKERS[schema](Writer(f"{schema.value} {seed}"), schema)
    # Through its bytes, because a tree made by hand can hold empty text nodes, which no parser makes.
    return etree.fromstring(etree.tostring(root))
