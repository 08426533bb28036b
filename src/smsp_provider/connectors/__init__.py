"""Ways to reach Spine: the TLS transport and the connectors that speak over it."""
