"""Breaks a valid request in one place, by steps that are data.

A step is a table with one operation and its operands. Steps on the document are XPath over the whole message with the
prefixes of :mod:`names`; steps on the text and on the bytes follow in the order they are written. This is the list of
breakages that an ITK test tool makes: elements missing, doubled, renamed or moved, values changed, encodings, cuts.
"""

import base64
import gzip
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, Final

from jinja2 import TemplateError
from lxml import etree

from smsp_provider.conformance.message import Request
from smsp_provider.conformance.names import NAMESPACES, qualified
from smsp_provider.conformance.signing import sign_request
from smsp_provider.conformance.xpath import elements

__all__ = ["OPERATIONS", "BadStep", "broken"]

Step = Mapping[str, Any]


class BadStep(ValueError):
    """A step of a case cannot be done: it names nothing in the message, or is no step."""


class _Message:
    """The message while it is broken: a document until a step needs text or bytes."""

    def __init__(self, request: Request, signer: "Callable[[etree._Element, str], None]") -> None:
        self.request = request
        self.signer = signer
        self._root: etree._Element | None = None
        self._bytes = request.body

    def root(self) -> etree._Element:
        if self._root is None:
            self._root = etree.fromstring(self._bytes)
        return self._root

    def content(self) -> bytes:
        if self._root is not None:
            self._bytes = etree.tostring(self._root, xml_declaration=True, encoding="UTF-8")
            self._root = None
        return self._bytes

    def write(self, content: bytes) -> None:
        self._root, self._bytes = None, content

    def elements(self, path: str) -> list[etree._Element]:
        found = elements(self.root(), path)
        if not found:
            raise BadStep(f"{path} names nothing in the message")
        return found

    def remove(self, path: str) -> None:
        for element, attribute in self._places(path):
            parent = element.getparent()
            if attribute:
                del element.attrib[attribute]
            elif parent is None:
                raise BadStep(f"{path} is the root")
            else:
                parent.remove(element)

    def set(self, path: str, text: str) -> None:
        for element, attribute in self._places(path):
            if attribute:
                element.set(attribute, text)
            else:
                element.text = text

    def _places(self, path: str) -> list[tuple[etree._Element, str]]:
        """Elements, or elements with the name of an attribute that they carry (``path/@name``)."""
        parent, is_attribute, name = path.rpartition("/@")
        if not is_attribute or "]" in name:
            return [(element, "") for element in self.elements(path)]
        attribute = qualified(name)
        return [(element, attribute) for element in self.elements(f"{parent}[@{name}]")]

    def markup(self, text: str) -> list[etree._Element]:
        names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
        return list(etree.fromstring(f"<x {names}>{self.request.render(text)}</x>"))


def broken(request: Request, steps: Iterable[Step], key: str = "") -> bytes:
    """The request with the steps done; ``key`` is the PEM text of a key and its certificate, for signatures.

    Raises:
        BadStep: a step names nothing in the message, is unknown, or cannot be read.
    """
    message = _Message(request, lambda root, kind: sign_request(root, kind, key))
    for step in steps:
        operation = next((name for name in step if name in OPERATIONS), None)
        if operation is None:
            raise BadStep(f"no operation among {', '.join(step)}")
        try:
            OPERATIONS[operation](message, step)
        except (etree.LxmlError, TemplateError, SyntaxError, KeyError, TypeError, ValueError) as error:
            raise BadStep(f"{operation}: {type(error).__name__} {error}") from None
    return message.content()


def _remove(message: _Message, step: Step) -> None:
    message.remove(step["remove"])


def _set(message: _Message, step: Step) -> None:
    message.set(step["set"], message.request.render(step["to"]))


def _attribute(message: _Message, step: Step) -> None:
    for element in message.elements(step["of"]):
        element.set(qualified(step["attribute"]), message.request.render(step["to"]))


def _repeat(message: _Message, step: Step) -> None:
    for element in message.elements(step["repeat"]):
        for _ in range(step.get("times", 1)):
            element.addnext(deepcopy(element))


