"""T2 (safety.md, section 4) over PDS FHIR: an API that puts another patient's value into one field, one at a time.

Whatever it says, no answer names anybody but the patient asked for, and no number and no date of birth of somebody else
gets out. What becomes of each lie stands in a table, so that a gate that grows weaker is noticed.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from e2e.fhir_world import FHIRWorld, make_fhir_world
from e2e.lies import ASKED, NEIGHBOUR, SHAPES, STRANGER, Shape
from e2e.world import Answer
from smsp_provider.simulator.fhir_outcome import FHIRReply
from smsp_provider.simulator.fhir_patient import write_patient
from smsp_provider.simulator.http import HTTPRequest
from smsp_provider.simulator.records import SpinePatient

OTHERS = {"neighbour": NEIGHBOUR, "stranger": STRANGER}
READ, SEARCH = "read", "search"
FOREIGN_ID = "6A1B3C52-0D7E-4F1A-9A53-2B1D00C0FFEE"

Document = dict[str, Any]
Change = Callable[[Document, Document], Document]
"""Of a Patient resource: the right one and another patient's."""


def member(*names: str) -> Change:
    return lambda own, other: {**own, **{name: other[name] for name in names}}


def security(code: str) -> Change:
    return lambda own, _: {**own, "meta": {**own["meta"], "security": [{"code": code}]}}


LIES: dict[str, Change] = {
    "id and identifier": member("id", "identifier"),
    "id": member("id"),
    "identifier": member("identifier"),
    "birthDate": member("birthDate"),
    "deceasedDateTime": member("deceasedDateTime"),
    "name": member("name"),
    "gender": member("gender"),
    "address": member("address"),
    "telecom": member("telecom"),
    "generalPractitioner": member("generalPractitioner"),
    "security R": security("R"),
    "security V": security("V"),
    "the patient": lambda _, other: other,
}
ABOUT_THE_ANSWER = ("X-Request-ID", "no X-Request-ID", "the whole answer")

# A lie is told once in a request, in its first answer of a kind: an API that says the same wrong thing twice, under two
# ids, cannot be told from one that says of a number that it was superseded.
#
# What becomes of a lie about a stranger, for each place it can be told in:
#   Wn    the gate refuses the answer by this rule: SMSP-0002, an alert
#   0040  the details do not verify: nothing is said
#   =     the answer is the same as without the lie: the field is not used
#   ~     the field is shown: no rule can tell, because number and date of birth are right (safety.md, section 1)
#   -     the record is taken for a sensitive one: address, telecom and practice are left out
#
#                    read: verify  details  | search: number details | read after a search: number details
_TABLE = """
id and identifier   |W3   |W3   |W5 |W5 |W3 |W3
id                  |W2   |W2   |W2 |W2 |W2 |W2
identifier          |W2   |W2   |W2 |W2 |W2 |W2
birthDate           |0040 |0040 |W5 |W5 |W5 |W5
deceasedDateTime    |=    |~    |W7 |W7 |W7 |W7
name                |=    |~    |=  |=  |W6 |W6
gender              |=    |~    |=  |=  |W6 |W6
address             |=    |~    |=  |=  |W6 |W6
telecom             |=    |~    |=  |=  |=  |~
generalPractitioner |=    |~    |=  |=  |=  |~
security R          |=    |-    |=  |W8 |=  |-
security V          |0040 |0040 |0040 |0040 |0040 |0040
the patient         |0040 |0040 |W5 |W5 |W3 |W3
X-Request-ID        |W1   |W1   |W1 |W1 |W1 |W1
no X-Request-ID     |W1   |W1   |W1 |W1 |W1 |W1
the whole answer    |W1   |W1   |W1 |W1 |W1 |W1
"""
# Where the other patient was born in the same month and has names that begin alike, verification rule 2 holds for both:
# the gate has to find out by itself.
_NEIGHBOUR = """
birthDate           |=    |W7   |W5 |W5 |W5 |W5
the patient         |W3   |W3   |W5 |W5 |W3 |W3
"""


def _rows(table: str) -> dict[str, list[str]]:
    split = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return {cells[0]: cells[1:] for cells in split}


FOR_STRANGER = _rows(_TABLE)
EXPECTED = {"stranger": FOR_STRANGER, "neighbour": FOR_STRANGER | _rows(_NEIGHBOUR)}
CASES = [
    pytest.param(shape, lie, query, who, id=f"{shape.name}-{query}-{lie}-{who}".replace(" ", "_"))
    for shape in SHAPES
    for query in ((READ,) if shape.by_number else (SEARCH, READ))
    for lie in FOR_STRANGER
    for who in OTHERS
]


def _expected(lie: str, query: str, shape: Shape, who: str) -> str:
    start = 2 if query == SEARCH else 0 if shape.by_number else 4
    return EXPECTED[who][lie][start + shape.wants_details]


