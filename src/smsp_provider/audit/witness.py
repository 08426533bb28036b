"""The witness: whoever keeps the roots of a trail outside its database, so that the two can be compared.

Whoever holds database and signing key can rewrite both in a way that nothing within them tells. The witness has seen
what was there before. It keeps a line of JSON for each root, in the order of their numbers:
``{"number":7,"signature":"<128 hexadecimal digits>","statement":"<the statement, as a string>"}``.
"""

import json
from collections.abc import Sequence
from typing import Final, Protocol

from smsp_provider.audit.chain import SignedRoot

__all__ = ["Witness", "WitnessLineInvalid", "WitnessUnavailable", "read_line", "write_line"]

_to_json: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=True).encode


class WitnessUnavailable(Exception):
    """The witness cannot be reached, does not take a root, or has something else than roots; the text says which."""


class WitnessLineInvalid(ValueError):
    """A line that is no root. It is not quoted."""


class Witness(Protocol):
    """One place that keeps roots."""

    @property
    def name(self) -> str:
        """What operators know it by; nothing secret."""
        ...

    def last(self) -> SignedRoot | None:
        """The root it got last; None where it has none.

        Raises:
            WitnessUnavailable: that cannot be told.
        """
        ...

    def append(self, roots: Sequence[SignedRoot]) -> None:
        """Hand it the roots that follow its last one, in order.

        Raises:
            WitnessUnavailable: it may not have them all; :meth:`last` tells.
        """
        ...


def write_line(root: SignedRoot) -> bytes:
    """A root as a line, its end included."""
    fields = {
        "number": root.number,
        "signature": root.signature.hex(),
        "statement": root.statement.decode("ascii"),
    }
    return _to_json(fields).encode("ascii") + b"\n"


def read_line(line: bytes) -> SignedRoot:
    """The root in a line, with or without its end.

    Raises:
        WitnessLineInvalid: there is none in it, or it is not written as :func:`write_line` does.
    """
    try:
        fields = json.loads(line.decode("ascii"))
        root = SignedRoot(fields["number"], fields["statement"].encode("ascii"), bytes.fromhex(fields["signature"]))
        again = write_line(root)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise WitnessLineInvalid("not a root") from None
    if type(root.number) is not int or again.rstrip(b"\n") != line.rstrip(b"\n"):
        raise WitnessLineInvalid("not a root")
    return root
