"""The embedded Spine: an HTTPS server that answers PDS queries from a store of synthetic patients.

Its matching rules are its own. They are never imported from the domain's matching or the answer gate, so that a mistake
made on one side shows on the other.
"""
