"""A request payload as fields (SMSP-VAL-001, SMSP-VAL-003): the root, the schema, then the values exactly as sent.

What the values must be is for :func:`smsp_provider.domain.requests.check_fields`.
"""

from typing import Final

from lxml import etree

from smsp_provider.domain.identifiers import OID, LocalIdentifier
from smsp_provider.domain.requests import InputInvalid, RequestFields
from smsp_provider.domain.service import Service
from smsp_provider.itk.services import SERVICES
from smsp_provider.xmlcore.names import HL7, XSI
from smsp_provider.xmlcore.read import XML_SPACE
from smsp_provider.xmlcore.schemas import Schemas

__all__ = ["read_request"]

_QUERY: Final = f"{{{HL7}}}queryEvent"
_VALUE: Final = f"{{{HL7}}}value"
_GIVEN: Final = f"{{{HL7}}}given"
_FAMILY: Final = f"{{{HL7}}}family"
_POSTAL_CODE: Final = f"{{{HL7}}}postalCode"
_DATE_OF_BIRTH: Final = "Person.DateOfBirth"
_GENDER: Final = "Person.Gender"
_LOCAL_IDENTIFIER: Final = "Person.LocalIdentifier"
_NHS_NUMBER: Final = "Person.NHSNumber"
_NAME: Final = "Person.Name"
_POSTCODE: Final = "Person.Postcode"
_NIL: Final = f"{{{XSI}}}nil"
_PREFIX_LENGTH: Final = len(f"{{{HL7}}}")


def read_request(service: Service, payload: etree._Element, schemas: Schemas) -> RequestFields:
    """Validate the payload of a service and take its fields. A root met in the field is renamed in place first.

    An element that is nil or has a null flavour counts as absent, text between elements is ignored.

    Raises:
        InputInvalid: another root, a breach of the schema, a value with elements in its text, or a local identifier
            that claims to be an NHS number: it would be reflected beside the patient's own (safety rule W11).
    """
    entry = SERVICES[service]
    if entry.request_alias is not None and payload.tag == f"{{{HL7}}}{entry.request_alias}":
        payload.tag = entry.request_tag
    if payload.tag != entry.request_tag:
        raise InputInvalid(entry.request_root, "is not the root of the payload")
    if not schemas.is_valid(entry.request_schema, payload):
        findings = schemas.findings(entry.request_schema, payload)
        place, rule = (findings[0].path, findings[0].rule) if findings else (entry.request_root, "is not valid")
        raise InputInvalid(place, rule)
    values = _values(payload)
    name, postcode = values.get(_NAME), values.get(_POSTCODE)
    names = [] if name is None else name[:]
    return RequestFields(
        date_of_birth=_attribute(values.get(_DATE_OF_BIRTH), "value"),
        gender=_token(_attribute(values.get(_GENDER), "code")),
        nhs_number=_attribute(values.get(_NHS_NUMBER), "extension"),
        family=_text(names, _FAMILY, f"{_NAME}/family"),
        given=_text(names, _GIVEN, f"{_NAME}/given"),
        postcode=None if postcode is None else _text(postcode[:], _POSTAL_CODE, _POSTCODE),
        local_identifier=_local_identifier(values.get(_LOCAL_IDENTIFIER)),
    )


def _values(payload: etree._Element) -> dict[str, etree._Element]:
    """The value element of every parameter that is there, by the parameter's local name."""
    query = _first_said(payload, _QUERY)
    values = {}
    for parameter in () if query is None else query[:]:
        value = _first_said(parameter, _VALUE)
        if value is not None and not _is_null(parameter):
            values[str(parameter.tag)[_PREFIX_LENGTH:]] = value
    return values


def _first_said(parent: etree._Element | list[etree._Element], tag: str) -> etree._Element | None:
    """The first child with this tag, of a parent or of a list; None where there is none, and where it is null."""
    for child in parent[:]:
        if child.tag == tag:
            return None if _is_null(child) else child
    return None


def _is_null(element: etree._Element) -> bool:
    if not element.keys():  # Hardly any has attributes, and looking one up costs several times as much.
        return False
    nil = element.get(_NIL)
    return element.get("nullFlavor") is not None or (nil is not None and nil.strip(XML_SPACE) in ("true", "1"))


def _attribute(value: etree._Element | None, name: str) -> str | None:
    return None if value is None else value.get(name)


def _token(code: str | None) -> str | None:
    """A code without outer white space, which is no part of it by its type in the schema."""
    return None if code is None else code.strip(XML_SPACE)


def _text(parts: list[etree._Element], tag: str, field: str) -> str | None:
    """The text of a part. The schema lets elements of other namespaces stand in it: half a name is no name."""
    part = _first_said(parts, tag)
    if part is None:
        return None
    if len(part):
        raise InputInvalid(field, "holds elements")
    return part.text or ""


def _local_identifier(value: etree._Element | None) -> LocalIdentifier | None:
    if value is None:
        return None
    root, extension = value.get("root", ""), value.get("extension", "")
    if root.strip(XML_SPACE) == OID.NHS_NUMBER:
        raise InputInvalid(_LOCAL_IDENTIFIER, "has the root of NHS numbers")
    return LocalIdentifier(root, extension)
