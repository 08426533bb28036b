"""What the engine is told by configuration, as small frozen policies."""

from dataclasses import dataclass, field

from smsp_provider.domain.organisations import ASIDDirectory
from smsp_provider.domain.response_codes import PDSCodeMap, Vocabulary
from smsp_provider.itk.distribution import EnvelopePolicy
from smsp_provider.itk.services import ServicePaths
from smsp_provider.soap.addressing import AddressingPolicy
from smsp_provider.soap.security import SecurityPolicy

__all__ = ["EnginePolicy"]


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """The configured behaviour of the engine.

    ``organisations`` are those of callers that are no registered clients, and fill up the entries of those that are.
    ``request_seconds`` is the time from a request's arrival to its answer; ``reject_repeats`` refuses a MessageID used
    before in place of marking it.
    """

    vocabulary: Vocabulary
    code_map: PDSCodeMap
    organisations: ASIDDirectory
    addressing: AddressingPolicy = field(default_factory=AddressingPolicy)
    envelope: EnvelopePolicy = field(default_factory=EnvelopePolicy)
    paths: ServicePaths = field(default_factory=ServicePaths)
    security: SecurityPolicy = field(default_factory=SecurityPolicy)
    request_seconds: float = 20
    reject_repeats: bool = False
    confirm_trace: bool = True
