"""As whom a query goes to PDS: the ASID of the initiating organisation (SMSP-IG-003), and its ODS code."""

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
        registered = self.by_ods_code.get(caller.ods_code) if caller.ods_code is not None else None
        named = caller.named_asid
        if named is not None:
            # With a default there are organisations without an entry: theirs may be any ASID of the map.
            anybodys = registered is None and (caller.ods_code is None or self.default is not None)
            if named != registered and not (anybodys and named in self.by_ods_code.values()):
                raise access_denied("auditIdentity names an ASID that is not the organisation's", rule="SMSP-IG-003")
            return named
        asid = registered or self.default
        if asid is None:
            raise access_denied("the organisation in auditIdentity is not registered here", rule="SMSP-IG-003")
        return asid

    def organisation_of(self, caller: Caller) -> ODSCode | None:
        """The organisation that a caller names, or the only one here that has the ASID it names; None for any other."""
        if caller.ods_code is not None:
            return caller.ods_code
        holders = [code for code, asid in self.by_ods_code.items() if asid == caller.named_asid]
        return holders[0] if len(holders) == 1 else None
