"""Reading a request as Spine does: its envelope, its wrapper, its parameters, and what is wrong with them.

Source: HL7 V3 pack, sections 2 to 5, and the validation rules of Spine restated in ``spine-validation-rules.csv``
(S01 to S18 end in a SOAP fault; the parameter rules of each query end in a refusal, because the wire codes that Spine
gives them are not public).
"""

from collections.abc import Callable
from typing import Final

from lxml import etree

from smsp_provider.domain.identifiers import OID
from smsp_provider.simulator.queries import (
    CrossCheckQuery,
    Interaction,
    InvalidQuery,
    Query,
    RetrievalQuery,
    SpineRequest,
    TraceQuery,
)
from smsp_provider.xmlcore.names import HL7, SOAP11, WSA_SPINE
from smsp_provider.xmlcore.parse import MalformedXML, local_name, namespace, parse

__all__ = ["CROSS_CHECK", "RETRIEVAL", "SIMPLE_TRACE", "BadRequest", "read_request"]

SIMPLE_TRACE: Final = Interaction("QUPA_IN000005UK01", "QUPA_IN000007UK01", "traceQueryResponse")
CROSS_CHECK: Final = Interaction("QUPA_IN000014UK01", "QUPA_IN000015UK02", "crossCheckTraceQueryResponse")
RETRIEVAL: Final = Interaction("QUPA_IN000008UK02", "QUPA_IN000009UK03", "retrievalQueryResponse")

_INTERACTIONS: Final = {known.request: known for known in (SIMPLE_TRACE, CROSS_CHECK, RETRIEVAL)}
_SERVICE: Final = "urn:nhs:names:services:pdsquery"
_INTERACTION_ROOT: Final = "2.16.840.1.113883.2.1.3.2.4.12"
_MESSAGE_ID_LENGTH: Final = 41
_SHORTEST_TO: Final = 9
_GENDERS: Final = frozenset({"0", "1", "2", "9"})
_NOT_SUPPORTED: Final = "101"
_NOT_WELL_FORMED: Final = "201"
_S: Final = f"{{{SOAP11}}}"
_W: Final = f"{{{WSA_SPINE}}}"
_H: Final = f"{{{HL7}}}"


