"""Namespace names of the standards in use.

Source: ITK web-service transport (SOAP 1.1, WS-Addressing 1.0, WS-Security 1.1), HL7 V3, and the older WS-Addressing
draft that Spine speaks.
"""

from typing import Final

__all__ = ["HL7", "ITK", "NASP", "SOAP11", "SOAP12", "WSA", "WSA_SPINE", "WSDL", "WSSE", "WSU", "XMLDSIG", "XSD", "XSI"]

SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12: Final = "http://www.w3.org/2003/05/soap-envelope"
WSA: Final = "http://www.w3.org/2005/08/addressing"
WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
ITK: Final = "urn:nhs-itk:ns:201005"
HL7: Final = "urn:hl7-org:v3"
XMLDSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
XSD: Final = "http://www.w3.org/2001/XMLSchema"
WSDL: Final = "http://schemas.xmlsoap.org/wsdl/"

WSA_SPINE: Final = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
"""WS-Addressing of August 2004: what Spine's synchronous services use (never on the ITK side)."""

NASP: Final = "http://national.carerecords.nhs.uk/schema/"
"""Error lists in Spine's SOAP faults."""
