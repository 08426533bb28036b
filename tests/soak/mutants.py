"""Seeded faults of the provider's own: a soak that does not catch each of them proves nothing.

Each replaces a part of the running program, as a mistake in that part would.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

from smsp_provider.domain import gate
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.engine.exchange import Reply
from smsp_provider.engine.pipeline import Pipeline
from smsp_provider.engine.stages import Received

__all__ = ["MUTANTS"]


def shared_template() -> None:
    """The response is written into one place that all requests share, instead of one for each."""
    written: Any = Pipeline._written
    ended: Any = Pipeline._end_with_outcome
    shared = {"document": b""}

    def write(self: Pipeline, received: Received, request: object, outcome: Outcome, message_id: str) -> bytes:
        shared["document"] = written(self, received, request, outcome, message_id)
        return shared["document"]

    def end(self: Pipeline, *arguments: object) -> Reply:
        reply: Reply = ended(self, *arguments)
        return Reply(reply.status, shared["document"])

    _replace(Pipeline, "_written", write)
    _replace(Pipeline, "_end_with_outcome", end)


def cache_by_message_id() -> None:
    """Answers are kept by the client's MessageID, and given again to whoever repeats it."""
    answered: Any = Pipeline.answer
    kept: dict[str, Reply] = {}
    guard = threading.Lock()

    def answer(self: Pipeline, received: Received) -> Reply:
        message_id = received.addressing.message_id
        with guard:
            if message_id in kept:
                return kept[message_id]
        reply: Reply = answered(self, received)
        with guard:
            if reply.status == 200:
                kept[message_id] = reply
        return reply

    _replace(Pipeline, "answer", answer)


def w1_off() -> None:
    """Whether an answer belongs to its question is not checked (safety.md, W1)."""
    _replace(gate, "_check_correlation", lambda _: None)


def _replace(owner: object, name: str, by: Callable[..., object]) -> None:
    assert hasattr(owner, name)
    setattr(owner, name, by)


MUTANTS: Final[dict[str, Callable[[], None]]] = {
    "shared-template": shared_template,
    "cache-by-message-id": cache_by_message_id,
    "w1-off": w1_off,
}
