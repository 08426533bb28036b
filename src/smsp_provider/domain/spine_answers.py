"""What came back from Spine, as read: nothing here has been judged yet (that is the answer gate's work)."""

from enum import Enum

from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.person import PatientRecord

__all__ = ["Acknowledgement", "DetectedIssue", "ExchangeIds", "Reference", "SpineAnswer"]


class Acknowledgement(Enum):
    """HL7's acknowledgement types."""

    ACCEPTED = "AA"
    ERROR = "AE"
    REJECTED = "AR"


@immutable
class DetectedIssue:
    """A reason that PDS gives. ``qualifier`` is ER (error), WG (warning) or empty where PDS sent none."""

    code: str
    qualifier: str = ""

    @property
    def is_error(self) -> bool:
        """Whether PDS marks the reason as an error."""
        return self.qualifier == "ER"


@immutable
class Reference:
    """One tie between an answer and its question: the id made for the question and the id found in the answer."""

    name: str
    expected: str
    found: str | None


@immutable
class ExchangeIds:
    """The message ids of one exchange with Spine, for the audit trail (SMSP-AUDIT-004).

    ``upstream`` is the way to PDS and its host; ``told`` is in whose name the query went, as it stood on the wire: the
    ASID, or the ODS code where PDS wants that, and behind it the person's role profile, user and role where they went
    along.
    """

    interaction: str
    sent: tuple[str, ...]
    received: tuple[str, ...] = ()
    upstream: str = ""
    told: tuple[str, ...] = ()


@immutable
class SpineAnswer(Masked):
    """A complete, readable answer to one query.

    ``query_ok`` tells that PDS reports the query itself as answered (HL7 ``queryResponseCode`` OK). ``records`` are all
    patient nodes in message order.
    """

    references: tuple[Reference, ...]
    acknowledgement: Acknowledgement
    query_ok: bool
    issues: tuple[DetectedIssue, ...]
    records: tuple[PatientRecord, ...]
    exchange: ExchangeIds
