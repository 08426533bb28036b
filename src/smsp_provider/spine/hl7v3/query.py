"""Writes a PDS query: SOAP 1.1 envelope, HL7 V3 wrapper, control act and query parameters, as one string.

The message is written straight to text, constant markup with escaped values in between: there is nothing in it that a
tree would help with, and it is written for every request. Values go through :mod:`smsp_provider.xmlcore.build` only.

Source: HL7 V3 pack (pds-hl7v3.md, sections 3 to 6), MIM 6.2.02 schemas, Spine's validation rules; SMSP-IG-003 and
SMSP-AUDIT-003 for the author blocks.
"""

import re
from typing import Final

from smsp_provider.domain.audit_identity import SpineAuthor
from smsp_provider.domain.failures import QueryNotBuilt
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID, OID
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SimpleTrace, SpineQuery
from smsp_provider.spine.hl7v3.interactions import Interaction, interaction_of, soap_action
from smsp_provider.xmlcore.build import attribute_text, document, text
from smsp_provider.xmlcore.names import HL7, SOAP11, WSA_SPINE

__all__ = ["VERSION_CODE", "MessageIds", "Route", "build_query"]

VERSION_CODE: Final = "3NPfIT6.2.02"
"""The MIM generation of every message sent (SMSP-MESSAGES-001)."""

_INTERACTION_ROOT: Final = "2.16.840.1.113883.2.1.3.2.4.12"
_HISTORIC_DATA_ROOT: Final = "2.16.840.1.113883.2.1.3.2.4.17.36"
_ALL_DATA: Final = "person.allData"
_GENDERS: Final = frozenset("0129")
_WILDCARD: Final = "*"
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@immutable
class MessageIds:
    """The two new ids of a message: ``soap`` is ``uuid:`` and an upper-case UUID, ``hl7`` another bare UUID."""

    soap: str
    hl7: str


@immutable
class Route:
    """Where the message goes: the URL of the PDS endpoint, the ASID of PDS, and our own address where one is stated."""

    endpoint_url: str
    spine_asid: ASID
    own_address: str | None = None


def build_query(
    query: SpineQuery, ids: MessageIds, created: str, route: Route, asid: ASID, author: SpineAuthor | None
) -> bytes:
    """The whole SOAP message that asks ``query``, UTF-8.

    ``created`` is the moment of creation, ``yyyyMMddHHmmss`` in UTC. ``asid`` is that of the initiating organisation;
    it stands in the SOAP header, the HL7 wrapper and author1. ``author`` is the person of access method 3, else None.

    Raises:
        QueryNotBuilt: an advanced trace (it is not a synchronous message), or a value that would make the message
            break a rule of Spine. The reason names the rule, not the value.
    """
    parameters = _parameters(query)
    interaction = interaction_of(query)
    receiver, sender = _device(route.spine_asid), _device(asid)
    person = _person_author(author) if author is not None else ""
    return document(
        (
            _soap_header(ids, interaction, route, receiver, sender),
            _message(
                interaction.request, ids, created, receiver, sender, f"{person}{_system_author(sender)}", parameters
            ),
        )
    )


def _soap_header(ids: MessageIds, interaction: Interaction, route: Route, receiver: str, sender: str) -> str:
    """The envelope up to and with the opening of its body; ``receiver`` and ``sender`` are attributes of an id."""
    own = f"<wsa:Address>{text(route.own_address)}</wsa:Address>" if route.own_address else ""
    return (
        f'<SOAP-ENV:Envelope xmlns:SOAP-ENV="{SOAP11}" xmlns:wsa="{WSA_SPINE}" xmlns:hl7="{HL7}"><SOAP-ENV:Header>'
        f"<wsa:MessageID>{text(ids.soap)}</wsa:MessageID><wsa:Action>{soap_action(interaction)}</wsa:Action>"
        f"<wsa:To>{text(route.endpoint_url)}</wsa:To>{f'<wsa:From>{own}</wsa:From>' if own else ''}"
        f"<hl7:communicationFunctionRcv><hl7:device><hl7:id {receiver}/></hl7:device></hl7:communicationFunctionRcv>"
        f"<hl7:communicationFunctionSnd><hl7:device><hl7:id {sender}/></hl7:device></hl7:communicationFunctionSnd>"
        f"{f'<wsa:ReplyTo>{own}</wsa:ReplyTo>' if own else ''}</SOAP-ENV:Header><SOAP-ENV:Body>"
    )


