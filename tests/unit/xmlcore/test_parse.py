"""White space between elements: kept, or left out where nobody reads it, and never taken from a leaf."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from smsp_provider.xmlcore.parse import MalformedXML, parse

_SPACE = st.text(" \t\n", min_size=1, max_size=5)
_LEAF = st.one_of(_SPACE, st.text("aé& \n<", max_size=5))


def test_white_space_between_elements_is_kept_unless_told_otherwise() -> None:
    document = b"<a>\n  <b>x</b>\n</a>"
    assert etree.tostring(parse(document)) == document
    assert etree.tostring(parse(document, keep_blanks=False)) == b"<a><b>x</b></a>"


@given(leaves=st.lists(_LEAF, min_size=1, max_size=4), space=_SPACE)
def test_without_white_space_between_them_leaves_say_the_same(leaves: list[str], space: str) -> None:
    root = etree.Element("a")
    for leaf in leaves:
        child = etree.SubElement(etree.SubElement(root, "b"), "c")
        child.text, child.tail = leaf, space
    root.text = space
    document = etree.tostring(root, encoding="utf-8")
    kept, left_out = parse(document), parse(document, keep_blanks=False)
    assert [leaf.text for leaf in left_out.iter("c")] == [leaf.text for leaf in kept.iter("c")]
    assert {leaf.tail for leaf in left_out.iter("c")} == {None}
    assert (root.text, left_out.text) == (space, None)


@pytest.mark.parametrize("keep_blanks", [True, False])
@pytest.mark.parametrize(
    "document",
    [b"<a>\xff</a>", b"<a>", b"<!DOCTYPE a><a/>", b"", b"<a>" * 300 + b"</a>" * 300],
    ids=["not UTF-8", "cut short", "a document type", "nothing", "too deep"],
)
def test_what_is_refused_is_refused_either_way_and_the_next_document_is_read(
    document: bytes, keep_blanks: bool
) -> None:
    with pytest.raises(MalformedXML):
        parse(document, keep_blanks=keep_blanks)
    assert parse("<a>é</a>".encode(), keep_blanks=keep_blanks).text == "é"
    assert parse(b"<a>e</a>", keep_blanks=keep_blanks).text == "e"
