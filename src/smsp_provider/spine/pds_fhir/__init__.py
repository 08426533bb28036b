"""PDS over its FHIR API: queries as requests, responses as answers; no I/O and no model of FHIR beyond what is read."""
