"""The ITK side: the table of the five services, the distribution envelope, request payloads in, responses out."""
