"""Asks PDS over HL7 V3: writes the query, sends it, reads the answer, repeats what Spine says may be repeated.

Source: pds-hl7v3.md (sections 2, 7 and 9); pds-services.md, the one table; SMSP-IG-003, SMSP-AUDIT-004.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from smsp_provider.connectors.http import HTTPAnswer, SpineTransport
from smsp_provider.domain.failures import NoCapacity, NotSent, Refused, SentNoAnswer, SpineFailure, Unreadable
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.spine_answers import ExchangeIds, SpineAnswer
from smsp_provider.domain.spine_queries import AdvancedTrace, SpineQuery
from smsp_provider.engine.ports import Clock, Deadline, IdSource, SpineSender
from smsp_provider.spine.hl7v3.answer import Question, read_answer
from smsp_provider.spine.hl7v3.fault import is_retryable
from smsp_provider.spine.hl7v3.interactions import interaction_of, soap_action
from smsp_provider.spine.hl7v3.query import MessageIds, Route, build_query

__all__ = ["HL7v3Connector", "HL7v3Settings"]

_CONTENT_TYPE: Final = "text/xml; charset=utf-8"
_PRODUCT: Final = "smsp-provider"
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class HL7v3Settings:
    """How we present ourselves to PDS.

    ``spine_asid`` is the ASID of PDS; ``own_address`` goes into From and ReplyTo, or both are left out.
    ``fault_retries`` is how often a query is asked again after a fault of which Spine says that it may pass, and
    ``fault_pause_seconds`` how long to wait before.
    """

    spine_asid: ASID
    own_address: str | None = None
    fault_retries: int = 2
    fault_pause_seconds: float = 0.2


class HL7v3Connector:
    """The synchronous queries of PDS. Thread-safe; keeps nothing of a query.

    ``transport`` takes every query but those whose interaction (by its request's id) has a transport in ``elsewhere``:
    Spine registers an endpoint for each interaction, which need not be the same (pds-hl7v3.md, section 2).
    ``may_repeat`` waits for leave to send a message once more, and tells whether there is any.
    """

    def __init__(
        self,
        settings: HL7v3Settings,
        transport: SpineTransport,
        clock: Clock,
        ids: IdSource,
        sleep: Callable[[float], None],
        elsewhere: Mapping[str, SpineTransport] | None = None,
        may_repeat: Callable[[Deadline], bool] = lambda _: True,
    ) -> None:
        self._settings: Final = settings
        self._transport: Final = transport
        self._elsewhere: Final = dict(elsewhere or {})
        self._clock: Final = clock
        self._ids: Final = ids
        self._sleep: Final = sleep
        self._may_repeat: Final = may_repeat

    def can_ask(self, query: SpineQuery) -> bool:
        """Whether the query is a synchronous one; the advanced trace answers asynchronously, by ebXML."""
        return not isinstance(query, AdvancedTrace)

    def has_at_hand(self, _query: SpineQuery, _sender: SpineSender, _deadline: Deadline) -> bool:
        """Nothing is: each query of HL7 V3 is a message of its own."""
        return False

    def ask(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> SpineAnswer:
        """Ask, and ask again (with new ids) while Spine reports nothing but failures that may pass and time is left.

        ``exchange`` of the answer, and of every failure, holds the ids of all messages that may have reached Spine.

        Raises:
            QueryNotBuilt: an advanced trace, or a query that would break Spine's rules; nothing was sent.
            SpineFailure: as the transport and the reader tell it.
        """
        sent: list[str] = []
        try:
            return self._ask_repeatedly(query, sender, deadline, sent, self._settings.fault_retries)
        except SpineFailure as failure:
            interaction = interaction_of(query).request
            received = () if failure.exchange is None else failure.exchange.received
            failure.exchange = ExchangeIds(
                interaction, tuple(sent), received, _named(self._transport_of(interaction)), _told(sender)
            )
            raise

    def close_idle(self) -> None:
        """Drop every kept connection: what came over one of them cannot be trusted (the gate's W1)."""
        for transport in {self._transport, *self._elsewhere.values()}:
            transport.close_idle()

    def _ask_repeatedly(
        self, query: SpineQuery, sender: SpineSender, deadline: Deadline, sent: list[str], repeats: int
    ) -> SpineAnswer:
        try:
            return self._ask_once(query, sender, deadline, sent)
        except Refused as refusal:
            if repeats == 0 or not is_retryable(refusal.codes) or not self._paused(deadline):
                raise
            refused = refusal
        try:
            return self._ask_repeatedly(query, sender, deadline, sent, repeats - 1)
        except (NotSent, NoCapacity):
            # Spine has answered before: that nothing was sent would no longer be true.
            raise refused from None

    def _transport_of(self, interaction: str) -> SpineTransport:
        return self._elsewhere.get(interaction, self._transport)

    def _paused(self, deadline: Deadline) -> bool:
        """Wait before another attempt, and for leave; False, at once, where the deadline leaves no time for one."""
        pause = self._settings.fault_pause_seconds
        if deadline.remaining(self._clock) <= pause:
            return False
        self._sleep(pause)
        return self._may_repeat(deadline)

    def _ask_once(self, query: SpineQuery, sender: SpineSender, deadline: Deadline, sent: list[str]) -> SpineAnswer:
        ids = MessageIds(f"uuid:{self._ids.new_uuid()}", self._ids.new_uuid())
        now = self._clock.now()
        # In six parts: strftime takes four times as long.
        created = f"{now.year:04}{now.month:02}{now.day:02}{now.hour:02}{now.minute:02}{now.second:02}"
        interaction = interaction_of(query)
        transport = self._transport_of(interaction.request)
        route = Route(transport.url, self._settings.spine_asid, self._settings.own_address)
        message = build_query(query, ids, created, route, sender.asid, sender.author)
        headers = {"Content-Type": _CONTENT_TYPE, "SOAPAction": f'"{soap_action(interaction)}"', "User-Agent": _PRODUCT}
        sent += (ids.soap, ids.hl7)
        try:
            answer = transport.post(message, headers, deadline)
        except (NotSent, NoCapacity):
            del sent[-2:]
            raise
        return _read(answer, Question(interaction, ids, tuple(sent), _named(transport), _told(sender)))


def _named(transport: SpineTransport) -> str:
    """The way to PDS as the audit trail names it."""
    return f"hl7v3 {transport.authority}"


def _told(sender: SpineSender) -> tuple[str, ...]:
    """In whose name a query goes out, as :func:`build_query` writes it."""
    author = sender.author
    if author is None:
        return (sender.asid.value,)
    return sender.asid.value, author.role_profile, author.user, author.role


def _read(answer: HTTPAnswer, question: Question) -> SpineAnswer:
    """The answer in the body. With a status of failure only a fault is one: a page of a proxy is no answer of Spine."""
    if answer.status < _SERVER_ERROR:
        return read_answer(answer.body, question)
    with suppress(Unreadable):
        read_answer(answer.body, question)
    raise SentNoAnswer(f"HTTP status {answer.status} without a Spine fault")
