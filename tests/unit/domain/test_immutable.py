"""What the values of a request are like that the type checker keeps as they are."""

from copy import deepcopy
from dataclasses import KW_ONLY, FrozenInstanceError, InitVar, field, replace
from inspect import signature

import pytest

from smsp_provider.domain.immutable import frozen, immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.person import Practice


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


@frozen
class _Person(Masked):
    number: str
    names: tuple[str, ...] = ()
    born: str | None = None


@frozen
class _Even(Masked):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("not even")


def test_nobody_assigns_to_a_frozen_value_nor_takes_from_it() -> None:
    person = _Person("a", ("b",))
    for name in ("number", "names", "born", "more"):
        with pytest.raises((FrozenInstanceError, TypeError)):
            setattr(person, name, "c")
    with pytest.raises(FrozenInstanceError):
        del person.number
    assert (person.number, person.names, person.born) == ("a", ("b",), None)


def test_nobody_assigns_to_the_period_that_items_without_one_share() -> None:
    shared = Practice("A12345").validity
    assert shared is Practice("B12345").validity
    with pytest.raises(FrozenInstanceError):
        setattr(shared, "withdrawn", True)  # noqa: B010 - the type checker would not let it through otherwise


def test_a_frozen_value_takes_its_fields_in_order_or_by_name_and_has_its_defaults() -> None:
    assert _Person("a", ("b",), "c") == _Person(born="c", names=("b",), number="a")
    assert replace(_Person("a"), born="c") == _Person("a", (), "c") != _Person("a")
    assert {_Person("a"), _Person("a", ())} == {_Person("a")}
    assert deepcopy(_Person("a", ("b",))) == _Person("a", ("b",))
    assert list(signature(_Person).parameters) == ["number", "names", "born"]
    for arguments in ((), ("a", (), None, "d")):
        with pytest.raises(TypeError):
            _Person(*arguments)


def test_a_frozen_value_is_checked_when_it_is_made() -> None:
    assert _Even(2).number == 2
    with pytest.raises(ValueError, match="not even"):
        _Even(3)


def test_a_frozen_value_does_not_show_itself() -> None:
    assert repr(_Person("a")) == str(_Person("a")) == "<_Person>"


def test_a_frozen_value_has_no_default_that_a_function_makes() -> None:
    class Made:
        parts: tuple[str, ...] = field(default_factory=tuple)

    with pytest.raises(TypeError, match="parts"):
        frozen(Made)


class _Derived:
    number: str
    length: int = field(init=False, default=0)


class _Named:
    number: str
    born: str = field(kw_only=True)


class _NamedFromHere:
    number: str
    _: KW_ONLY
    born: str = ""


class _Passing:
    number: str
    born: InitVar[str]


@pytest.mark.parametrize(
    ("plain", "field_name"),
    [(_Derived, "length"), (_Named, "born"), (_NamedFromHere, "born"), (_Passing, "born")],
    ids=["no parameter", "by name alone", "by name alone from here on", "no field"],
)
def test_a_frozen_value_is_made_of_all_its_fields_in_their_places(plain: type, field_name: str) -> None:
    with pytest.raises(TypeError, match=f"^{field_name}: a parameter and no field, or a field that has no place"):
        frozen(plain)
