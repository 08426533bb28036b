"""Listeners to operator events: structured logs without anything of a patient."""
