"""The command line ``smsp``: one module a command group. Each parses, calls and prints; the work is done below."""

__all__: list[str] = []
