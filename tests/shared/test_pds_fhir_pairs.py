"""T3 of the safety argument over PDS FHIR: the number of A with the details of B, over all pairs of Opentest.

Every record is written as the API writes it and read as the connector reads it; the oracle is that of the HL7 side.
"""

from collections.abc import Iterator

import pytest

from fhir_samples import READ, response
from reference import shared_file
from shared.test_opentest_pairs import PAIRS, TODAY, Row, accepted_by_oracle, request_of, rows
from smsp_provider.domain.gate import Found, admit
from smsp_provider.domain.matching import Verdict, verify
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_queries import Retrieval
from smsp_provider.simulator.fhir_patient import write_patient
from smsp_provider.simulator.loader import load_file
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.spine.pds_fhir.answer import read_answer

pytestmark = [pytest.mark.shared, pytest.mark.rule("SMSP-PDS-001")]

RULES = {Verdict.RULE_1: 1, Verdict.RULE_2: 2, Verdict.NOT_VERIFIED: 0}


@pytest.fixture(scope="module")
def store() -> Iterator[PatientStore]:
    with PatientStore() as held:
        load_file(held, shared_file("spec/itk/testdata/opentest-patients.csv"))
        yield held


def found_through_fhir(store: PatientStore, row: Row) -> Found:
    patient = store.get(row["NHS_NUMBER"])
    assert patient is not None
    document = write_patient(patient.seen_by_query(TODAY.digits, history=False), whole=True, blank_lines=True)
    found = admit(Retrieval(NHSNumber(row["NHS_NUMBER"])), read_answer(response(document), READ))
    assert isinstance(found, Found)
    return found


def test_over_fhir_the_pairs_are_accepted_that_the_oracle_accepts_and_no_other(store: PatientStore) -> None:
    population = rows()
    held = [found_through_fhir(store, row) for row in population]
    accepted, judged = {}, 0
    for other, sent in enumerate(population):
        request = request_of(sent, sent)
        for one, found in enumerate(held):
            if one == other:
                continue
            judged += 1
            rule = RULES[verify(request, found.record, found.date_of_birth, TODAY)] if request is not None else 0
            if rule:
                accepted[one, other] = rule
    assert judged == PAIRS
    sendable = {place for place, row in enumerate(population) if request_of(row, row) is not None}
    expected = {pair: rule for pair, rule in accepted_by_oracle(population).items() if pair[1] in sendable}
    assert accepted == expected
    assert len(accepted) > 300
