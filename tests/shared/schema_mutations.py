"""Seeded damage to a document: whatever a sender, a library or a typing error could do to it."""

import random
from collections.abc import Callable
from copy import deepcopy

from lxml import etree

from smsp_provider.xmlcore.names import HL7, ITK, XSI

_FOREIGN = "urn:example:foreign"
_NAMES = (
    "id", "code", "value", "queryEvent", "semanticsText", "given", "family", "prefix", "suffix", "delimiter",
    "postalCode", "streetAddressLine", "realmCode", "typeId", "templateId", "reference", "thumbnail", "originalText",
    "translation", "qualifier", "useablePeriod", "validTime", "low", "patient", "subject", "addr", "telecom", "name",
    "Person.DateOfBirth", "Person.Gender", "Person.LocalIdentifier", "Person.NHSNumber", "Person.Name",
    "Person.Postcode", "manifestitem", "payload", "address", "spec", "ErrorText", "HL7Content", "nonsense",
)  # fmt: skip
TYPES = (
    "II", "CS", "CV", "CD", "ST", "ED", "TS", "IVL_TS", "PN", "EN", "AD", "ADXP", "ENXP", "TEL", "BL", "ON", "ANY",
    "SC", "II.NHS.IdentifierType1", "II.NHS.IdentifierType2", "II.NHS.IdentifierType3", "II.NPfIT.oid.required",
    "II.NPfIT.uuid.mandatory", "TS.NHS.TimestampType1", "TS.NHS.TimestampType2", "TS.NHS.TimestampType3",
    "TS.NHS.TimestampType4", "PN.NHS.PersonNameType1", "PN.NHS.PersonNameType2", "PN.NHS.PersonNameType3",
    "AD.NHS.AddressType1", "AD.NHS.AddressType2", "CV.NHS.CodedValueType1", "en.given", "en.family", "en.prefix",
    "QUPA_MT000001GB01.Person.Name", "QUPA_MT000002GB01.Person.Gender", "COMT_MT000016GB01.Patient", "cs", "st", "uid",
    "code", "text", "identifier", "gender", "addressType", "identityType", "payloadType", "uuid", "xsd:string",
    "xsd:token", "xsd:anyURI", "NHSNumberType", "distributionEnvelopeType", "ToolkitErrorInfoStruct",
)  # fmt: skip
_VALUES = (
    "", " ", "\t", "0", "1", "2", "9", "true", "false", "TRUE", "NI", " NI ", "MSK", "L", "L A", "H", "H,MC", "\u00a0",
    "19890101", "1989-01-01", "198901011", "19890101120000.1", "19890101120000.", "1989010112+0100", "19890101+0100",
    "19890101120000+01000", "1" * 15, "\u0661\u0669\u0668\u0669", " 19890101", "19890101 ", "9999345201", "99993452010",
    "2.16.840.1.113883.2.1.4.1", "2.16.840.1.113883.2.1.3.2.4.16.25", "2.16.840.1.113883.2.1.3.2.4.17.284", "2..16",
    "2.16.", "02.16", "16C2662F-1C6E-4F38-9B3F-5084F46CE3E1", "16c2662f-1c6e-4f38-9b3f-5084f46ce3e1",
    "{16C2662F-1C6E-4F38-9B3F-5084F46CE3E1}", "16C2662F1C6E4F389B3F5084F46CE3E1", "urn:uuid:1", "a-B9", "-a", "9a",
    "Person.Name", "Person.DateOfBirth ", "person.name", "SMSP-0001", "DEMOG 0001", "VI", "CACT", "EVN", "OBS", "GIV",
    "FAM", "ZIP", "added", "Added", "text/plain", "B64", "AAAA", "AAA", "SHA-1", "DF", "tel:1", "TEL:1", "tel",
    "x+-9:y", "http://[", "%", "a b", "verifyNHSNumberRequest-v1-0", "getPatientDetails-v1-0", "+1", "1.0", "x" * 300,
)  # fmt: skip
_ATTRIBUTES = (
    "nullFlavor", "updateMode", "root", "extension", "assigningAuthorityName", "displayable", "code", "codeSystem",
    "codeSystemName", "codeSystemVersion", "displayName", "value", "use", "partType", "qualifier", "representation",
    "mediaType", "language", "compression", "integrityCheck", "integrityCheckAlgorithm", "classCode", "moodCode",
    "typeCode", "determinerCode", "id", "type", "uri", "count", "mimetype", "profileid", "metadata", "filename", "href",
    "isNotOrdered", "operator", "inclusive", f"{{{XSI}}}nil", f"{{{XSI}}}type", f"{{{XSI}}}schemaLocation",
    f"{{{XSI}}}noNamespaceSchemaLocation", f"{{{XSI}}}nonsense", "{http://www.w3.org/XML/1998/namespace}lang",
    "{http://www.w3.org/XML/1998/namespace}space", f"{{{_FOREIGN}}}note",
    f"{{{HL7}}}code", f"{{{ITK}}}note",
)  # fmt: skip


