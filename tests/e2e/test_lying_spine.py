"""T2 (safety.md, section 4): a Spine that puts another patient's value into one field of an answer, one at a time.

Whatever it says, no answer names anybody but the patient asked for, and no number and no date of birth of somebody
else gets out. What becomes of each lie is written down in a table, so that a gate that grows weaker is noticed.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from e2e.lies import ASKED, LIES, NEIGHBOUR, OLD_OF_OTHER, SHAPES, STRANGER, OtherExchange, Shape, telling
from e2e.world import CROSS_CHECK, RETRIEVAL, TRACE, Answer, World, make_world
from itk_messages import Fields
from smsp_provider.simulator.answers import AnswerContext
from smsp_provider.simulator.records import RelatedPerson, SpinePatient, SpineTelecom

OTHERS = {"neighbour": NEIGHBOUR, "stranger": STRANGER}
QUERIES = {"cross-check": CROSS_CHECK, "trace": TRACE, "retrieval": RETRIEVAL}

# What becomes of a lie, for each place it can be told in:
#   Wn    the gate refuses the answer by this rule: SMSP-0002, an alert, the connection is closed
#   0040  the details do not verify: nothing is said
#   =     the answer is the same as without the lie: the field is not used
#   ~     the field is shown: no rule can tell, because number and date of birth are right (safety.md, section 1)
#   -     the record is taken for a sensitive one: address, telecom and practice are left out
#
#                          cross-check        trace              retrieval after a
#                          verify   details   number   details   trace:number  trace:details  cross-check
_TABLE = """
NHS number                |W3      |W3       |W5      |W5       |W3           |W3            |W3
birth time                |0040    |0040     |W5      |W5       |W5           |W5            |W7
date of death             |=       |W7       |W7      |W7       |W7           |W7            |W7
names                     |=       |=        |=       |=        |W6           |W6            |~
gender                    |=       |=        |=       |=        |W6           |W6            |~
addresses                 |=       |=        |=       |=        |W6           |W6            |~
telecoms                  |=       |=        |=       |=        |=            |~             |~
practice                  |=       |=        |=       |=        |=            |~             |~
confidentiality S         |=       |W8       |=       |W8       |=            |-             |-
confidentiality Y         |0040    |0040     |0040    |0040     |0040         |0040          |W7
oldVersion                |=       |=        |=       |=        |=            |=             |=
issue 24                  |W3      |W3       |=       |=        |W3           |W3            |W3
issue 17                  |W3      |W3       |=       |=        |W3           |W3            |W3
issue 1                   |W11     |W11      |W11     |W11      |W11          |W11           |W11
issue 22                  |W11     |W11      |W11     |W11      |W11          |W11           |W11
RelatesTo                 |W1      |W1       |W1      |W1       |W1           |W1            |W1
messageRef                |W1      |W1       |W1      |W1       |W1           |W1            |W1
RelatesTo and messageRef  |W1      |W1       |W1      |W1       |W1           |W1            |W1
the patient               |0040    |0040     |W5      |W5       |W3           |W3            |W3
the patient with an old number |0040 |0040   |W5      |W5       |W3           |W3            |W3
the whole answer          |W1      |W1       |W1      |W1       |W1           |W1            |W1
"""
# Where the other patient was born in the same month and has names that begin alike, verification rule 2 holds for both:
# the gate has to find out by itself.
_NEIGHBOUR = """
birth time                |=       |W7       |W5      |W5       |W5           |W5            |W7
the patient               |W3      |W3       |W5      |W5       |W3           |W3            |W3
the patient with an old number |W3 |W3       |W5      |W5       |W3           |W3            |W3
"""


def _rows(table: str) -> dict[str, list[str]]:
    split = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return {cells[0]: cells[1:] for cells in split}


def _column(query: str, shape: Shape) -> int:
    if query == "cross-check":
        return 1 if shape.wants_details else 0
    if query == "trace":
        return 3 if shape.wants_details else 2
    if shape.by_number:
        return 6
    return 5 if shape.wants_details else 4


FOR_STRANGER = _rows(_TABLE)
EXPECTED = {"stranger": FOR_STRANGER, "neighbour": FOR_STRANGER | _rows(_NEIGHBOUR)}
TOLD_ALONE = [name for name in LIES if name != "the patient, as if superseding"]

CASES = [
    pytest.param(shape, lie, query, who, id=f"{shape.name}-{query}-{lie}-{who}".replace(" ", "_"))
    for shape in SHAPES
    for query, interaction in QUERIES.items()
    if interaction in shape.interactions
    for lie in TOLD_ALONE
    for who in OTHERS
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("world"), ASKED, NEIGHBOUR, STRANGER) as made:
        yield made


@pytest.fixture
def world(running: World) -> Iterator[World]:
    # One connection is open, whatever the test before left behind.
    running.ask(SHAPES[0].service, SHAPES[0].fields(ASKED))
    running.new_log()
    yield running
    running.calm()


@pytest.fixture(scope="module")
def truths(running: World) -> dict[str, Answer]:
    return {shape.name: running.ask(shape.service, shape.fields(ASKED)) for shape in SHAPES}


@pytest.fixture(scope="module")
def elsewhere(running: World) -> OtherExchange:
    """The ids of a question about the other patient, which was answered a moment ago."""
    seen: list[AnswerContext] = []

    def look(answer: AnswerContext) -> AnswerContext:
        seen.append(answer)
        return answer

    running.spine.spine.mutate_answer = look
    running.ask(SHAPES[0].service, SHAPES[0].fields(NEIGHBOUR))
    running.calm()
    return OtherExchange(seen[0].relates_to, seen[0].message_ref)


def test_the_table_covers_every_lie() -> None:
    assert sorted(FOR_STRANGER) == sorted(TOLD_ALONE)
    assert all(len(cells) == 7 for table in EXPECTED.values() for cells in table.values())
    assert len(CASES) == len(TOLD_ALONE) * 2 * (1 + 5 * 2)


def test_without_a_lie_every_service_answers_with_the_patient(truths: dict[str, Answer]) -> None:
    for shape in SHAPES:
        truth = truths[shape.name]
        assert (truth.code, truth.numbers) == ("SMSP-0000", (ASKED.nhs_number,))
        assert truth.birth == (ASKED.birth_time if shape.wants_details else None)
        assert bool(truth.families and truth.telecoms and truth.practice and truth.death) == shape.wants_details


@pytest.mark.rule("SMSP-PDS-002", "SMSP-ERR-006")
@pytest.mark.parametrize(("shape", "lie", "query", "who"), CASES)
def test_a_swapped_field_never_lets_another_patient_out(
    world: World, truths: dict[str, Answer], elsewhere: OtherExchange, shape: Shape, lie: str, query: str, who: str
) -> None:
    other = OTHERS[who]
    connections = world.spine.connections
    world.spine.spine.mutate_answer = telling(LIES[lie], QUERIES[query], other, elsewhere)
    answer = world.ask(shape.service, shape.fields(ASKED))
    log = world.new_log()
    _names_nobody_else(answer, other)
    _log_holds_nothing_of(log, ASKED, other)
    expected = EXPECTED[who][lie][_column(query, shape)]
    assert _gate_alerts(log) == ([expected] if expected.startswith("W") else [])
    _is_as_expected(world, answer, truths[shape.name], expected)
    if expected.startswith("W"):
        assert world.spine.wait_until_closed(), "the connection that brought it is closed"
    world.calm()
    assert _content(world.ask(shape.service, shape.fields(ASKED))) == _content(truths[shape.name])
    assert world.spine.connections == connections + expected.startswith("W")


def _is_as_expected(world: World, answer: Answer, truth: Answer, expected: str) -> None:
    if expected.startswith("W"):
        assert answer.code == "SMSP-0002"
        assert answer.is_bare
        assert world.ending_of(answer).reason.startswith(f"{expected}: ")
    elif expected == "0040":
        assert answer.code == "DEMOG-0040"
        assert answer.is_bare
    elif expected == "=":
        assert _content(answer) == _content(truth)
    elif expected == "~":
        assert (answer.code, answer.numbers, answer.birth) == ("SMSP-0000", truth.numbers, truth.birth)
        assert _content(answer) != _content(truth)
    else:
        assert expected == "-"
        assert not answer.postcodes + answer.lines + answer.telecoms
        assert answer.practice is None
        assert _without_location(answer) == _without_location(truth)


def _gate_alerts(log: str) -> list[str]:
    """The rules by which the gate refused."""
    lines = [json.loads(line) for line in log.splitlines()]
    return [line["reason"].split(":")[0] for line in lines if line.get("kind") == "answer-refused-by-gate"]


def _names_nobody_else(answer: Answer, other: SpinePatient) -> None:
    assert answer.numbers in ((), (ASKED.nhs_number,))
    assert answer.birth in (None, ASKED.birth_time)
    for value in (other.nhs_number, other.birth_time or "", OLD_OF_OTHER):
        assert value.encode() not in answer.body


def _log_holds_nothing_of(log: str, *patients: SpinePatient) -> None:
    assert "request-answered" in log
    for patient in patients:
        name = patient.names[0]
        values = (patient.nhs_number, patient.birth_time, patient.deceased_time, name.family, *name.given)
        assert not [value for value in values if value and value in log]


def _content(answer: Answer) -> Answer:
    """The answer without what is new in every message."""
    return replace(answer, body=b"", seconds=0.0, message_id=None)


def _without_location(answer: Answer) -> Answer:
    return replace(_content(answer), postcodes=(), lines=(), telecoms=(), practice=None)


# --- more than one field at once --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "query"),
    [
        pytest.param(shape, query, id=f"{shape.name}-{query}")
        for shape in SHAPES
        for query, interaction in QUERIES.items()
        if interaction in shape.interactions
    ],
)
def test_a_stranger_who_is_said_to_have_taken_the_number_over_is_never_named(
    world: World, elsewhere: OtherExchange, shape: Shape, query: str
) -> None:
    lie = LIES["the patient, as if superseding"]
    world.spine.spine.mutate_answer = telling(lie, QUERIES[query], STRANGER, elsewhere)
    answer = world.ask(shape.service, shape.fields(ASKED))
    _names_nobody_else(answer, STRANGER)
    assert answer.code == ("DEMOG-0040" if shape.by_number and query == "cross-check" else "SMSP-0002")
    assert answer.is_bare


def test_an_invented_merge_with_somebody_alike_is_not_believed_when_it_is_told_twice(
    world: World, elsewhere: OtherExchange
) -> None:
    """Where the line runs: verification rule 2 holds for the other record, and code 24 says that it is the new one.

    But the number in force is retrieved once more under its own number, and that one was not replaced by itself (W3).
    """
    shape = SHAPES[2]
    world.spine.spine.mutate_answer = telling(LIES["the patient, as if superseding"], RETRIEVAL, NEIGHBOUR, elsewhere)
    for fields in (shape.fields(ASKED), replace(shape.fields(ASKED), given=None, family=None)):
        answer = world.ask(shape.service, fields)
        assert answer.said == "SMSP-0002"
        assert answer.is_bare


@pytest.mark.parametrize(
    ("query", "code"), [pytest.param("cross-check", "SMSP-0000"), pytest.param("retrieval", "SMSP-0002")]
)
def test_one_answer_that_calls_the_patient_sensitive_outweighs_one_that_tells_all(
    world: World, query: str, code: str
) -> None:
    sensitive = replace(ASKED, nhs_number="9990003432", confidentiality="S")
    world.store.add(sensitive)

    def tell_all(answer: AnswerContext) -> AnswerContext:
        if answer.request.interaction.request != QUERIES[query]:
            return answer
        return replace(answer, record=replace(sensitive, confidentiality=None), reasons=())

    world.spine.spine.mutate_answer = tell_all
    shape = SHAPES[2]
    answer = world.ask(shape.service, shape.fields(sensitive))
    assert answer.code == code
    assert not answer.postcodes + answer.lines + answer.telecoms
    assert answer.practice is None
    assert "sensitive-record-accessed" in world.new_log()


# --- a number that was replaced, and people who are related -----------------------------------------------------------

OLD = SpinePatient("9990004102", superseded_by=ASKED.nhs_number, superseded_on="20200101")
ABOUT = {"cross-check": (CROSS_CHECK, OLD), "retrieval": (RETRIEVAL, OLD), "confirmation": (RETRIEVAL, ASKED)}


def _asked_by_the_old_number(shape: Shape) -> Fields:
    return replace(shape.fields(ASKED), nhs_number=OLD.nhs_number)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.by_number], ids=lambda shape: shape.name)
def test_without_a_lie_a_replaced_number_leads_to_the_record_in_force(world: World, shape: Shape) -> None:
    world.store.add(OLD)
    answer = world.ask(shape.service, _asked_by_the_old_number(shape))
    assert (answer.code, answer.numbers) == ("DEMOG-0017", (ASKED.nhs_number,))
    assert answer.birth == (ASKED.birth_time if shape.wants_details else None)


@pytest.mark.rule("SMSP-PDS-002", "SMSP-ERR-005")
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.by_number], ids=lambda shape: shape.name)
@pytest.mark.parametrize("about", ABOUT)
@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("lie", TOLD_ALONE)
def test_on_the_way_from_a_replaced_number_no_swapped_field_leads_to_somebody_else(
    world: World, elsewhere: OtherExchange, shape: Shape, about: str, who: str, lie: str
) -> None:
    world.store.add(OLD)
    interaction, asked = ABOUT[about]

    def mutate(answer: AnswerContext) -> AnswerContext:
        if getattr(answer.request.query, "nhs_number", "") != asked.nhs_number:
            return answer
        return telling(LIES[lie], interaction, OTHERS[who], elsewhere)(answer)

    world.spine.spine.mutate_answer = mutate
    answer = world.ask(shape.service, _asked_by_the_old_number(shape))
    _names_nobody_else(answer, OTHERS[who])
    assert answer.code in ("DEMOG-0017", "DEMOG-0040", "SMSP-0002")
    assert answer.is_bare or answer.code == "DEMOG-0017"
    references = lie in ("RelatesTo", "messageRef", "RelatesTo and messageRef", "the whole answer")
    assert not references or answer.code == "SMSP-0002"
    _log_holds_nothing_of(world.new_log(), ASKED, OTHERS[who])


@pytest.mark.rule("SMSP-PDS-009")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_what_the_record_says_of_a_relative_is_never_said_of_the_patient(
    world: World, truths: dict[str, Answer], shape: Shape
) -> None:
    mother = RelatedPerson(
        "14", STRANGER.names[0], STRANGER.addresses[0], SpineTelecom("H", STRANGER.telecoms[0].value)
    )

    def with_a_mother(answer: AnswerContext) -> AnswerContext:
        return answer if answer.record is None else replace(answer, record=replace(answer.record, related=(mother,)))

    world.spine.spine.mutate_answer = with_a_mother
    answer = world.ask(shape.service, shape.fields(ASKED))
    assert _content(answer) == _content(truths[shape.name])
    assert b"QUORNDON" not in answer.body
