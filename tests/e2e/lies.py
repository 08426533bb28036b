"""Two patients, six ways to ask for one of them, and every way in which Spine can put the other into an answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from e2e.world import CROSS_CHECK, RETRIEVAL, TRACE
from itk_messages import Fields
from smsp_provider.domain.service import Service
from smsp_provider.simulator.answers import AnswerContext, MutateAnswer
from smsp_provider.simulator.generate import watermarked
from smsp_provider.simulator.reasons import errors, warning
from smsp_provider.simulator.records import (
    SpineAddress,
    SpineName,
    SpinePatient,
    SpinePractice,
    SpineTelecom,
)
from smsp_provider.simulator.trace import Replaced

__all__ = [
    "ASKED",
    "LIES",
    "NEIGHBOUR",
    "OLD_OF_OTHER",
    "SHAPES",
    "STRANGER",
    "Lie",
    "OtherExchange",
    "Shape",
    "telling",
]

ASKED: Final = replace(watermarked(7), deceased_time="20190203", death_status="2")
"""The patient that is asked for."""

NEIGHBOUR: Final = replace(watermarked(12), deceased_time="20200506", death_status="2")
"""Born in the same month, with names of the same beginnings: rule 2 of verification holds for both."""

STRANGER: Final = SpinePatient(
    "9990001189",
    names=(SpineName("L", "QUORNDON", ("WILFRED", "IVO"), "MR"),),
    gender="1",
    birth_time="19680315",
    deceased_time="20210709",
    death_status="2",
    addresses=(SpineAddress("H", ("", "5 OTHERHOUSE", "", "OTHERTOWN", ""), postcode="ZZ98 8AA"),),
    telecoms=(SpineTelecom("H", "tel:01632777888"),),
    practices=(SpinePractice("Z77777"),),
)
"""Somebody with nothing in common."""

OLD_OF_OTHER: Final = "9990002045"
"""A number that somebody else had once."""


@dataclass(frozen=True)
class Shape:
    """One way to ask for a patient: a service, and which of its fields are filled."""

    name: str
    service: Service
    by_number: bool
    interactions: tuple[str, ...]

    def fields(self, patient: SpinePatient) -> Fields:
        """The fields that name ``patient``; surname, forename and, in a search, everything there is."""
        name = patient.names[0]
        if self.by_number:
            return Fields(
                nhs_number=patient.nhs_number,
                date_of_birth=patient.birth_time,
                given=name.given[0],
                family=name.family,
            )
        return Fields(
            date_of_birth=patient.birth_time,
            gender=patient.gender,
            given=name.given[0],
            family=name.family,
            postcode=patient.addresses[0].postcode,
        )

    @property
    def wants_details(self) -> bool:
        return self.service not in (Service.VERIFY_NHS_NUMBER, Service.GET_NHS_NUMBER)


SHAPES: Final = (
    Shape("verify", Service.VERIFY_NHS_NUMBER, True, (CROSS_CHECK,)),
    Shape("number", Service.GET_NHS_NUMBER, False, (TRACE, RETRIEVAL)),
    Shape("details-by-number", Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER, True, (CROSS_CHECK, RETRIEVAL)),
    Shape("details-by-search", Service.GET_PATIENT_DETAILS_BY_SEARCH, False, (TRACE, RETRIEVAL)),
    Shape("details-with-number", Service.GET_PATIENT_DETAILS, True, (CROSS_CHECK, RETRIEVAL)),
    Shape("details-without-number", Service.GET_PATIENT_DETAILS, False, (TRACE, RETRIEVAL)),
)


@dataclass(frozen=True)
class OtherExchange:
    """The ids of a real question of somebody else."""

    relates_to: str
    message_ref: str


Lie = Callable[[AnswerContext, SpinePatient, OtherExchange], AnswerContext]


def _field(name: str) -> Lie:
    def lie(answer: AnswerContext, other: SpinePatient, _: OtherExchange) -> AnswerContext:
        assert answer.record is not None
        changed = replace(answer.record, **{name: getattr(other, name)})
        assert changed != answer.record
        return replace(answer, record=changed)

    return lie


def _sensitive(answer: AnswerContext, _: SpinePatient, __: OtherExchange) -> AnswerContext:
    assert answer.record is not None
    return replace(answer, record=replace(answer.record, confidentiality="S"))


def _very_restricted(answer: AnswerContext, _: SpinePatient, __: OtherExchange) -> AnswerContext:
    assert answer.record is not None
    return replace(answer, record=replace(answer.record, confidentiality="Y"))


def _old_version(answer: AnswerContext, _: SpinePatient, __: OtherExchange) -> AnswerContext:
    return replace(answer, replaced=(Replaced(OLD_OF_OTHER, "20200101"),))


def _warned(code: str) -> Lie:
    return lambda answer, _, __: replace(answer, reasons=warning(code))


def _in_error(code: str) -> Lie:
    return lambda answer, _, __: replace(answer, reasons=errors(code))


def _relates_to(answer: AnswerContext, _: SpinePatient, elsewhere: OtherExchange) -> AnswerContext:
    return replace(answer, relates_to=elsewhere.relates_to)


def _message_ref(answer: AnswerContext, _: SpinePatient, elsewhere: OtherExchange) -> AnswerContext:
    return replace(answer, message_ref=elsewhere.message_ref)


def _references(answer: AnswerContext, _: SpinePatient, elsewhere: OtherExchange) -> AnswerContext:
    return replace(answer, relates_to=elsewhere.relates_to, message_ref=elsewhere.message_ref)


def _patient(answer: AnswerContext, other: SpinePatient, _: OtherExchange) -> AnswerContext:
    return replace(answer, record=other)


def _patient_and_24(answer: AnswerContext, other: SpinePatient, _: OtherExchange) -> AnswerContext:
    return replace(answer, record=other, reasons=warning("24"))


def _patient_and_old_version(answer: AnswerContext, other: SpinePatient, _: OtherExchange) -> AnswerContext:
    return replace(answer, record=other, replaced=(Replaced(OLD_OF_OTHER, "20200101"),))


def _whole_answer(answer: AnswerContext, other: SpinePatient, elsewhere: OtherExchange) -> AnswerContext:
    return replace(_references(answer, other, elsewhere), record=other)


LIES: Final[dict[str, Lie]] = {
    "NHS number": _field("nhs_number"),
    "birth time": _field("birth_time"),
    "date of death": _field("deceased_time"),
    "names": _field("names"),
    "gender": _field("gender"),
    "addresses": _field("addresses"),
    "telecoms": _field("telecoms"),
    "practice": _field("practices"),
    "confidentiality S": _sensitive,
    "confidentiality Y": _very_restricted,
    "oldVersion": _old_version,
    "issue 24": _warned("24"),
    "issue 17": _in_error("17"),
    "issue 1": _in_error("1"),
    "issue 22": _in_error("22"),
    "RelatesTo": _relates_to,
    "messageRef": _message_ref,
    "RelatesTo and messageRef": _references,
    "the patient": _patient,
    "the patient, as if superseding": _patient_and_24,
    "the patient with an old number": _patient_and_old_version,
    "the whole answer": _whole_answer,
}


def telling(lie: Lie, interaction: str, other: SpinePatient, elsewhere: OtherExchange) -> MutateAnswer:
    """A hook that tells a lie in every positive answer to one kind of query."""

    def mutate(answer: AnswerContext) -> AnswerContext:
        if answer.request.interaction.request != interaction or answer.record is None:
            return answer
        return lie(answer, other, elsewhere)

    return mutate