def telling(lie: str, query: str, other: SpinePatient) -> Callable[[HTTPRequest, FHIRReply], FHIRReply]:
    """A hook that tells a lie in the first answer to one kind of request."""
    told: list[str] = []
    stranger = write_patient(other, whole=True, blank_lines=True)

    def changed(own: Document) -> Document:
        return LIES[lie](own, stranger) if lie in LIES else stranger if lie == "the whole answer" else own

    def mutate(request: HTTPRequest, reply: FHIRReply) -> FHIRReply:
        if (SEARCH if request.path.endswith("/Patient") else READ) != query or told:
            return reply
        told.append(lie)
        document = json.loads(reply.body)
        if query == SEARCH:
            document["entry"][0]["resource"] = changed(document["entry"][0]["resource"])
        else:
            document = changed(document)
        if lie in ABOUT_THE_ANSWER:
            reply = replace(reply, request_id=None if lie.startswith("no ") else FOREIGN_ID)
        return replace(reply, document=document)

    return mutate


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FHIRWorld]:
    # An agreed pace is another suite's matter: at that of PDS FHIR these requests would wait for minutes.
    pace = {"rate_per_second": 1000, "burst": 100}
    with make_fhir_world(
        tmp_path_factory.mktemp("world"), ASKED, NEIGHBOUR, STRANGER, throttle=pace, fhir=pace
    ) as made:
        yield made


@pytest.fixture
def world(running: FHIRWorld) -> Iterator[FHIRWorld]:
    running.new_log()
    yield running
    running.calm()


@pytest.fixture(scope="module")
def truths(running: FHIRWorld) -> dict[str, Answer]:
    return {shape.name: running.ask(shape.service, shape.fields(ASKED)) for shape in SHAPES}


def shown(answer: Answer) -> dict[str, object]:
    """What an answer says about a patient."""
    names = ("numbers", "families", "given", "prefixes", "postcodes", "lines", "telecoms", "gender", "birth", "death")
    return {name: getattr(answer, name) for name in (*names, "practice", "code")}


def test_without_a_lie_every_service_answers_with_the_patient(truths: dict[str, Answer]) -> None:
    for shape in SHAPES:
        truth = truths[shape.name]
        assert (truth.code, truth.numbers) == ("SMSP-0000", (ASKED.nhs_number,))
        assert truth.birth == (ASKED.birth_time if shape.wants_details else None)
        assert bool(truth.families and truth.telecoms and truth.practice and truth.death) == shape.wants_details


def test_the_table_covers_every_lie() -> None:
    assert list(FOR_STRANGER) == [*LIES, *ABOUT_THE_ANSWER]
    assert all(len(cells) == 6 for table in EXPECTED.values() for cells in table.values())


@pytest.mark.rule("SMSP-PDS-002", "SMSP-ERR-006")
@pytest.mark.parametrize(("shape", "lie", "query", "who"), CASES)
def test_a_swapped_field_never_lets_another_patient_out(
    world: FHIRWorld, truths: dict[str, Answer], shape: Shape, lie: str, query: str, who: str
) -> None:
    other, truth = OTHERS[who], truths[shape.name]
    world.spine.fhir.mutate = telling(lie, query, other)
    answer = world.ask(shape.service, shape.fields(ASKED))
    log = world.new_log()
    assert set(answer.numbers) <= {ASKED.nhs_number}
    assert answer.birth in (None, ASKED.birth_time)
    assert other.nhs_number.encode() not in answer.body
    for patient in (ASKED, other):
        assert patient.nhs_number not in log
        assert (patient.names[0].family or "") not in log
    became = _expected(lie, query, shape, who)
    if became.startswith("W"):
        assert (answer.code, answer.is_bare) == ("SMSP-0002", True)
        assert f'"{became}: ' in log
        assert "answer-refused-by-gate" in log
    elif became == "0040":
        assert (answer.code, answer.is_bare) == ("DEMOG-0040", True)
    elif became == "=":
        assert shown(answer) == shown(truth)
    else:
        differing = {name for name, value in shown(answer).items() if value != shown(truth)[name]}
        assert answer.code == "SMSP-0000"
        assert differing
        if became == "-":
            assert (answer.telecoms, answer.practice, answer.postcodes, answer.lines) == ((), None, (), ())


@pytest.mark.rule("SMSP-AUDIT-004")
def test_what_was_asked_and_answered_is_on_record_by_its_ids(world: FHIRWorld) -> None:
    heard: list[HTTPRequest] = []
    world.spine.fhir.heard = heard.append
    for shape in SHAPES:
        heard.clear()
        answer = world.ask(shape.service, shape.fields(ASKED))
        ending = world.ending_of(answer)
        sent = [request.headers["x-request-id"] for request in heard]
        assert [ids.sent[0] for ids in ending.spine if ids.sent] == sent
        assert all(ids.received == ids.sent for ids in ending.spine)
        assert {ids.interaction for ids in ending.spine} <= {
            "PDS FHIR retrieve",
            "PDS FHIR search",
            "PDS FHIR retrieve, used again",
        }
        assert world.intent_of(ending) is not None
        assert {request.headers["nhsd-end-user-organisation-ods"] for request in heard} == {"X26"}
    world.spine.fhir.heard = lambda _: None
