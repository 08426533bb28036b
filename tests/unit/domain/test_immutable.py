"""What the values of a request are like that the type checker keeps as they are."""

from dataclasses import field, replace

import pytest

from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked


@immutable
class _Shown:
    name: str
    parts: tuple[str, ...] = field(default_factory=tuple)


@immutable
class _Other:
    name: str
    parts: tuple[str, ...] = ()


@immutable
class _Hidden(Masked):
    name: str


def test_values_are_the_same_where_class_and_fields_are() -> None:
    assert _Shown("a") == _Shown("a", ()) == replace(_Shown("b"), name="a")
    assert _Shown("a") != _Shown("b")
    other: object = _Other("a")
    assert _Shown("a") != other


def test_values_can_be_members_of_sets() -> None:
    assert {_Shown("a"), _Shown("a", ()), _Shown("b")} == {_Shown("b"), _Shown("a")}


def test_values_have_no_room_for_more() -> None:
    assert not hasattr(_Shown("a"), "__dict__")
    with pytest.raises(AttributeError):
        setattr(_Shown("a"), "more", 1)  # noqa: B010 - the type checker would not let it through otherwise


def test_a_value_shows_itself_unless_it_is_masked() -> None:
    assert repr(_Shown("a")) == "_Shown(name='a', parts=())"
    assert repr(_Hidden("a")) == "<_Hidden>"
