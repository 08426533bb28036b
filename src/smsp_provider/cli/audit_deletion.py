"""``smsp audit deletion``: contents of the audit trail are erased where two officers agree, and a tombstone stays."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.deletion import Proposal, count_of, digest_of
from smsp_provider.audit.deletion_events import DeletionProposed, Officer
from smsp_provider.cli.audit_looking import nhs_number
from smsp_provider.cli.config_origin import config_option
from smsp_provider.cli.deletion_desk import DeletionDesk, Progress, deletion_desk
from smsp_provider.cli.table import print_table
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.storage.audit_selection import records_at, records_of_exchanges, records_of_number

__all__ = ["deletion", "print_proposed"]

_PLACE: Final = re.compile(r"([0-9A-Fa-f-]{1,36}):([1-9][0-9]{0,17})(?:-([1-9][0-9]{0,17}))?")
_MOST_AT_ONCE: Final = 1_000_000
_MOMENT: Final = "%Y-%m-%d %H:%M:%S UTC"

_id: Final = click.argument("proposal_id", metavar="ID")


@click.group()
def deletion() -> None:
    """Erase contents of the audit trail, with two privacy officers and a legal reason."""


@deletion.command()
@config_option
@click.option(
    "--nhs-number",
    "number",
    type=nhs_number,
    help="All records that name this patient, and their exchanges; - asks for it.",
)
@click.option("--exchange", "exchanges", multiple=True, metavar="ID", help="All records of an exchange; repeatable.")
@click.option(
    "--record",
    "places",
    multiple=True,
    metavar="LANE:N[-M]",
    help="One record, or those from N to M, of a lane by its number or name; may be repeated.",
)
@click.option("--reason", required=True, help="What is wrong with the records; nothing about the patient.")
@click.option("--legal-basis", required=True, help="The law, or the order and its date, that wants them erased.")
def propose(
    config_file: Path,
    number: NHSNumber | None,
    exchanges: tuple[str, ...],
    places: tuple[str, ...],
    reason: str,
    legal_basis: str,
) -> None:
    """Propose to erase the contents of records; nothing is erased yet.

    Prints the records, an id and a digest. Another officer has seven days for
    `smsp audit deletion approve ID --digest DIGEST`.
    What is proposed is on record for ever: which records, by whom, the reason and the legal basis, and not by which
    NHS number they were found.
    """
    wanted = [_place(text) for text in places]
    if (number is not None) + bool(exchanges) + bool(wanted) != 1:
        raise click.UsageError("one of --nhs-number, --exchange and --record")
    with deletion_desk(config_file) as desk:
        told = Progress("reading").lane
        if number is not None:
            found = records_of_number(desk.database, desk.unsealer, number, told)
        elif exchanges:
            found = records_of_exchanges(desk.database, exchanges, told)
        else:
            found = records_at(desk.database, wanted)
        proposed = desk.deletions.propose(desk.officer, found, reason=reason.strip(), legal_basis=legal_basis.strip())
        print_proposed(desk, proposed)


@deletion.command()
@_id
@config_option
def show(proposal_id: str, config_file: Path) -> None:
    """Show a proposal: the records, the reason, who proposed it, what became of it."""
    with deletion_desk(config_file) as desk:
        _print_proposal(desk, desk.deletions.proposal(proposal_id))


@deletion.command()
@_id
@config_option
@click.option("--digest", required=True, help="The digest of the proposal, as its officer told it or `show` prints it.")
def approve(proposal_id: str, config_file: Path, digest: str) -> None:
    """Agree to a proposal of another officer, and erase.

    A tombstone with both names and the reason is on record before the first content goes.
    The same command again finishes what was interrupted.
    """
    with deletion_desk(config_file) as desk:
        gone = desk.deletions.approve(proposal_id, desk.officer, digest)
    click.echo(f"{proposal_id}: {gone} contents erased")


@deletion.command()
@_id
@config_option
def withdraw(proposal_id: str, config_file: Path) -> None:
    """Take a proposal off the table, one's own or another officer's."""
    with deletion_desk(config_file) as desk:
        desk.deletions.withdraw(proposal_id, desk.officer)
    click.echo(f"{proposal_id}: withdrawn")


def print_proposed(desk: DeletionDesk, proposed: DeletionProposed) -> None:
    """Print a proposal that was made just now, and how it goes on."""
    _print_proposal(desk, Proposal(proposed))
    click.echo(
        f"another privacy officer: smsp audit deletion approve {proposed.proposal_id} --digest {digest_of(proposed)}",
        err=True,
    )


def _print_proposal(desk: DeletionDesk, proposal: Proposal) -> None:
    proposed = proposal.proposed
    print_table(("", ""), list(_facts(proposal, datetime.now(UTC))))
    click.echo()
    lanes = {lane.token: lane for lane in desk.database.lanes()}
    print_table(
        ("lane", "day", "records", "name of the lane"),
        [
            (str(lanes[lane].id), lanes[lane].day.isoformat(), f"{first}-{last}" if first < last else str(first), lane)
            for lane, first, last in proposed.records
        ],
    )


def _facts(proposal: Proposal, now: datetime) -> Iterator[tuple[str, str]]:
    proposed = proposal.proposed
    yield "proposal", proposed.proposal_id
    yield "state", proposal.state(now)
    yield "proposed", f"{proposed.at:{_MOMENT}} by {_who(proposed.by)}"
    yield "until", f"{proposal.until:{_MOMENT}}"
    if proposal.withdrawn is not None:
        yield "withdrawn", f"{proposal.withdrawn.at:{_MOMENT}} by {_who(proposal.withdrawn.by)}"
    if proposal.erasure is not None:
        yield "approved", f"{proposal.erasure.at:{_MOMENT}} by {_who(proposal.erasure.approved_by)}"
    yield "reason", proposed.reason
    yield "legal basis", proposed.legal_basis
    if proposed.archive is not None:
        yield "archive", proposed.archive
    yield "records", str(count_of(proposed.records))
    yield "digest", digest_of(proposed)


def _who(officer: Officer) -> str:
    return f"{officer.name} (logged in as {officer.login})"


def _place(text: str) -> tuple[str, int, int]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise click.UsageError("--record: LANE:N or LANE:N-M")
    first, last = int(found[2]), int(found[3] or found[2])
    if not first <= last < first + _MOST_AT_ONCE:
        raise click.UsageError(f"--record: from N to M, and up to {_MOST_AT_ONCE} of them")
    return found[1].upper(), first, last
