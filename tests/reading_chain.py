"""The readers in the order of the engine, from bytes to a request, for tests of the readers together."""

from datetime import datetime

from itk_messages import NOW
from smsp_provider.domain.audit_identity import recognise
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.requests import RequestFields, check_fields
from smsp_provider.itk.distribution import EnvelopePolicy, read_distribution
from smsp_provider.itk.request import read_request
from smsp_provider.itk.services import ServicePaths, select_service
from smsp_provider.soap.addressing import AddressingPolicy, read_addressing
from smsp_provider.soap.envelope import check_must_understand, read_soap
from smsp_provider.soap.security import SecurityPolicy, check_security
from smsp_provider.xmlcore.schemas import Schemas

__all__ = ["COMMON_NAME", "read_everything"]

COMMON_NAME = "client.example.nhs.uk"


def read_everything(body: bytes, soap_action: str | None, schemas: Schemas, *, now: datetime = NOW) -> RequestFields:
    """The fields of a request that passes every check before a decision.

    Raises:
        ToolkitFault: as the readers do.
        InputInvalid: as the readers and the field rules do.
    """
    message = read_soap(body)
    check_must_understand(message)
    addressing = read_addressing(message, soap_action, AddressingPolicy())
    service = select_service(addressing.action, "/smsp/pds", ServicePaths())
    check_security(message, now, COMMON_NAME, SecurityPolicy())
    distribution = read_distribution(message.body_child, addressing.action, schemas, EnvelopePolicy())
    fields = read_request(service, distribution.require_payload(), schemas)
    recognise(distribution.audit_ids)
    check_fields(service, fields, HL7Date.of(now.date()))
    return fields