_LETS_IN = {
    name: tuple(f"{{{HL7}}}{child}" for child in children)
    for name, children in {
        "postalCode": ("reference", "thumbnail"),
        "streetAddressLine": ("reference", "thumbnail"),
        "semanticsText": ("reference", "thumbnail"),
        "given": ("reference", "delimiter"),
        "family": ("reference", "suffix"),
        "telecom": ("useablePeriod", "id"),
        "name": ("prefix", "suffix", "delimiter", "validTime", "family"),
        "ErrorText": ("reference",),
    }.items()
}
"""What the published types let into a text or a telecom, with some things that they do not."""


def mutated(document: etree._Element, seed: str) -> etree._Element:
    """A copy with one to three kinds of damage; the same one for the same seed."""
    chance = random.Random(seed)
    root = deepcopy(document)
    for _ in range(chance.choice((1, 1, 1, 1, 2, 2, 3))):
        chance.choice(_KINDS)(chance, root)
    return root


def _any(chance: random.Random, root: etree._Element) -> etree._Element:
    return chance.choice(list(root.iter("*")))


def _below(chance: random.Random, root: etree._Element) -> etree._Element | None:
    """Any element but the root."""
    elements = list(root.iterdescendants("*"))
    return chance.choice(elements) if elements else None


def _drop_element(chance: random.Random, root: etree._Element) -> None:
    element = _below(chance, root)
    if element is not None:
        _detach(element)


