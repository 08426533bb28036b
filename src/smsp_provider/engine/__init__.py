"""Runs a request from bytes to bytes: ports, stages, the pipeline and the one table from failures to answers."""
