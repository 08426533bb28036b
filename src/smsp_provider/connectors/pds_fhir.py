"""Asks PDS over its FHIR API: one GET for a question about a number, one for a search.

An answer about another number than the one asked looks the same whether the number was superseded or the answer
misdelivered: it is believed only when a second request, with an id of its own, brings the very same record.

A request that checks a number and then wants its record asks once: the record is kept for the request's next query, by
its deadline, and is gone with the request. Only a record with the very date of birth that the caller sent is kept: any
other date has to come twice before it is given out (W7). Source: facts of PDS FHIR, sections 5, 6, 10 and 11;
safety.md, W1, W3 and W7.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from smsp_provider.connectors.http import HTTPAnswer, HTTPTransport
from smsp_provider.connectors.pds_fhir_token import Tokens
from smsp_provider.domain.audit_identity import AuthorRefused
from smsp_provider.domain.failures import NoCapacity, NotSent, SentNoAnswer, SpineFailure
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.spine_answers import ExchangeIds, SpineAnswer
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SpineQuery
from smsp_provider.engine.ports import Clock, Deadline, IdSource, SpineSender
from smsp_provider.spine.pds_fhir.answer import Question, Response, read_answer
from smsp_provider.spine.pds_fhir.query import interaction_of, organisation_header, request_target
from smsp_provider.spine.pds_fhir.record import HOME_PHONE

__all__ = ["PDSFHIRConnector", "PDSFHIRSettings"]

_UNAUTHORISED: Final = 401
_RETRY_AFTER: Final = re.compile(r"[0-9]{1,4}")
_PRODUCT: Final = "smsp-provider"


@dataclass(frozen=True, slots=True)
class PDSFHIRSettings:
    """How PDS FHIR is asked.

    ``home_phone`` is the use that telephones at home get (HP or H). ``persons_unattended`` asks without the person of a
    smartcard request, whom this API cannot be told, in place of refusing. A request is sent ``repeats`` times more at
    most, after ``pause_seconds`` and then twice as long each time, unless PDS says how long.
    """

    home_phone: str = HOME_PHONE
    persons_unattended: bool = False
    repeats: int = 2
    pause_seconds: float = 0.2


@dataclass(slots=True)
class _Conversation:
    """What belongs to one request: the id under which its calls go, and a record that it may ask for once more."""

    correlation_id: str
    kept: tuple[tuple[str, str], SpineAnswer] | None = None


@dataclass(slots=True)
class _Call:
    """One query on its way: what to send, and all ids that may have reached PDS.

    ``recorded`` is the interaction as the audit trail names it, which tells of a person who was not named to PDS.
    """

    target: str
    organisation: str
    interaction: str
    recorded: str
    correlation_id: str
    deadline: Deadline
    sent: list[str] = field(default_factory=list)


class PDSFHIRConnector:
    """All queries of PDS, over FHIR. Thread-safe; keeps nothing beyond a request.

    ``transport`` is built for the API's base URL. ``tokens`` None asks without one, which the public sandbox allows.
    ``jitter`` gives numbers from 0 to 1. ``may_repeat`` waits for leave to send one request more than the first.
    """

    def __init__(
        self,
        settings: PDSFHIRSettings,
        transport: HTTPTransport,
        tokens: Tokens | None,
        clock: Clock,
        ids: IdSource,
        sleep: Callable[[float], None],
        jitter: Callable[[], float],
        may_repeat: Callable[[Deadline], bool] = lambda _: True,
    ) -> None:
        self._settings: Final = settings
        self._transport: Final = transport
        self._base: Final = urlsplit(transport.url).path.rstrip("/")
        self._tokens: Final = tokens
        self._clock: Final = clock
        self._ids: Final = ids
        self._sleep: Final = sleep
        self._jitter: Final = jitter
        self._may_repeat: Final = may_repeat
        self._lock: Final = threading.Lock()
        self._conversations: Final[WeakKeyDictionary[Deadline, _Conversation]] = WeakKeyDictionary()

    def can_ask(self, _query: SpineQuery) -> bool:
        """Whether there is a way to send such a query: there is, also for wildcards and partial dates."""
        return True

    def has_at_hand(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> bool:
        """Whether the record was brought by the check just before."""
        kept = self._conversation(deadline).kept
        return kept is not None and isinstance(query, Retrieval) and kept[0] == self._key(query, sender)

    def ask(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> SpineAnswer:
        """Ask, and ask again (with the same X-Request-ID) while PDS is in trouble that may pass and time is left.

        Raises:
            AuthorRefused: the request is a person's with a smartcard, and the settings do not take it as unattended.
            QueryNotBuilt: the request names no organisation that the API can be told.
            SpineFailure: as the transport, the token endpoint and the reader tell it.
        """
        if sender.author is not None and not self._settings.persons_unattended:
            raise AuthorRefused("PDS FHIR cannot be asked in the name of a smartcard's user")
        key = organisation, target = self._key(query, sender)
        conversation = self._conversation(deadline)
        asked = query.nhs_number.digits if isinstance(query, CrossCheckTrace | Retrieval) else None
        kept, conversation.kept = conversation.kept, None
        if kept is not None and kept[0] == key and isinstance(query, Retrieval):
            return _again(kept[1])
        interaction = interaction_of(query)
        recorded = interaction if sender.author is None else f"{interaction}, without the smartcard's user"
        call = _Call(target, organisation, interaction, recorded, conversation.correlation_id, deadline)
        try:
            answer = self._answer(call)
            if asked is not None:
                answer = self._confirmed(answer, asked, call)
        except SpineFailure as failure:
            failure.exchange = self._recorded(call)
            raise
        if isinstance(query, CrossCheckTrace) and _is_born(answer, query.date_of_birth):
            conversation.kept = (key, answer)
        return answer

    def close_idle(self) -> None:
        """Drop every kept connection: what came over one of them cannot be trusted (the gate's W1)."""
        self._transport.close_idle()

    def _key(self, query: SpineQuery, sender: SpineSender) -> tuple[str, str]:
        """What a request differs in: for whom it is, and what it asks."""
        return organisation_header(sender.ods_code), request_target(self._base, query)

    def _conversation(self, deadline: Deadline) -> _Conversation:
        with self._lock:
            if deadline not in self._conversations:
                self._conversations[deadline] = _Conversation(self._ids.new_uuid())
            return self._conversations[deadline]

    def _confirmed(self, answer: SpineAnswer, asked: str, call: _Call) -> SpineAnswer:
        """The answer; one about another number says that it superseded the one asked if a second one says the same."""
        if not answer.records or answer.records[0].nhs_numbers in ((), (asked,)):
            return answer
        if not self._may_repeat(call.deadline):
            raise NoCapacity("no leave for the second request that a superseded number needs")
        second = self._answer(call)
        records = answer.records
        if second.records == records:
            records = tuple(replace(record, superseded_numbers=(asked,)) for record in records)
        return replace(
            answer,
            records=records,
            references=(*answer.references, *second.references),
            exchange=self._recorded(call, (*answer.exchange.received, *second.exchange.received)),
        )

    def _answer(self, call: _Call) -> SpineAnswer:
        """One request of its own id, repeated as often as is of use."""
        request_id = self._ids.new_uuid()
        earlier: SentNoAnswer | None = None
        for repeat in range(self._settings.repeats + 1):
            pause = self._settings.pause_seconds * 2**repeat * (0.5 + self._jitter())
            try:
                response = self._authorised(call, request_id)
                pause = _wanted_pause(response, pause)
                return self._read(response, call, request_id)
            except SentNoAnswer as failure:
                earlier = failure
                if repeat == self._settings.repeats or not self._paused(call.deadline, pause):
                    raise
            except NotSent:
                if earlier is not None:
                    # A request has gone before: that nothing was sent would no longer be true.
                    raise earlier from None
                if repeat == self._settings.repeats or not self._paused(call.deadline, pause):
                    raise
            except NoCapacity:
                if earlier is not None:
                    raise earlier from None
                raise
        raise AssertionError  # pragma: no cover - the last round returns or raises

    def _paused(self, deadline: Deadline, pause: float) -> bool:
        """Wait before another attempt, and for leave; False, at once, where the deadline leaves no time for one."""
        if deadline.remaining(self._clock) <= pause:
            return False
        self._sleep(pause)
        return self._may_repeat(deadline)

    def _authorised(self, call: _Call, request_id: str) -> HTTPAnswer:
        """The response; to a token that is not accepted, with a new token, once."""
        if self._tokens is None:
            return self._send(call, request_id, None)
        token = self._tokens.token(call.deadline)
        response = self._send(call, request_id, token)
        if response.status != _UNAUTHORISED or not self._may_repeat(call.deadline):
            return response
        self._tokens.reject(token)
        return self._send(call, request_id, self._tokens.token(call.deadline))

    def _send(self, call: _Call, request_id: str, token: str | None) -> HTTPAnswer:
        headers = {
            "Accept": "application/fhir+json",
            "X-Request-ID": request_id,
            "X-Correlation-ID": call.correlation_id,
            "NHSD-End-User-Organisation-ODS": call.organisation,
            "User-Agent": _PRODUCT,
        }
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        ids = [identifier for identifier in (request_id, call.correlation_id) if identifier not in call.sent]
        call.sent += ids
        try:
            return self._transport.call("GET", call.target, headers, None, call.deadline)
        except (NotSent, NoCapacity):
            call.sent = [identifier for identifier in call.sent if identifier not in ids]
            raise

    def _read(self, response: HTTPAnswer, call: _Call, request_id: str) -> SpineAnswer:
        question = Question(call.interaction, request_id, call.correlation_id, self._settings.home_phone)
        answer = read_answer(Response(response.status, response.headers, response.body), question)
        return replace(answer, exchange=self._recorded(call, answer.exchange.received))

    def _recorded(self, call: _Call, received: tuple[str, ...] = ()) -> ExchangeIds:
        upstream = f"pds-fhir {self._transport.authority}"
        return ExchangeIds(call.recorded, tuple(call.sent), received, upstream, (call.organisation,))


def _wanted_pause(response: HTTPAnswer, pause: float) -> float:
    """How long to wait before the next attempt: as PDS says, if it does."""
    wanted = response.headers.get("Retry-After", "")
    return max(float(wanted), pause) if _RETRY_AFTER.fullmatch(wanted) else pause


def _is_born(answer: SpineAnswer, date_of_birth: HL7Date) -> bool:
    return bool(answer.records) and answer.records[0].birth_time == date_of_birth.digits


def _again(kept: SpineAnswer) -> SpineAnswer:
    """An answer that is used once more: nothing was sent for it, and the audit trail says so."""
    before = kept.exchange
    return replace(kept, exchange=ExchangeIds(f"{before.interaction}, used again", (), (), before.upstream, ()))
