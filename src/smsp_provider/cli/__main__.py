"""``python -m smsp_provider.cli`` is ``smsp``."""

from smsp_provider.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
