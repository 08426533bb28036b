"""A request among those that its client has under way (SMSP-PERF-001)."""

from contextlib import AbstractContextManager
from typing import Final

from smsp_provider.domain.access import RegisteredClient
from smsp_provider.engine.admission import Admission, Busy

__all__ = ["UnderWay"]


class UnderWay:
    """One request: counted from the moment that it is admitted to its end, and not at all without a registered client.

    From one thread; :meth:`end` has to follow, whatever happens.
    """

    __slots__ = ("_admission", "_admitted")

    def __init__(self, admission: Admission) -> None:
        self._admission: Final = admission
        self._admitted: AbstractContextManager[None] | None = None

    def admit(self, client: RegisteredClient) -> None:
        """Count the request among those of its client.

        Raises:
            ToolkitFault: 2100, the client has used up its rate or its concurrency.
        """
        admitted = self._admission.admit_request(client.client.name, client.client.limits)
        try:
            admitted.__enter__()
        except Busy as busy:
            raise busy.as_fault() from None
        self._admitted = admitted

    def end(self) -> None:
        """The request has its answer."""
        if self._admitted is not None:
            self._admitted.__exit__(None, None, None)