def _message(
    name: str, ids: MessageIds, created: str, receiver: str, sender: str, authors: str, parameters: str
) -> str:
    """The HL7 message, and the closing of body and envelope."""
    return (
        f'<{name} xmlns="{HL7}"><id root="{attribute_text(ids.hl7)}"/>'
        f'<creationTime value="{attribute_text(created)}"/><versionCode code="{VERSION_CODE}"/>'
        f'<interactionId root="{_INTERACTION_ROOT}" extension="{name}"/>'
        '<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="NE"/>'
        '<communicationFunctionRcv typeCode="RCV"><device classCode="DEV" determinerCode="INSTANCE">'
        f"<id {receiver}/></device></communicationFunctionRcv>"
        '<communicationFunctionSnd typeCode="SND"><device classCode="DEV" determinerCode="INSTANCE">'
        f"<id {sender}/></device></communicationFunctionSnd>"
        f'<ControlActEvent classCode="CACT" moodCode="EVN">{authors}<query>{parameters}</query></ControlActEvent>'
        f"</{name}></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    )


def _identifier(root: str, extension: str) -> str:
    """The two attributes of an instance identifier."""
    return f'root="{root}" extension="{attribute_text(_required(extension, "an identifier"))}"'


def _device(asid: ASID) -> str:
    return _identifier(OID.ASID, asid.value)


def _system_author(sender: str) -> str:
    """Author1: the system that asks, always there (SMSP-IG-003)."""
    return (
        '<author1 typeCode="AUT"><AgentSystemSDS classCode="AGNT">'
        f'<agentSystemSDS classCode="DEV" determinerCode="INSTANCE"><id {sender}/></agentSystemSDS>'
        "</AgentSystemSDS></author1>"
    )


def _person_author(author: SpineAuthor) -> str:
    """Author: the person who asks, where there is one (SMSP-AUDIT-003)."""
    return (
        '<author typeCode="AUT"><AgentPersonSDS classCode="AGNT">'
        f"<id {_identifier(OID.ROLE_PROFILE, author.role_profile)}/>"
        '<agentPersonSDS classCode="PSN" determinerCode="INSTANCE">'
        f"<id {_identifier(OID.USER, author.user)}/></agentPersonSDS>"
        '<part typeCode="PART"><partSDSRole classCode="ROL">'
        f"<id {_identifier(OID.ROLE, author.role)}/></partSDSRole></part></AgentPersonSDS></author>"
    )


def _parameters(query: SpineQuery) -> str:
    """The content of ``query``, in schema order."""
    if isinstance(query, Retrieval):
        return _retrieval(query)
    if isinstance(query, CrossCheckTrace):
        return _cross_check_trace(query)
    if isinstance(query, SimpleTrace):
        return _simple_trace(query)
    raise QueryNotBuilt("the advanced trace is asynchronous and is not supported yet")


def _simple_trace(query: SimpleTrace) -> str:
    if query.gender not in _GENDERS:
        raise QueryNotBuilt("the gender is not in the vocabulary of PDS")
    return (
        (_person_address(query.postcode) if query.postcode is not None else "")
        + _parameter("person.administrativeGenderCode", f'<value code="{query.gender}"/>')
        + _birth_time(query.date_of_birth)
        + _person_name(query.family, query.given)
    )


def _cross_check_trace(query: CrossCheckTrace) -> str:
    # A name without a family name is left out: the name rules (P11) want it filled, and the provider compares the
    # record with the forename itself.
    name = _person_name(query.family, query.given) if query.family is not None else ""
    return _birth_time(query.date_of_birth) + _person_id(query.nhs_number) + name


def _retrieval(query: Retrieval) -> str:
    return (
        _parameter("historicDataIndicator", f'<value code="0" codeSystem="{_HISTORIC_DATA_ROOT}"/>')
        + _person_id(query.nhs_number)
        + f"<retrievalItem><semanticsText>{_ALL_DATA}</semanticsText></retrievalItem>"
    )


def _parameter(name: str, value: str) -> str:
    """One query parameter: its semantics text (the name, capitalised) stands before its value."""
    return f"<{name}><semanticsText>{name[0].upper()}{name[1:]}</semanticsText>{value}</{name}>"


def _person_id(nhs_number: NHSNumber) -> str:
    return _parameter("person.id", f'<value root="{OID.NHS_NUMBER}" extension="{nhs_number.digits}"/>')


def _birth_time(date_of_birth: HL7Date) -> str:
    if not date_of_birth.is_full:
        raise QueryNotBuilt("a partial date of birth needs the advanced trace")
    return _parameter("person.birthTime", f'<value value="{date_of_birth.digits}"/>')


def _person_address(postcode: str) -> str:
    written = _name_text(postcode)
    if " " not in written:
        raise QueryNotBuilt("a postcode has no space")
    return _parameter("person.address", f"<value><postalCode>{written}</postalCode></value>")


def _person_name(family: str, given: str | None) -> str:
    forename = f"<given>{_name_text(given)}</given>" if given is not None else ""
    return _parameter("person.name", f'<value use="L">{forename}<family>{_name_text(family)}</family></value>')


def _name_text(value: str) -> str:
    """A name or postcode as element content; runs of blanks become one, as Spine's rules for names want (P11)."""
    if _WILDCARD in value:
        raise QueryNotBuilt("a wildcard needs the advanced trace")
    return text(" ".join(_required(value, "a search value").split()))


def _required(value: str, what: str) -> str:
    """The value, unless Spine would find nothing in it or XML cannot carry it whole.

    The builder would drop the characters that XML forbids; a name must not be searched as another name.
    """
    if _NOT_XML.search(value) is not None:
        raise QueryNotBuilt(f"{what} holds a character that XML cannot carry")
    if not value.strip():
        raise QueryNotBuilt(f"{what} is empty")
    return value
