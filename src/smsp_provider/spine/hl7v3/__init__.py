"""PDS over HL7 V3 (MIM 6.2.02), the synchronous queries: build a query, read its answer. Source: pds-hl7v3.md."""
