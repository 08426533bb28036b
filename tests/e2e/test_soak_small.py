"""T1 in small (safety.md, section 4): the watermark soak, for some seconds; ``make soak`` runs the whole."""

import pytest

from soak.driver import IN_A_LOG
from soak.marks import foreign_marks, patients
from soak.mutants import MUTANTS
from soak.run import soak_in_process, soak_served

pytestmark = pytest.mark.slow


@pytest.mark.rule("SMSP-PDS-002", "SMSP-AUDIT-001")
def test_no_answer_carries_a_foreign_watermark_while_spine_lies_and_providers_are_killed() -> None:
    report = soak_in_process(2_000, 600, kill_every=2)
    assert report.problems == []
    assert report.answers >= 2_000
    assert report.kills >= 1
    assert {"W1", "W3"} <= report.gate.keys(), "Spine did lie"
    assert report.codes["SMSP-0004"] > 0, "Spine did fail"


@pytest.mark.rule("SMSP-PDS-002", "SMSP-AUDIT-001")
def test_no_answer_of_a_served_provider_carries_one_while_its_workers_are_killed() -> None:
    report = soak_served(400, 600, kill_every=0.8)
    assert report.problems == []
    assert report.answers >= 400
    assert report.kills >= 1
    assert report.intents >= 400


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_provider_with_a_seeded_mistake_is_caught(mutant: str) -> None:
    report = soak_in_process(1_000_000, 600, mutant=mutant, kill_every=600)
    assert report.foreign
    assert report.problems


def test_the_scan_finds_each_field_of_somebody_else() -> None:
    mine, other, *_ = patients()
    own = frozenset({mine.nhs_number.encode(), (mine.birth_time or "").encode(), b"0000000", b"0000 000"})
    name, address, telecom = other.names[0], other.addresses[0], other.telecoms[0]
    fields = (other.nhs_number, other.birth_time, name.family, name.given[0], name.prefix, address.lines[0])
    for value in (*fields, address.postcode, telecom.value, other.practices[0].ods_code, other.telecoms[2].value):
        assert foreign_marks(f"<x>{value}</x>".encode(), own) != []
    ours = f'<id root="2.16.840.1.113883.2.1.4.1" extension="{mine.nhs_number}"/><f>FAMILY0000000</f> 0000 000'
    assert foreign_marks(ours.encode() + b"<a>5D2F1C80-7B1E-4B5C-9C0A-1E6A52F4A7D1</a>", own) == []


def test_a_log_is_searched_for_patients_and_not_for_what_looks_like_one_in_a_uuid() -> None:
    patient = next(patients())
    for value in (patient.nhs_number, patient.names[0].family, patient.addresses[0].lines[0]):
        assert IN_A_LOG.search(f'{{"reason":"{value}"}}'.encode())
    assert not IN_A_LOG.search(b'{"exchange_id":"5D2F1C80-7B1E-4B5C-9C0A-980000012345"}')
