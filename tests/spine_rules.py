"""The rules Spine and the NHS test tool apply to our queries, as XPath of their own over the whole SOAP message.

Written from the restated rules (spine-validation-rules.csv), with nothing of the product: shared mistakes must show.
Each expression must be true. ``NOT_OURS`` names the rules that speak of other messages; ``PERSON`` the
listed exception.
"""

from collections.abc import Iterator

from lxml import etree

from spine_messages import NAMESPACES

__all__ = ["NOT_OURS", "PERSON", "RULES", "broken_rules"]

PERSON = "P01"
"""The author block: not on messages of access methods 1, 2 and 5, where there is no person."""

NOT_OURS = {
    # The advanced trace and its ebXML transport are not sent.
    *(f"A{number:02d}" for number in range(1, 13)),
    *(f"E{number:02d}" for number in range(1, 7)),
    *("G08", "G10", "P06", "P07", "P08", "P09"),
    # Neither is the confirmation of an NHS number, nor an acknowledgement.
    *("C01", "G11"),
}

_HEADER = "/s:Envelope/s:Header"
_MESSAGE = "/s:Envelope/s:Body/*[1]"
_ACT = f"{_MESSAGE}/h:ControlActEvent"
_QUERY = f"{_ACT}/h:query"
_PERSON = f"{_ACT}/h:author/h:AgentPersonSDS"
_DEVICE = "h:device/h:id"
_ASID = "1.2.826.0.1285.0.2.0.107"
_INTERACTIONS = "2.16.840.1.113883.2.1.3.2.4.12"
_NHS = "2.16.840.1.113883.2.1.4.1"
_SIMPLE, _RETRIEVAL, _CROSS = "QUPA_IN000005UK01", "QUPA_IN000008UK02", "QUPA_IN000014UK01"
_ALL = (_SIMPLE, _RETRIEVAL, _CROSS)
_NAME = f"{_QUERY}/h:person.name/h:value"
_BORN = f"{_QUERY}/h:person.birthTime/h:value"
_POSTCODE = f"{_QUERY}/h:person.address/h:value/h:postalCode"


def _header_device(role: str) -> str:
    return (
        f"count({_HEADER}/h:communicationFunction{role}/{_DEVICE})=1 and "
        f"{_HEADER}/h:communicationFunction{role}/{_DEVICE}[@root='{_ASID}' and string-length(@extension)>0]"
    )


def _same_device(role: str) -> str:
    return (
        f"{_MESSAGE}/h:communicationFunction{role}/{_DEVICE}/@extension"
        f"={_HEADER}/h:communicationFunction{role}/{_DEVICE}/@extension"
    )


def _both(one: str, other: str) -> str:
    return f"{one} and {other}"


def _one_id(path: str, root: str) -> str:
    return f"count({path})=1 and {path}[@root='{root}' and string-length(@extension)>0]"


_ALL_PERSON_IDS = " and ".join(
    (
        _one_id(f"{_PERSON}/h:id", "1.2.826.0.1285.0.2.0.67"),
        _one_id(f"{_PERSON}/h:agentPersonSDS/h:id", "1.2.826.0.1285.0.2.0.65"),
        _one_id(f"{_PERSON}/h:part/h:partSDSRole/h:id", "1.2.826.0.1285.0.2.1.104"),
    )
)
_FIRST_SYSTEM = _one_id(f"{_ACT}/h:author1[1]/h:AgentSystemSDS/h:agentSystemSDS/h:id", _ASID)
_TWELVE_DIGITS = (
    "not(//h:id[re:test(@root, '^1[.]2[.]826[.]0[.]1285[.]0[.]2[.]0[.](65|67|107)$')]"
    "[not(re:test(@extension, '[0-9]{12}'))])"
)
_NO_EFFECT = f"not({_ACT}/h:subject)"

