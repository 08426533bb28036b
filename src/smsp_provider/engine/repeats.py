"""Messages that come again: one use of a MessageID, from its registration to what becomes of it.

Source: WS-ADR-01, WS-REL-02, transport.md (wsa:MessageID).
"""

from contextlib import suppress
from datetime import datetime
from typing import Final

from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.domain.faults import try_again
from smsp_provider.engine.ports import ReplayMemory, ReplayUnavailable

__all__ = ["MessageUse", "Repeats"]


class Repeats:
    """The memory of used MessageIDs under one policy: ``reject`` refuses a repeat in place of marking it."""

    def __init__(self, memory: ReplayMemory, observer: Observer, *, reject: bool) -> None:
        self.memory: Final = memory
        self.observer: Final = observer
        self.reject: Final = reject

    def use(self, exchange_id: str, message_id: str, at: datetime) -> "MessageUse":
        """The use that one exchange makes of a MessageID; nothing is registered yet."""
        return MessageUse(self, exchange_id, message_id, at)


class MessageUse:
    """One exchange's use of its MessageID. From one thread."""

    def __init__(self, repeats: Repeats, exchange_id: str, message_id: str, at: datetime) -> None:
        self._repeats: Final = repeats
        self._exchange_id: Final = exchange_id
        self._message_id: Final = message_id
        self._at: Final = at
        self._registered_for: str | None = None

    def is_repeat(self, caller: str) -> bool:
        """Register the MessageID under the caller's name; whether the caller used it within the replay window.

        Raises:
            ToolkitFault: 2100, nothing can be told and repeats are to be rejected.
        """
        repeats = self._repeats
        try:
            is_repeat = repeats.memory.is_repeat(caller, self._message_id, self._at)
        except ReplayUnavailable as unavailable:
            reason = str(unavailable)
            repeats.observer.notify(Alert(AlertKind.REPLAY_MEMORY_UNAVAILABLE, self._exchange_id, reason))
            if repeats.reject:
                raise try_again("The service is busy, try again later", rule="WS-ADR-01") from None
            return False
        if not is_repeat:
            self._registered_for = caller
        return is_repeat

    def allow_again(self) -> None:
        """Let the same message come again where repeats are rejected: its sender is told to try again.

        Only what this exchange registered is taken back. Whoever is refused before that, say because its client has too
        many requests under way, may be a repeat of a message that was answered: it stays one.
        """
        if self._repeats.reject and self._registered_for is not None:
            with suppress(ReplayUnavailable):
                self._repeats.memory.forget(self._registered_for, self._message_id)
