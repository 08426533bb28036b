"""Several ways to PDS at once: each organisation's own, so that organisations can move one after the other."""

from collections.abc import Mapping
from typing import Final

from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.spine_answers import SpineAnswer
from smsp_provider.domain.spine_queries import SpineQuery
from smsp_provider.engine.ports import Deadline, SpineConnector, SpineSender

__all__ = ["ByOrganisation"]


class ByOrganisation:
    """Asks by the connector of the organisation that asks, or by ``default`` where it has none of its own."""

    def __init__(self, default: SpineConnector, own: Mapping[ODSCode, SpineConnector]) -> None:
        self._default: Final = default
        self._own: Final = dict(own)

    def can_ask(self, query: SpineQuery) -> bool:
        """Whether some organisation's connector can; one that cannot says so when it is asked."""
        return any(connector.can_ask(query) for connector in self._all())

    def has_at_hand(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> bool:
        """Whether the organisation's connector has the answer already."""
        return self._of(sender).has_at_hand(query, sender, deadline)

    def ask(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> SpineAnswer:
        """Ask by the organisation's connector.

        Raises:
            SpineFailure, AuthorRefused: as that connector does.
        """
        return self._of(sender).ask(query, sender, deadline)

    def close_idle(self) -> None:
        """Close the idle connections of all: which one brought the answer is not known here."""
        for connector in self._all():
            connector.close_idle()

    def _of(self, sender: SpineSender) -> SpineConnector:
        own = self._own.get(sender.ods_code) if sender.ods_code is not None else None
        return own or self._default

    def _all(self) -> list[SpineConnector]:
        return list(dict.fromkeys((self._default, *self._own.values())))
