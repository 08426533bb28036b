"""How asking Spine can fail, told apart by what is known about the query (pds-services.md, the one table).

None of these carries content of a message: reasons name what happened, codes come from Spine's own fault list.
"""

from smsp_provider.domain.spine_answers import ExchangeIds

__all__ = ["NoCapacity", "NotSent", "QueryNotBuilt", "Refused", "SentNoAnswer", "SpineFailure", "Unreadable"]


class SpineFailure(Exception):
    """Base of all failures of an exchange with Spine.

    ``reason`` is for the audit and the operator; ``exchange`` holds the ids sent, where a query was made.
    """

    def __init__(self, reason: str, exchange: ExchangeIds | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exchange = exchange


class NotSent(SpineFailure):
    """Nothing reached Spine: connection, TLS or name resolution failed. Safe to try again."""


class SentNoAnswer(SpineFailure):
    """The query left and no whole answer came: timeout, reset, cut, or an HTTP 5xx without a Spine fault."""


class Refused(SpineFailure):
    """Spine, or something before it, refused our message: a SOAP fault (``codes``) or an HTTP 3xx or 4xx."""

    def __init__(self, reason: str, codes: tuple[str, ...] = (), exchange: ExchangeIds | None = None) -> None:
        super().__init__(reason, exchange)
        self.codes = codes


class Unreadable(SpineFailure):
    """A whole answer that is HTML, not XML, in a wrong charset, another interaction, or otherwise unusable."""


class QueryNotBuilt(SpineFailure):
    """The query cannot be written or is not supported by this connector; nothing was sent."""


class NoCapacity(SpineFailure):
    """No leave, or no connection, to ask with; nothing was sent.

    ``retry_after`` is how many whole seconds a caller should wait, where that is known.
    """

    def __init__(self, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