def _detach(element: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def _repeat_element(chance: random.Random, root: etree._Element) -> None:
    element = _below(chance, root)
    if element is not None:
        element.addnext(deepcopy(element))


def _reorder(chance: random.Random, root: etree._Element) -> None:
    parents = [element for element in root.iter("*") if len(element) > 1]
    if parents:
        parent = chance.choice(parents)
        parent.insert(chance.randrange(len(parent)), chance.choice(list(parent)))


def _move(chance: random.Random, root: etree._Element) -> None:
    element = _below(chance, root)
    if element is not None:
        others = [other for other in root.iter("*") if other not in set(element.iter("*"))]
        target = chance.choice(others)
        target.insert(chance.randint(0, len(target)), element)


def _rename(chance: random.Random, root: etree._Element) -> None:
    element = _any(chance, root)
    element.tag = f"{{{_namespace(element)}}}{chance.choice(_NAMES)}"


def _namespace(element: etree._Element) -> str:
    return etree.QName(element).namespace or HL7


def _change_namespace(chance: random.Random, root: etree._Element) -> None:
    element = _any(chance, root)
    local = etree.QName(element).localname
    element.tag = chance.choice((local, f"{{{_FOREIGN}}}{local}", f"{{{HL7}}}{local}", f"{{{ITK}}}{local}"))


def _retype(chance: random.Random, root: etree._Element) -> None:
    element = _any(chance, root)
    prefix = next((prefix for prefix, uri in root.nsmap.items() if uri == _namespace(root)), None)
    name = chance.choice(TYPES)
    element.set(f"{{{XSI}}}type", f"{prefix}:{name}" if prefix and ":" not in name else name)


def _nil(chance: random.Random, root: etree._Element) -> None:
    element = _any(chance, root)
    element.set(f"{{{XSI}}}nil", chance.choice(("true", "1", "false", "0", "x", "")))
    if chance.random() < 0.6:
        for child in list(element):
            element.remove(child)
        element.text = chance.choice((None, None, " ", "x"))


def _drop_attribute(chance: random.Random, root: etree._Element) -> None:
    element = _with_attributes(chance, root)
    if element is not None:
        del element.attrib[chance.choice(sorted(str(key) for key in element.attrib))]


def _with_attributes(chance: random.Random, root: etree._Element) -> etree._Element | None:
    elements = [element for element in root.iter("*") if element.attrib]
    return chance.choice(elements) if elements else None


def _rename_attribute(chance: random.Random, root: etree._Element) -> None:
    element = _with_attributes(chance, root)
    if element is not None:
        name = chance.choice(sorted(str(key) for key in element.attrib))
        value = element.attrib.pop(name)
        element.set(chance.choice((*_ATTRIBUTES, name.upper(), name + "x")), value)


def _edit_attribute(chance: random.Random, root: etree._Element) -> None:
    element = _with_attributes(chance, root)
    if element is not None:
        name = chance.choice(sorted(str(key) for key in element.attrib))
        element.set(name, _edited(chance, element.attrib[name]))


def _edited(chance: random.Random, value: str) -> str:
    """Another value, or the same one slightly changed."""
    changes: tuple[Callable[[str], str], ...] = (
        lambda _: chance.choice(_VALUES),
        lambda _: chance.choice(_VALUES),
        lambda text: f" {text}",
        lambda text: f"{text}\n",
        lambda text: text.lower(),
        lambda text: text.upper(),
        lambda text: text[:-1],
        lambda text: text + text,
        lambda text: text.replace("1", "\u0661"),
    )
    return chance.choice(changes)(value)


def _add_attribute(chance: random.Random, root: etree._Element) -> None:
    _any(chance, root).set(chance.choice(_ATTRIBUTES), chance.choice(_VALUES))


def _add_sensible_attribute(chance: random.Random, root: etree._Element) -> None:
    """An attribute with a value of its own kind, on any element."""
    name, value = chance.choice(
        (
            ("nullFlavor", "NI"),
            ("nullFlavor", "MSK"),
            ("updateMode", "added"),
            ("use", "L"),
            ("use", "H"),
            ("partType", "GIV"),
            ("partType", "ZIP"),
            ("displayable", "true"),
            ("assigningAuthorityName", "NHS"),
            ("codeSystemName", "x"),
            ("displayName", "Male"),
            ("language", "en"),
            ("qualifier", "BR"),
        )
    )
    _any(chance, root).set(name, value)


def _edit_text(chance: random.Random, root: etree._Element) -> None:
    element = _any(chance, root)
    element.text = _edited(chance, element.text or "")


def _add_tail(chance: random.Random, root: etree._Element) -> None:
    element = _below(chance, root)
    if element is not None:
        element.tail = chance.choice((" ", "\n\t", "x", "\u00a0"))


def _add_element(chance: random.Random, root: etree._Element) -> None:
    parent = _any(chance, root)
    tag = chance.choice(
        (
            f"{{{_namespace(root)}}}{chance.choice(_NAMES)}",
            f"{{{_namespace(root)}}}{chance.choice(_NAMES)}",
            f"{{{_FOREIGN}}}note",
            "note",
        )
    )
    child = etree.Element(tag)
    if chance.random() < 0.4:
        child.set(chance.choice(_ATTRIBUTES[:13]), chance.choice(_VALUES))
    if chance.random() < 0.3:
        child.text = chance.choice(_VALUES)
    parent.insert(chance.randint(0, len(parent)), child)


def _add_inside_text(chance: random.Random, root: etree._Element) -> None:
    """An element where a text or a telecom stands: what the published types let in there."""
    places: dict[str, list[etree._Element]] = {}
    for element in root.iter("*"):
        places.setdefault(etree.QName(element).localname, []).append(element)
    known = sorted(places.keys() & _LETS_IN.keys())
    if known:
        place = chance.choice(known)
        parent = chance.choice(places[place])
        child = etree.SubElement(parent, chance.choice([f"{{{_FOREIGN}}}note", *_LETS_IN[place]]))
        if chance.random() < 0.5:
            child.set("value", chance.choice(("http://example.org", "1989", "x")))


def _empty(chance: random.Random, root: etree._Element) -> None:
    element = _any(chance, root)
    for child in list(element):
        element.remove(child)
    element.text = None


def _wrap_comment(chance: random.Random, root: etree._Element) -> None:
    """A comment or instruction inside; the provider's parser drops them, others' do not."""
    element = _any(chance, root)
    node = etree.Comment(" note ") if chance.random() < 0.5 else etree.ProcessingInstruction("note", "x")
    element.insert(chance.randint(0, len(element)), node)


_KINDS = (
    _drop_element, _repeat_element, _reorder, _move, _rename, _change_namespace, _retype, _nil, _drop_attribute,
    _rename_attribute, _edit_attribute, _edit_attribute, _edit_attribute, _add_attribute, _add_sensible_attribute,
    _add_sensible_attribute, _edit_text, _edit_text, _add_tail, _add_element, _add_inside_text, _empty, _wrap_comment,
)  # fmt: skip
