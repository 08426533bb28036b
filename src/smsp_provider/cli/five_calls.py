"""The five calls that the sandbox shows: one for each service, about people of the shipped population."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import click

from smsp_provider.cli.call import patient_rows
from smsp_provider.cli.itk_answer import ServiceAnswer
from smsp_provider.cli.itk_client import ITKClient
from smsp_provider.cli.vocabulary import meaning_of
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.requests import RequestFields
from smsp_provider.domain.service import Service
from smsp_provider.simulator.population import Scenario, scenarios

__all__ = ["FiveCall", "five_calls", "make_calls"]

_SHOWN: Final = ("NHS number", "name", "date of birth", "address (H)", "telecom (H)", "practice")
_GENDERS: Final = {"0": "gender not known", "1": "male", "2": "female", "9": "gender not specified"}


@dataclass(frozen=True, slots=True, repr=False)
class FiveCall(Masked):
    """One call: what is asked in words and in fields, and the response code and NHS number that must come back.

    ``meaning`` says in words what the expected answer tells the caller.
    """

    service: Service
    question: str
    meaning: str
    fields: RequestFields
    code: str
    nhs_number: str | None


def five_calls() -> list[FiveCall]:
    """The calls, each about another person: the first five of the population."""
    first, second, third, fourth, fifth = scenarios()[:5]
    return [
        _by_number(
            Service.VERIFY_NHS_NUMBER, first, "Is this their NHS number?", "yes, number and person belong together"
        ),
        _by_search(Service.GET_NHS_NUMBER, second, "What is their NHS number?", "exactly one person has these details"),
        _by_number(
            Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER,
            third,
            "What else is known, if this is their number?",
            "number and person belong together, so the details are given",
        ),
        _by_search(
            Service.GET_PATIENT_DETAILS_BY_SEARCH, fourth, "What else is known?", "exactly one person, and the details"
        ),
        _by_search(
            Service.GET_PATIENT_DETAILS,
            fifth,
            "What else is known? (This service takes a number or a name.)",
            "exactly one person, and the details",
        ),
    ]


def _by_number(service: Service, scenario: Scenario, question: str, meaning: str) -> FiveCall:
    ask, expected = scenario.ask, scenario.expected
    code = expected.verify if service is Service.VERIFY_NHS_NUMBER else expected.by_number
    fields = RequestFields(ask.date_of_birth, None, ask.nhs_number, ask.family, ask.given)
    text = (
        f"{ask.given} {ask.family}, born {_day(ask.date_of_birth)}, NHS number {_grouped(ask.nhs_number)}. {question}"
    )
    return FiveCall(service, text, meaning, fields, code or "", expected.number or ask.nhs_number)


def _by_search(service: Service, scenario: Scenario, question: str, meaning: str) -> FiveCall:
    ask, expected = scenario.ask, scenario.expected
    code = expected.get_number if service is Service.GET_NHS_NUMBER else expected.by_search
    fields = RequestFields(ask.date_of_birth, ask.gender, None, ask.family, ask.given, ask.postcode)
    text = (
        f"{ask.given} {ask.family}, {_GENDERS.get(ask.gender or '', '')}, born {_day(ask.date_of_birth)},"
        f" {ask.postcode}. {question}"
    )
    return FiveCall(service, text, meaning, fields, code or "", expected.number or ask.nhs_number)


def make_calls(client: ITKClient) -> bool:
    """Make the calls and print each; whether all gave the expected answer.

    Raises:
        NoAnswer: the provider could not be reached, or answered with something that is not SOAP.
    """
    all_expected = True
    for number, call in enumerate(five_calls(), 1):
        click.echo(f"{number}. {call.service.value.removesuffix('-v1-0')}")
        click.echo(f"   asked:    {call.question}")
        answer = client.call(call.service, call.fields)
        expected = answer.code == call.code and _number_in(answer) == call.nhs_number
        _print_answer(answer, call.meaning if expected else "")
        if not expected:
            click.echo(
                f"   NOT EXPECTED: {call.code} and NHS number {_grouped(call.nhs_number)} should have come back."
            )
        all_expected = all_expected and expected
    client.close()
    click.echo("\nAll five gave the expected answer." if all_expected else "\nNOT every call gave the expected answer.")
    return all_expected


def _print_answer(answer: ServiceAnswer, meaning: str) -> None:
    if answer.fault is not None:
        click.echo(f"   fault:    {answer.fault.error_code} {answer.fault.error_text or answer.fault.faultstring}")
        return
    words = ": ".join(text for text in (meaning_of(answer.code), meaning) if text)
    click.echo(f"   answer:   {answer.code} {words} ({answer.seconds * 1000:.0f} ms)")
    rows = [
        value if name != "NHS number" else _grouped(value)
        for name, value in patient_rows(answer.patient)
        if name in _SHOWN
    ]
    if rows:
        click.echo(f"   patient:  {'; '.join(rows)}")


def _number_in(answer: ServiceAnswer) -> str | None:
    return None if answer.patient is None else answer.patient.nhs_number


def _day(date: str | None) -> str:
    return "" if date is None else f"{datetime.strptime(date, '%Y%m%d'):%d %B %Y}"  # noqa: DTZ007 - a day has no zone


def _grouped(nhs_number: str | None) -> str:
    """An NHS number as people read it: 3, 3 and 4 digits."""
    digits = nhs_number or ""
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}"
