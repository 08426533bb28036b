"""XPath with the harness's prefixes, typed."""

from lxml import etree

from smsp_provider.conformance.names import NAMESPACES

__all__ = ["elements", "only_element"]


def elements(root: etree._Element, path: str) -> list[etree._Element]:
    """The elements that a path names; nothing else it may name counts."""
    found = root.xpath(path, namespaces=NAMESPACES)
    return [node for node in found if etree.iselement(node)] if isinstance(found, list) else []


def only_element(root: etree._Element, path: str) -> etree._Element | None:
    """The one element that a path names; None where there is none, or more."""
    found = elements(root, path)
    return found[0] if len(found) == 1 else None
