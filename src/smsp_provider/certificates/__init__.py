"""X.509 work: certificates, keys and revocation lists as files, judged before they are used."""
