"""Values that never show themselves by accident."""

__all__ = ["Masked"]


class Masked:
    """A base for values that name or describe a patient: ``repr`` and ``str`` tell the type only.

    A traceback, a log line or an assertion message can then not leak the value (IFC-LOG-02).
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__
