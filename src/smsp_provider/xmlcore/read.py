"""Reading one level of a tree: the text of a leaf, the one child of a name. Child steps only, never descendants.

Children are taken as a list (``parent[:]``): libxml2's own iterators and lxml's ``find`` cost several times as much.
Who looks at the same children again takes such a list once and hands it on: lxml makes the name of an element anew each
time the element was let go in between.
"""

from collections.abc import Iterable
from typing import Final

from lxml import etree

__all__ = ["XML_SPACE", "by_tag", "first_child", "leaf_text", "only_child"]

XML_SPACE: Final = " \t\r\n"
"""White space of XML 1.0; ``str.strip()`` without it would also take what other alphabets call a blank."""


def leaf_text(element: etree._Element | None) -> str:
    """The text of a leaf without outer white space; empty where the element is missing or holds elements.

    Text with an element in its middle would be cut short without a word, so it is no text at all.
    """
    if element is None or len(element):
        return ""
    return (element.text or "").strip(XML_SPACE)


def by_tag(elements: Iterable[etree._Element]) -> dict[object, list[etree._Element]]:
    """The elements by their tags (in Clark notation), those of one tag in the order given."""
    found: dict[object, list[etree._Element]] = {}
    for element in elements:
        found.setdefault(element.tag, []).append(element)
    return found


def only_child(parent: etree._Element | list[etree._Element], tag: str) -> etree._Element | None:
    """The one child with this tag (in Clark notation); None where there is none, and where there are several.

    In place of the parent its children may be given, as a list.
    """
    found = None
    for child in parent[:]:
        if child.tag == tag:
            if found is not None:
                return None
            found = child
    return found


def first_child(parent: etree._Element | list[etree._Element], tag: str) -> etree._Element | None:
    """The first child with this tag (in Clark notation), of a parent or of a list; None where there is none."""
    for child in parent[:]:
        if child.tag == tag:
            return child
    return None
