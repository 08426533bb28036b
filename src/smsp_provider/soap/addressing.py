"""WS-Addressing 1.0 in a request (WS-ADR-01 to 09), in the order of transport.md's header table.

Which services an action may name is for the ITK layer to say; here it has to be there and to agree with SOAPAction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from lxml import etree

from smsp_provider.domain.faults import invalid_message
from smsp_provider.domain.identifiers import is_uuid
from smsp_provider.domain.immutable import immutable
from smsp_provider.soap.envelope import SoapMessage
from smsp_provider.xmlcore.names import WSA
from smsp_provider.xmlcore.read import leaf_text, only_child

__all__ = ["ANONYMOUS", "Addressing", "AddressingPolicy", "find_message_id", "read_addressing"]

ANONYMOUS: Final = "http://www.w3.org/2005/08/addressing/anonymous"

_MESSAGE_ID: Final = f"{{{WSA}}}MessageID"
_TO: Final = f"{{{WSA}}}To"
_ACTION: Final = f"{{{WSA}}}Action"
_FROM: Final = f"{{{WSA}}}From"
_REPLY_TO: Final = f"{{{WSA}}}ReplyTo"
_ADDRESS: Final = f"{{{WSA}}}Address"


@dataclass(frozen=True, slots=True)
class AddressingPolicy:
    """``accepted_to`` are the addresses of this endpoint, compared as they stand; None accepts any (behind proxies)."""

    accepted_to: frozenset[str] | None = None


@immutable
class Addressing:
    """The addressing of a request. ``message_id`` keeps prefix and case as sent; ``sender`` is wsa:From's address."""

    message_id: str
    to: str
    action: str
    sender: str | None


def find_message_id(header_blocks: Iterable[etree._Element]) -> str | None:
    """The MessageID, for the RelatesTo of a fault, even where the rest of the message is wrong.

    None where it is missing, doubled or no UUID: nothing else of a sender's text is ever sent back.
    """
    found = [block for block in header_blocks if block.tag == _MESSAGE_ID]
    text = leaf_text(found[0]) if len(found) == 1 else ""
    return text if is_uuid(text) else None


def read_addressing(message: SoapMessage, soap_action: str | None, policy: AddressingPolicy) -> Addressing:
    """Check and return the addressing. ``soap_action`` is the HTTP header as it came, None where there was none.

    Raises:
        ToolkitFault: 1000, the first breach in the order MessageID, To, Action, ReplyTo.
    """
    blocks = message.by_tag
    message_id = _one_text(blocks.get(_MESSAGE_ID, ()), "wsa:MessageID", rule="WS-ADR-01")
    if not is_uuid(message_id):
        _refuse("wsa:MessageID is not a UUID", rule="WS-ADR-01")
    to = _one_text(blocks.get(_TO, ()), "wsa:To", rule="WS-ADR-03")
    if policy.accepted_to is not None and to not in policy.accepted_to:
        _refuse("wsa:To is not an address of this endpoint", rule="WS-ADR-03")
    action = _one_text(blocks.get(_ACTION, ()), "wsa:Action", rule="WS-ADR-04")
    named = _unquoted(soap_action)
    if named and named != action:
        _refuse("SOAPAction differs from wsa:Action", rule="WS-ADR-04")
    _check_reply_to(blocks.get(_REPLY_TO, ()))
    return Addressing(message_id, to, action, _sender(blocks.get(_FROM, ())))


def _one_text(found: Sequence[etree._Element], name: str, *, rule: str) -> str:
    """The text of the one block there must be; two of them are as bad as none."""
    if not found:
        _refuse(f"{name} is missing", rule=rule)
    if len(found) > 1:
        _refuse(f"{name} is given more than once", rule=rule)
    text = leaf_text(found[0])
    if not text:
        _refuse(f"{name} is empty", rule=rule)
    return text


def _unquoted(soap_action: str | None) -> str:
    """SOAPAction without its quotes: clients send it with, without, empty, and not at all."""
    text = (soap_action or "").strip()
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].strip()
    return text


def _check_reply_to(found: Sequence[etree._Element]) -> None:
    """Synchronous services answer on the same connection only (WS-ADR-06), and know no parameters (WS-ADR-08)."""
    if not found:
        return
    if len(found) > 1:
        _refuse("wsa:ReplyTo is given more than once", rule="WS-ADR-06")
    if leaf_text(only_child(found[0], _ADDRESS)) != ANONYMOUS:
        _refuse("wsa:ReplyTo is not the anonymous address", rule="WS-ADR-06")
    if len(found[0]) != 1:
        _refuse("wsa:ReplyTo holds more than wsa:Address", rule="WS-ADR-08")


def _sender(found: Sequence[etree._Element]) -> str | None:
    """The address in wsa:From, which is for the audit and never refused (WS-ADR-05)."""
    for block in found:
        return leaf_text(only_child(block, _ADDRESS)) or None
    return None


def _refuse(text: str, *, rule: str) -> NoReturn:
    raise invalid_message(text, rule=rule)