RULES: dict[str, tuple[tuple[str, ...], str]] = {
    "S01": (_ALL, f"count(/s:Envelope)=1 and count({_HEADER})=1 and count(/s:Envelope/s:Body)=1"),
    "S02": (_ALL, f"count({_HEADER}/w:MessageID)=1 and re:test({_HEADER}/w:MessageID, '^uuid:[0-9A-F-]{{36}}$')"),
    "S03": (_ALL, f"count({_HEADER}/w:Action)=1"),
    "S04": (_ALL, f"count({_HEADER}/w:To)=1 and string-length({_HEADER}/w:To)>0"),
    "S05": (_ALL, _header_device("Rcv")),
    "S06": (_ALL, _header_device("Snd")),
    "S07": (_ALL, f"starts-with(local-name({_MESSAGE}), 'QUPA_IN') and count({_MESSAGE}/h:id[string(@root)])=1"),
    "S08": (_ALL, f"count({_MESSAGE}/h:creationTime)=1 and string({_MESSAGE}/h:creationTime/@value)"),
    "S09": (_ALL, f"count({_MESSAGE}/h:versionCode)=1 and string({_MESSAGE}/h:versionCode/@code)"),
    "S10": (_ALL, f"count({_ACT})=1"),
    "S11": (_ALL, f"not({_ACT}/h:author) or (count({_ACT}/h:author)=1 and {_ALL_PERSON_IDS})"),
    "S12": (_ALL, f"count({_ACT}/h:author1)=1 or count({_ACT}/h:author1)=2"),
    "S13": (_ALL, _FIRST_SYSTEM),
    "S14": (_ALL, f"not({_ACT}/h:author1[2])"),
    "S15": (_ALL, f"count({_QUERY})=1 and {_QUERY}/*"),
    "S16": (
        _ALL,
        _both(
            f"{_MESSAGE}/h:interactionId[@root='{_INTERACTIONS}']/@extension=local-name({_MESSAGE})",
            f"substring-after({_HEADER}/w:Action, '/')=local-name({_MESSAGE})",
        ),
    ),
    "S17": (_ALL, _same_device("Rcv")),
    "S18": (_ALL, _same_device("Snd")),
    "T01": ((_SIMPLE,), f"count({_BORN}/@value)=1"),
    "T02": ((_SIMPLE,), f"count({_NAME}/h:family)=1"),
    "T03": ((_SIMPLE,), f"re:test({_QUERY}/h:person.administrativeGenderCode/h:value/@code, '^[0129]$')"),
    "T04": ((_SIMPLE,), f"count({_NAME}/h:given)<=5"),
    "R01": ((_RETRIEVAL,), f"re:test({_QUERY}/h:historicDataIndicator/h:value/@code, '^[01]$')"),
    "R02": ((_RETRIEVAL,), f"{_QUERY}/h:person.id/h:value/@root='{_NHS}'"),
    "R03": ((_RETRIEVAL,), f"count({_QUERY}/h:person.id/h:value/@extension)=1"),
    "R04": ((_RETRIEVAL,), f"string-length({_QUERY}/h:person.id/h:value/@extension)=10"),
    "R05": ((_RETRIEVAL,), f"count({_QUERY}/h:retrievalItem/h:semanticsText)=1"),
    "X01": ((_CROSS,), f"count({_BORN}/@value)=1"),
    "X02": ((_CROSS,), f"count({_QUERY}/h:person.id/h:value/@extension)=1"),
    "X03": ((_CROSS,), f"{_QUERY}/h:person.id/h:value/@root='{_NHS}'"),
    "X04": ((_CROSS,), f"count({_NAME}/h:given)<=1 and count({_NAME}/h:family)<=1"),
    "G01": (_ALL, f"re:test({_MESSAGE}/h:id/@root, '^[0-9A-F]{{8}}(-[0-9A-F]{{4}}){{3}}-[0-9A-F]{{12}}$')"),
    "G02": (_ALL, f"re:test({_MESSAGE}/h:creationTime/@value, '^[0-9]{{12,14}}$')"),
    "G03": (
        _ALL,
        f"{_MESSAGE}/h:interactionId/@root='{_INTERACTIONS}' and not({_MESSAGE}//{_DEVICE}[@root!='{_ASID}'])",
    ),
    "G04": (_ALL, f"{_FIRST_SYSTEM} and (not({_ACT}/h:author) or ({_ALL_PERSON_IDS}))"),
    "G05": (
        _ALL,
        _both(
            "not(//@*[not(string(.))])",
            "not(//*[not(@*) and not(*) and not(string(.)) and local-name()!='streetAddressLine'])",
        ),
    ),
    "G06": (
        _ALL,
        _TWELVE_DIGITS,
    ),
    "G07": (_ALL, _NO_EFFECT),
    "G09": (
        _ALL,
        _both(
            f"string-length({_HEADER}/w:MessageID)=41 and string-length({_HEADER}/w:To)>8",
            f"not({_HEADER}//{_DEVICE}[@root!='{_ASID}'])",
        ),
    ),
    "P01": (_ALL, _ALL_PERSON_IDS),
    "P02": ((_SIMPLE, _CROSS), f"not({_BORN}/@nullFlavor)"),
    "P03": ((_SIMPLE,), f"not({_QUERY}/h:person.deceasedTime)"),
    "P04": ((_SIMPLE,), f"not({_QUERY}/h:person.address) or {_POSTCODE}"),
    "P05": ((_SIMPLE,), f"not({_POSTCODE}) or contains({_POSTCODE}, ' ')"),
    "P10": ((_RETRIEVAL,), f"{_QUERY}/h:person.id/h:value[@root='{_NHS}' and string-length(@extension)=10]"),
    "P11": (
        (_SIMPLE, _CROSS),
        f"not({_NAME}[not(string(h:family))]) and not({_NAME}/*[string-length(.)>35 or contains(., '  ')])",
    ),
    "P12": (_ALL, _NO_EFFECT),
}


def broken_rules(envelope: etree._Element) -> Iterator[str]:
    """The ids of the rules that a query breaks."""
    interaction = etree.QName(envelope.xpath(_MESSAGE, namespaces=NAMESPACES)[0]).localname
    for rule, (interactions, condition) in RULES.items():
        if interaction in interactions and not envelope.xpath(f"boolean({condition})", namespaces=NAMESPACES):
            yield rule
