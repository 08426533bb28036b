"""Every hostile vector gets its one right answer from the readers."""

import pytest

from hostile_vectors import Business, Fault, HostileVector, Served, hostile_vectors
from itk_messages import NHS_NUMBER
from reading_chain import read_everything
from smsp_provider.domain.faults import ToolkitFault
from smsp_provider.domain.requests import InputInvalid
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.xmlcore.schemas import Schemas

VECTORS = [vector for vector in hostile_vectors() if not vector.edge_only]


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    return Schemas()


@pytest.mark.rule("WS-STD-01", "WS-VAL-01", "SMSP-ERR-001", "SMSP-VAL-001")
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_hostile_request_gets_its_answer(vector: HostileVector, schemas: Schemas) -> None:
    assert _answer(vector, schemas) == vector.expected


def _answer(vector: HostileVector, schemas: Schemas) -> Fault | Business | Served:
    try:
        fields = read_everything(vector.body, vector.soap_action, schemas)
    except ToolkitFault as fault:
        return Fault(fault.faultcode.value, fault.error_code.value, fault.status)
    except InputInvalid:
        return Business(ResponseCode.INPUT_INVALID)
    # An odd request that is served is still about the patient it names.
    assert fields.nhs_number == NHS_NUMBER
    return Served()


def test_the_vectors_have_different_names() -> None:
    names = [vector.name for vector in hostile_vectors()]
    assert len(set(names)) == len(names)