class BadRequest(Exception):
    """The message is answered with a SOAP fault: ``code`` is Spine's, ``problem`` names the rule and no content."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem


def read_request(body: bytes, soap_action: str | None) -> SpineRequest:
    """Read one request.

    ``soap_action`` is the HTTP header (quotes allowed); where it is sent it must equal the WS-Addressing action.

    Raises:
        BadRequest: a rule about envelope or wrapper is broken.
    """
    try:
        envelope = parse(body)
    except MalformedXML as error:
        raise BadRequest(_NOT_WELL_FORMED, f"message not well formed: {error.reason}") from None
    if envelope.tag != _S + "Envelope":
        raise BadRequest(_NOT_WELL_FORMED, "message not well formed: not a SOAP 1.1 envelope")
    header = _one(envelope, _S + "Header", "SOAP header")
    soap_body = _one(envelope, _S + "Body", "SOAP body")
    if len(soap_body) == 0 or namespace(soap_body[0]) != HL7:
        raise BadRequest(_NOT_WELL_FORMED, "no HL7 message in the SOAP body")
    message = soap_body[0]
    interaction = _interaction(header, message, soap_action)
    asids = [_asid(header, message, function) for function in ("communicationFunctionSnd", "communicationFunctionRcv")]
    message_id = _text(header, _W + "MessageID", "SOAP message id")
    if len(message_id) != _MESSAGE_ID_LENGTH or not message_id.startswith("uuid:"):
        raise BadRequest(_NOT_WELL_FORMED, "SOAP message id must be uuid: and 36 characters")
    if len(_text(header, _W + "To", "SOAP to")) < _SHORTEST_TO:
        raise BadRequest(_NOT_WELL_FORMED, "SOAP to is too short")
    hl7_id = _attribute(message, f"{_H}id", "root", "message id")
    _attribute(message, f"{_H}creationTime", "value", "creation time")
    _attribute(message, f"{_H}versionCode", "code", "version code")
    query = _checked_query_element(_one(message, f"{_H}ControlActEvent", "control act"))
    return SpineRequest(interaction, message_id, hl7_id, asids[0], asids[1], _READERS[interaction.request](query))


# --- envelope and wrapper: rules S01 to S18 ---------------------------------------------------------------------------


def _one(parent: etree._Element, path: str, what: str) -> etree._Element:
    found = parent.findall(path)
    if len(found) != 1:
        raise BadRequest(_NOT_WELL_FORMED, f"exactly one {what} is needed")
    return found[0]


def _text(parent: etree._Element, path: str, what: str) -> str:
    value = (_one(parent, path, what).text or "").strip()
    if not value:
        raise BadRequest(_NOT_WELL_FORMED, f"{what} is empty")
    return value


def _attribute(parent: etree._Element, path: str, name: str, what: str) -> str:
    value = _one(parent, path, what).get(name, "").strip()
    if not value:
        raise BadRequest(_NOT_WELL_FORMED, f"{what} is empty")
    return value


def _interaction(header: etree._Element, message: etree._Element, soap_action: str | None) -> Interaction:
    action = _text(header, _W + "Action", "SOAP action")
    if soap_action is not None and soap_action.strip().strip('"') != action:
        raise BadRequest(_NOT_WELL_FORMED, "the SOAPAction header differs from the action in the envelope")
    service, _, name = action.rpartition("/")
    interaction = _INTERACTIONS.get(name)
    if service != _SERVICE or interaction is None:
        raise BadRequest(_NOT_SUPPORTED, "the service or interaction is not supported here")
    identified = _one(message, f"{_H}interactionId", "interaction id")
    names = {name, identified.get("extension"), local_name(message)}
    if len(names) != 1 or identified.get("root") != _INTERACTION_ROOT:
        raise BadRequest(_NOT_WELL_FORMED, "action, interaction id and message element disagree")
    return interaction


def _asid(header: etree._Element, message: etree._Element, function: str) -> str:
    path = f"{_H}{function}/{_H}device/{_H}id"
    found = []
    for part in (header, message):
        device = _one(part, path, function)
        if device.get("root") != OID.ASID or not device.get("extension"):
            raise BadRequest(_NOT_WELL_FORMED, f"{function} names no system")
        found.append(device.get("extension", ""))
    if found[0] != found[1]:
        raise BadRequest(_NOT_WELL_FORMED, f"{function} differs between SOAP header and message")
    return found[0]


def _checked_query_element(act: etree._Element) -> etree._Element:
    persons = act.findall(f"{_H}author/{_H}AgentPersonSDS")
    if len(act.findall(f"{_H}author")) > 1 or len(persons) != len(act.findall(f"{_H}author")):
        raise BadRequest(_NOT_WELL_FORMED, "at most one author, a person with a role")
    for person in persons:
        _check_id(person, f"{_H}id", OID.ROLE_PROFILE)
        _check_id(person, f"{_H}agentPersonSDS/{_H}id", OID.USER)
        _check_id(person, f"{_H}part/{_H}partSDSRole/{_H}id", OID.ROLE)
    systems = act.findall(f"{_H}author1")
    if len(systems) not in (1, 2):
        raise BadRequest(_NOT_WELL_FORMED, "one or two authoring systems are needed")
    _check_id(systems[0], f"{_H}AgentSystemSDS/{_H}agentSystemSDS/{_H}id", OID.ASID)
    for second in systems[1:]:
        _check_id(second, f"{_H}AgentSystemSDS/{_H}agentSystemSDS/{_H}id", None)
    query = _one(act, f"{_H}query", "query")
    if len(query) == 0:
        raise BadRequest(_NOT_WELL_FORMED, "the query has no parameter")
    return query


def _check_id(parent: etree._Element, path: str, root: str | None) -> None:
    """One id, of the given kind (any kind for None), with both parts."""
    identifier = _one(parent, path, "author identifier")
    wrong_kind = root is not None and identifier.get("root") != root
    if wrong_kind or not identifier.get("root") or not identifier.get("extension"):
        raise BadRequest(_NOT_WELL_FORMED, "an author identifier is empty or of another kind")


# --- parameters: rules T01 to T04, X01 to X04, R01 to R05 -------------------------------------------------------------


def _values(query: etree._Element, parameter: str) -> list[etree._Element]:
    return query.findall(f"{_H}{parameter}/{_H}value")


def _single(query: etree._Element, parameter: str, attribute: str) -> str | None:
    """The attribute of a parameter that is there exactly once, or None."""
    found = [value.get(attribute, "") for value in _values(query, parameter)]
    return found[0] if len(found) == 1 and found[0] else None


def _parts(query: etree._Element, parameter: str, part: str) -> list[str]:
    return [(found.text or "") for value in _values(query, parameter) for found in value.findall(f"{_H}{part}")]


def _read_simple_trace(query: etree._Element) -> TraceQuery | InvalidQuery:
    birth_time = _single(query, "person.birthTime", "value")
    gender = _single(query, "person.administrativeGenderCode", "code")
    family = _parts(query, "person.name", "family")
    if birth_time is None:
        return InvalidQuery("0", "a trace needs one date of birth")
    if len(family) != 1 or not family[0].strip():
        return InvalidQuery("0", "a trace needs one family name")
    if gender not in _GENDERS:
        return InvalidQuery("0", "a trace needs a gender")
    return TraceQuery(
        family[0],
        gender or "",
        birth_time,
        given=tuple(_parts(query, "person.name", "given")[:5]),
        postcode=next(iter(_parts(query, "person.address", "postalCode")), None),
        address_key=next(iter(_parts(query, "person.address", "addressKey")), None),
        deceased_time=_single(query, "person.deceasedTime", "value"),
    )


def _read_cross_check(query: etree._Element) -> CrossCheckQuery | InvalidQuery:
    birth_time = _single(query, "person.birthTime", "value")
    number = _single(query, "person.id", "extension")
    family, given = (_parts(query, "person.name", part) for part in ("family", "given"))
    if birth_time is None:
        return InvalidQuery("0", "a cross-check needs one date of birth")
    if number is None:
        return InvalidQuery("0", "a cross-check needs one NHS number")
    if _single(query, "person.id", "root") != OID.NHS_NUMBER:
        return InvalidQuery("42", "the number is not a new style NHS number")
    if len(family) > 1 or len(given) > 1:
        return InvalidQuery("0", "a cross-check takes one family and one given name")
    return CrossCheckQuery(number, birth_time, next(iter(family), None), next(iter(given), None))


def _read_retrieval(query: etree._Element) -> RetrievalQuery | InvalidQuery:
    history = _single(query, "historicDataIndicator", "code")
    number = _single(query, "person.id", "extension")
    if history not in ("0", "1"):
        return InvalidQuery("0", "a retrieval says whether it wants history")
    if number is None:
        return InvalidQuery("0", "a retrieval needs one NHS number")
    items = [(item.text or "").strip() for item in query.findall(f"{_H}retrievalItem/{_H}semanticsText")]
    return RetrievalQuery(number, history=history == "1", all_data=any(item != "person.scn" for item in items))


_READERS: Final[dict[str, Callable[[etree._Element], Query | InvalidQuery]]] = {
    SIMPLE_TRACE.request: _read_simple_trace,
    CROSS_CHECK.request: _read_cross_check,
    RETRIEVAL.request: _read_retrieval,
}
