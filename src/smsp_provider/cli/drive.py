"""Drives every row of a patient file through the five services of a running provider, and judges each answer.

The answers come over the line from the real provider. An answer is right when its code is the expected one and nobody
else is named in it: number, name, date of birth, gender, address and practice are compared with the file.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from smsp_provider.cli.expectations import Expectation, PatientRow
from smsp_provider.cli.itk_answer import PatientSeen, ServiceAnswer
from smsp_provider.cli.itk_client import ITKClient, NoAnswer
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.service import Service

__all__ = ["DriveReport", "Judgement", "drive", "judge"]

_THREADS: Final = 8
_TEN_DIGITS: Final = re.compile(rb"(?<![0-9])[0-9]{10}(?![0-9])")


@dataclass(frozen=True, slots=True, repr=False)
class Judgement(Masked):
    """One answer: ``code`` is what came (a response code, "fault 1000", or "no answer"), ``problems`` what is wrong.

    ``names_other`` tells that the answer names a patient other than the one asked for.
    """

    expected: Expectation
    code: str
    problems: tuple[str, ...] = ()
    names_other: bool = False


@dataclass(slots=True)
class DriveReport:
    """All judgements in the order of the calls, and how long it took in seconds."""

    judgements: list[Judgement] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def unexpected(self) -> list[Judgement]:
        """The answers that were not as expected."""
        return [judgement for judgement in self.judgements if judgement.problems]

    @property
    def naming_others(self) -> int:
        """How many answers name a patient other than the one asked for."""
        return sum(judgement.names_other for judgement in self.judgements)

    def counts(self) -> Counter[tuple[Service, str, str]]:
        """How many answers of each service, variant and code there were."""
        return Counter((item.expected.service, item.expected.variant, item.code) for item in self.judgements)


def drive(calls: Sequence[Expectation], new_client: Callable[[], ITKClient], patients: Iterable[str]) -> DriveReport:
    """Make every call, several at a time, each thread with a client of its own; ``patients`` are all NHS numbers."""
    local = threading.local()
    clients: list[ITKClient] = []
    everybody = frozenset(patients)

    def ask(expected: Expectation) -> Judgement:
        if not hasattr(local, "client"):
            local.client = new_client()
            clients.append(local.client)
        try:
            answer = local.client.call(expected.service, expected.fields)
        except NoAnswer as failure:
            return Judgement(expected, "no answer", (str(failure),))
        return judge(expected, answer, everybody)

    began = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        judgements = list(pool.map(ask, calls))
    for client in clients:
        client.close()
    return DriveReport(judgements, time.perf_counter() - began)


def judge(expected: Expectation, answer: ServiceAnswer, everybody: frozenset[str]) -> Judgement:
    """Compare an answer with what must come back."""
    if answer.fault is not None:
        code = f"fault {answer.fault.error_code}"
        return Judgement(expected, code, (f"{code} instead of {expected.code}",))
    code = answer.code or "no code"
    problems = [] if code == expected.code else [f"{code} instead of {expected.code}"]
    numbers = () if answer.patient is None else answer.patient.nhs_numbers
    wanted = () if expected.nhs_number is None else (expected.nhs_number,)
    if numbers != wanted:
        problems.append(f"{len(numbers)} NHS numbers instead of the {len(wanted)} expected, or another one")
    others = everybody - {expected.row.nhs_number, expected.row.living}
    names_other = bool(others.intersection(numbers)) or not others.isdisjoint(_ten_digits(answer.response))
    if names_other:
        problems.append("names another patient")
    if answer.patient is not None and expected.holder is not None and _has_details(expected.service):
        differing = _differing(answer.patient, expected.holder)
        problems += [f"another {name}" for name in differing]
        names_other = names_other or bool(differing)
    return Judgement(expected, code, tuple(problems), names_other)


def _ten_digits(message: bytes) -> list[str]:
    """Everything in a message that could be an NHS number, wherever it stands."""
    return [found.decode("ascii") for found in _TEN_DIGITS.findall(message)]


def _has_details(service: Service) -> bool:
    return service not in (Service.VERIFY_NHS_NUMBER, Service.GET_NHS_NUMBER)


def _differing(seen: PatientSeen, row: PatientRow) -> list[str]:
    """The names of the details that are not the row's."""
    home = next((address for address in seen.addresses if address.use == "H"), None)
    located = row.flag != "S"
    has_address = located and bool(any(row.lines) or row.postcode)
    facts = {
        "surname": (seen.family, row.family),
        "forename": (seen.given[:1], (row.given,)),
        "date of birth": (seen.birth_time, row.born),
        "gender": (seen.gender, row.gender),
        "address": (home.lines if home else None, row.lines if has_address else None),
        "postcode": (home.postcode if home else None, (row.postcode or None) if has_address else None),
        "practice": (seen.practice, (row.practice or None) if located else None),
    }
    return [name for name, (found, held) in facts.items() if found != held]
