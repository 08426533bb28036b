"""Which ASID a query to Spine carries: that of the initiating organisation (SMSP-IG-003)."""

from collections.abc import Mapping
from dataclasses import dataclass

from smsp_provider.domain.audit_identity import Caller
from smsp_provider.domain.faults import access_denied
from smsp_provider.domain.identifiers import ASID, ODSCode

__all__ = ["ASIDDirectory"]


@dataclass(frozen=True, slots=True)
class ASIDDirectory:
    """The configured ASID of each organisation. ``default`` serves organisations without an entry; never in live."""

    by_ods_code: Mapping[ODSCode, ASID]
    default: ASID | None = None

    def asid_for(self, caller: Caller) -> ASID:
        """The ASID to ask with.

        Raises:
            ToolkitFault: 3000, the organisation is not known here, or names an ASID that is not registered.
        """
        if caller.named_asid is not None:
            if caller.named_asid not in self.by_ods_code.values():
                raise access_denied("auditIdentity names an ASID that is not registered here", rule="SMSP-IG-003")
            return caller.named_asid
        asid = self.by_ods_code.get(caller.ods_code, self.default) if caller.ods_code is not None else self.default
        if asid is None:
            raise access_denied("the organisation in auditIdentity is not registered here", rule="SMSP-IG-003")
        return asid
