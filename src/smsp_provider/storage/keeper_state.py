"""What the keeper of a host did last, in a small file that the process for health and metrics reads."""

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

__all__ = ["KeeperState", "read_keeper_state", "write_keeper_state"]

_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class KeeperState:
    """As of the moment ``at``; ``leads`` tells whether this host's keeper is the one that makes roots.

    ``root_at`` is the moment of the last root, None where there is none yet; ``unbound`` counts records that were found
    and are in no root.
    """

    at: datetime
    leads: bool
    root_number: int
    root_at: datetime | None
    unbound: int


def write_keeper_state(file: Path, state: KeeperState) -> None:
    """Replace what the file says, in one step.

    Raises:
        OSError: it cannot be written.
    """
    fields = {
        "at": state.at.isoformat(),
        "leads": state.leads,
        "root_number": state.root_number,
        "root_at": None if state.root_at is None else state.root_at.isoformat(),
        "unbound": state.unbound,
    }
    draft = file.with_name(f"{file.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        json.dump(fields, stream)
    draft.replace(file)


def read_keeper_state(file: Path) -> KeeperState | None:
    """What the file says; None where it is not there or says something else."""
    try:
        fields = json.loads(file.read_text(encoding="ascii"))
        root_at = fields["root_at"]
        return KeeperState(
            datetime.fromisoformat(fields["at"]),
            bool(fields["leads"]),
            int(fields["root_number"]),
            None if root_at is None else datetime.fromisoformat(root_at),
            int(fields["unbound"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
