"""The Spine of the soak, in a process of its own: watermarked patients, and something going wrong all the time.

    python -m soak.spine

Prints its URL, and serves until its standard input ends.
"""

import sys
import threading
from collections import deque
from dataclasses import replace

from smsp_provider.simulator.answers import AnswerContext
from smsp_provider.simulator.faults import Fault, FaultKind, FaultPlan
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.server import EmbeddedSpine
from soak.marks import patients

__all__ = ["LATE_SECONDS"]

LATE_SECONDS = 5.5
"""More than the drivers' deadline."""

_EVERY = (
    (1511, Fault(FaultKind.LATE, seconds=LATE_SECONDS)),
    (97, Fault(FaultKind.DUPLICATED)),
    (211, Fault(FaultKind.WRONG_PATIENT)),
    (307, Fault(FaultKind.DROP_AFTER_READING)),
    (311, Fault(FaultKind.DROP_BEFORE_READING)),
    (313, Fault(FaultKind.CUT)),
    (223, Fault(FaultKind.UNCORRELATED)),
)
_MISDELIVERED_EVERY = 101
_REMEMBERED = 8


class _Misdelivery:
    """Now and then, the answer to somebody else's question: the whole of it, or with the right number and birth date.

    The second kind is what only the correlation can tell (W1): every other rule finds the patient that was asked for.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._count = 0
        self._lately: deque[AnswerContext] = deque(maxlen=_REMEMBERED)

    def __call__(self, answer: AnswerContext) -> AnswerContext:
        if answer.record is None:
            return answer
        with self._guard:
            self._count += 1
            count = self._count
            other = next((one for one in self._lately if one.interaction == answer.interaction), None)
            self._lately.append(answer)
        if count % _MISDELIVERED_EVERY or other is None or other.record is None:
            return answer
        if count % 2:
            return replace(other, request=answer.request)
        return replace(
            answer,
            relates_to=other.relates_to,
            message_ref=other.message_ref,
            record=replace(
                answer.record,
                addresses=other.record.addresses,
                telecoms=other.record.telecoms,
                practices=other.record.practices,
            ),
        )


def main() -> None:
    """Serve until standard input ends."""
    plan = FaultPlan()
    for n, fault in _EVERY:
        plan.every(n, fault)
    with PatientStore() as store:
        store.add_all(patients())
        with EmbeddedSpine(store, faults=plan, mutate_answer=_Misdelivery()) as spine:
            sys.stdout.write(spine.url + "\n")
            sys.stdout.flush()
            sys.stdin.read()


if __name__ == "__main__":
    main()
