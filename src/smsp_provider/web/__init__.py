"""The SOAP edge: HTTP below SOAP, two WSGI adapters for one engine, the TLS peer, and the server that runs them."""
