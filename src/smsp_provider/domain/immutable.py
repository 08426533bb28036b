"""Values that are made for each request, by the dozen: never changed once made, and cheap to make.

``@dataclass(frozen=True)`` makes a class whose constructor goes round its own guard, with a call for each field, of
which a request has some two hundred. Here the type checker is the guard, which reads every line of this project; the
constructor is an ordinary one. What says who a patient is (safety rule W9) stays frozen when it runs, too
(:func:`frozen`), and so does what is made once: policies and settings.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, TypeVar, dataclass_transform

__all__ = ["frozen", "immutable"]

_Class = TypeVar("_Class")
_with_repr: Final[Callable[[type], type]] = dataclass(slots=True, unsafe_hash=True)
_without_repr: Final[Callable[[type], type]] = dataclass(slots=True, unsafe_hash=True, repr=False)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: type[_Class]) -> type[_Class]:
    """A dataclass with slots, compared and hashed by its fields, that nobody may assign to.

    The hash is as good as the promise: no field is assigned to, and all of them can be hashed where the hash is used.
    A ``repr`` that the class has already (:class:`smsp_provider.domain.masking.Masked`) stays.
    """
    made: type[_Class] = (_with_repr if cls.__repr__ is object.__repr__ else _without_repr)(cls)
    return made


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[_Class]) -> type[_Class]:
    """A dataclass with slots that shows no field in its ``repr`` and lets nobody assign to one when it runs either.

    It is what ``dataclass(frozen=True, slots=True, repr=False)`` makes, but for the constructor: that one goes round
    the guard by the name of each field, which takes three times as long as to set the slots themselves. Defaults are
    values, and the fields are the parameters, each by its place or by its name: what else a dataclass knows is refused.

    Raises:
        TypeError: a default is made by a function, or a field is no parameter, or has no place among them
            (``init=False``, ``kw_only``), or a parameter is no field (``InitVar``).
    """
    made: Any = dataclass(frozen=True, slots=True, repr=False)(cls)
    made.__init__ = _constructor(made)
    found: type[_Class] = made
    return found


def _constructor(made: type[Any]) -> object:
    """A constructor that sets the slots, written as text and made a function as ``dataclass`` does with its own."""
    # Those that a dataclass takes by their places.
    odd = {one.name for one in fields(made)} ^ set(made.__match_args__)
    if odd:
        raise TypeError(f"{', '.join(sorted(odd))}: a parameter and no field, or a field that has no place among them")
    names: dict[str, Any] = {}
    parameters, statements = ["self"], []
    for one in fields(made):
        if one.default_factory is not MISSING:
            raise TypeError(f"{one.name} has a default that is made by a function")
        names[f"set_{one.name}"], names[f"default_{one.name}"] = getattr(made, one.name).__set__, one.default
        parameters.append(one.name if one.default is MISSING else f"{one.name}=default_{one.name}")
        statements.append(f"set_{one.name}(self, {one.name})")
    if hasattr(made, "__post_init__"):
        statements.append("self.__post_init__()")
    text = f"def __init__({', '.join(parameters)}):\n    " + "\n    ".join(statements)
    exec(text, names)  # noqa: S102 - nothing but the names of fields stands in it
    return names["__init__"]
