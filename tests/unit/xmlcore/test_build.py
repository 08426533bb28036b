"""Escaping: whatever a value holds, it is read back as itself, or without what XML cannot carry."""

from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.xmlcore.build import attribute_text, document, element, text
from smsp_provider.xmlcore.parse import parse

XML_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[chr(c) for c in range(32)]))
CONTROLS = st.text(st.sampled_from("\x00\x01\x08\x0b\x0c\x0e\x1f\ud800\udfff\ufffe\uffff\r\n\t&<>\"']]>a"))


def carried(value: str) -> str:
    """What XML 1.0 can carry of a value."""
    return "".join(
        c for c in value if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )


@given(XML_TEXT | CONTROLS | st.text())
def test_a_value_comes_back_from_text_and_attribute(value: str) -> None:
    root = parse(document([f'<a b="{attribute_text(value)}">{text(value)}</a>']))
    assert root.get("b") == carried(value)
    assert (root.text or "") == carried(value)
    assert len(root) == 0


def test_a_value_without_anything_to_escape_is_the_same_object() -> None:
    value = "Quillfeather of Leeds"
    assert text(value) is value
    assert attribute_text(value) is value


def test_an_element_is_written_with_its_attributes() -> None:
    assert element("a", element("b"), c_='"', d=None) == '<a c="&quot;"><b/></a>'
