"""Values that are made for each request, by the dozen: never changed once made, and cheap to make.

``@dataclass(frozen=True)`` makes a class whose constructor goes round its own guard, with a call for each field, of
which a request has some two hundred. Here the type checker is the guard, which reads every line of this project; the
constructor is an ordinary one. What says who a patient is (safety rule W9) stays frozen when it runs, too, and so does
what is made once: policies and settings.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar, dataclass_transform

__all__ = ["immutable"]

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
