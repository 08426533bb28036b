"""Reading one level of a tree."""

import pytest

from smsp_provider.xmlcore.parse import parse
from smsp_provider.xmlcore.read import by_tag, first_child, leaf_text, only_child


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"<a/>", ""),
        (b"<a> \n\tx y\r\n </a>", "x y"),
        (b"<a>x<b/>y</a>", ""),
        (b"<a>x<!-- c -->y<?p i?>z</a>", "xyz"),
        (b"<a><![CDATA[<x>]]></a>", "<x>"),
        ("<a>\u00a0x\u2003</a>".encode(), "\u00a0x\u2003"),
    ],
)
def test_the_text_of_a_leaf(document: bytes, expected: str) -> None:
    assert leaf_text(parse(document)) == expected


def test_a_missing_leaf_has_no_text() -> None:
    assert leaf_text(None) == ""


def test_the_only_child_is_the_only_one_of_its_name() -> None:
    root = parse(b'<a xmlns:x="urn:x"><b/><c/><c/><x:d/></a>')
    assert only_child(root, "b") is root[0]
    assert only_child(root, "c") is None
    assert only_child(root, "d") is None
    assert only_child(root, "{urn:x}d") is root[3]


def test_the_first_child_is_the_first_of_its_name() -> None:
    root = parse(b"<a><c/><b n='1'/><b n='2'/><d><e/></d></a>")
    assert first_child(root, "b") is root[1]
    assert first_child(root, "e") is None


def test_elements_are_sorted_by_their_tags() -> None:
    root = parse(b"<a xmlns:x='urn:x'><b/><x:b/><b/></a>")
    assert by_tag(root[:]) == {"b": [root[0], root[2]], "{urn:x}b": [root[1]]}