def _add(message: _Message, step: Step) -> None:
    """Markup at the end of an element (``into``), as its first child (``first``), or beside it."""
    for element in message.markup(step["add"]):
        if "into" in step:
            message.elements(step["into"])[0].append(element)
        elif "first" in step:
            message.elements(step["first"])[0].insert(0, element)
        elif "before" in step:
            message.elements(step["before"])[0].addprevious(element)
        else:
            message.elements(step["after"])[0].addnext(element)


def _rename(message: _Message, step: Step) -> None:
    for element in message.elements(step["rename"]):
        element.tag = qualified(step["to"]) if "{" not in step["to"] else step["to"]


def _move(message: _Message, step: Step) -> None:
    target = message.elements(step["into"])[0]
    for element in message.elements(step["move"]):
        target.append(element)


def _nest(message: _Message, step: Step) -> None:
    """So many levels of an unknown element into an element."""
    parent = message.elements(step["into"])[0]
    for _ in range(step["nest"]):
        parent = etree.SubElement(parent, "x")


def _replace(message: _Message, step: Step) -> None:
    old, new = message.request.render(step["replace"]).encode(), message.request.render(step["by"]).encode()
    content = message.content()
    if old not in content:
        raise BadStep(f"{step['replace']} is not in the message")
    message.write(content.replace(old, new, step.get("times", -1)))


def _encode_payload(message: _Message, step: Step) -> None:
    """The payload as a client may pack it: ``base64``, ``gzip`` (base64 of gzip), or damaged on purpose."""
    payload = message.elements("//itk:payload")[0]
    content = etree.tostring(payload[0]) if len(payload) else b""
    if "content" in step:
        content = message.request.render(step["content"]).encode()
    packed = content + b" " * step.get("blanks", 0)
    if step["pack"] == "gzip":
        packed = gzip.compress(packed)
    packed = packed[: len(packed) - step.get("cut", 0)] + step.get("tail", "").encode()
    for child in payload:
        payload.remove(child)
    payload.text = base64.b64encode(packed).decode()


def _sign(message: _Message, step: Step) -> None:
    message.signer(message.root(), step["sign"])


def _body(message: _Message, step: Step) -> None:
    message.write(message.request.render(step["body"]).encode())


def _only(message: _Message, step: Step) -> None:
    """One element of the message as the whole document."""
    message.write(etree.tostring(message.elements(step["only"])[0]))


def _wrap(message: _Message, step: Step) -> None:
    content = message.content()
    if step.get("declaration") is False:
        content = content.partition(b"?>")[2]
    before, after = message.request.render(step["prefix"]), message.request.render(step.get("suffix", ""))
    message.write(before.encode() + content + after.encode())


def _pad(message: _Message, step: Step) -> None:
    message.write(b" " * int(message.request.render(step["pad"])) + message.content())


def _hex(message: _Message, step: Step) -> None:
    """Bytes that no text can hold, at a marker text."""
    content = message.content()
    marker = step["at"].encode()
    if marker not in content:
        raise BadStep(f"{step['at']} is not in the message")
    message.write(content.replace(marker, bytes.fromhex(step["bytes"]) + marker, 1))


def _cut(message: _Message, step: Step) -> None:
    content = message.content()
    message.write(content[: int(len(content) * step["cut_to"])] if step["cut_to"] < 1 else content[: -step["cut_to"]])


def _encode(message: _Message, step: Step) -> None:
    message.write(message.content().decode().encode(step["encode"]))


OPERATIONS: Final[dict[str, Callable[[_Message, Step], None]]] = {
    "remove": _remove,
    "set": _set,
    "attribute": _attribute,
    "repeat": _repeat,
    "add": _add,
    "rename": _rename,
    "move": _move,
    "nest": _nest,
    "replace": _replace,
    "pack": _encode_payload,
    "sign": _sign,
    "body": _body,
    "only": _only,
    "prefix": _wrap,
    "pad": _pad,
    "bytes": _hex,
    "cut_to": _cut,
    "encode": _encode,
}
"""The operations by the key that names them in a step."""
