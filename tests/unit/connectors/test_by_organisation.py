"""Organisations that move from one way to PDS to another, one after the other."""

import time

import pytest

from connectors_under_test import SENDER
from core_samples import A, answer, record
from smsp_provider.connectors.by_organisation import ByOrganisation
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.spine_answers import SpineAnswer
from smsp_provider.domain.spine_queries import AdvancedTrace, Retrieval, SpineQuery
from smsp_provider.engine.ports import Deadline, SpineConnector, SpineSender

WILDCARD = AdvancedTrace("QU*", "2", HL7Date("1962"))


class Way:
    """A way to PDS that counts."""

    def __init__(self, *, wildcards: bool) -> None:
        self.wildcards, self.asked, self.closed = wildcards, 0, 0

    def can_ask(self, query: SpineQuery) -> bool:
        return self.wildcards or not isinstance(query, AdvancedTrace)

    def has_at_hand(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> bool:
        del query, sender, deadline
        return self.wildcards

    def ask(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> SpineAnswer:
        del query, sender, deadline
        self.asked += 1
        return answer(record())

    def close_idle(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("code", "old", "new"), [("X26", 0, 1), ("Y99", 1, 0), (None, 1, 0)], ids=["moved", "not moved", "not named"]
)
def test_each_organisation_goes_its_own_way(code: str | None, old: int, new: int) -> None:
    former, latter = Way(wildcards=False), Way(wildcards=True)
    connector: SpineConnector = ByOrganisation(former, {ODSCode("x26"): latter})
    sender = SpineSender(ASID("200000000205"), ods_code=ODSCode(code) if code is not None else None)
    deadline = Deadline(time.monotonic() + 1)
    connector.ask(Retrieval(A), sender, deadline)
    assert connector.has_at_hand(Retrieval(A), sender, deadline) is (new == 1)
    assert (former.asked, latter.asked) == (old, new)


def test_what_one_of_them_can_ask_may_be_asked_and_all_are_closed_once() -> None:
    former, latter = Way(wildcards=False), Way(wildcards=True)
    connector = ByOrganisation(former, {ODSCode("X26"): latter, ODSCode("Y99"): latter})
    assert connector.can_ask(WILDCARD)
    assert not ByOrganisation(former, {}).can_ask(WILDCARD)
    connector.close_idle()
    assert (former.closed, latter.closed) == (1, 1)
    assert SENDER.ods_code == ODSCode("X26")
