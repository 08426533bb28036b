"""SOAP 1.1 with WS-Addressing and WS-Security: from bytes to a body and checked headers, and faults back to bytes."""
