"""Reads the SOAP faults of Spine: which error codes a fault lists.

Source: HL7 V3 pack (pds-hl7v3.md, section 9). Descriptions and locations are not read: they are free text.
"""

import re
from typing import Final

from lxml import etree

from smsp_provider.xmlcore.names import NASP, SOAP11

__all__ = ["RETRYABLE", "fault_codes", "is_retryable"]

RETRYABLE: Final = frozenset({"200", "206", "208"})
"""System failure, routing failure, memo failure: the same query may succeed a moment later."""

UNKNOWN: Final = "unknown"

_FAULT: Final = f"{{{SOAP11}}}Fault"
_ERROR_CODE: Final = f"{{{NASP}}}errorCode"
_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")


def fault_codes(body: etree._Element) -> tuple[str, ...] | None:
    """The error codes of the fault in a SOAP body, in order; None where the body holds no fault.

    A fault without a code, and a code that is not short and plain, read as ``unknown``, so that a fault always has a
    code and nothing unexpected reaches the audit trail.
    """
    fault = body.find(_FAULT)
    if fault is None:
        return None
    codes = tuple((element.text or "").strip() for element in fault.iter(_ERROR_CODE))
    return tuple(code if _CODE.fullmatch(code) else UNKNOWN for code in codes) or (UNKNOWN,)


def is_retryable(codes: tuple[str, ...]) -> bool:
    """Whether a fault with these codes is worth another attempt: there are codes, and all are retryable."""
    return bool(codes) and RETRYABLE.issuperset(codes)
