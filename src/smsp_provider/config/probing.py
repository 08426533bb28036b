"""The section ``[probing]`` of the settings: from what counts on a caller seems to guess (how-to/detect-probing.md)."""

from typing import Final

from pydantic import Field

from smsp_provider.config.section import Section
from smsp_provider.engine.probing import ProbingPolicy
from smsp_provider.engine.probing_detector import MOST_VALUES

__all__ = ["ProbingSettings", "probing_policy"]

_DAY: Final = 86_400


class ProbingSettings(Section):
    """When callers seem to guess: an alert, nothing is refused. Counts are within one window."""

    enabled: bool = Field(True, description="Whether requests are counted at all.")
    window_seconds: int = Field(
        _DAY, ge=60, le=31 * _DAY, description="For how long calls are counted together, from the first one on."
    )
    quiet_seconds: int = Field(
        3_600,
        ge=1,
        le=31 * _DAY,
        description="Shortest time between two alerts of one pattern for a client or identity.",
    )
    guesses_of_a_number: int = Field(
        8, ge=2, le=10_000, description="details-guessed: answers not_verified for one NHS number to one client."
    )
    neighbours: int = Field(
        12,
        ge=3,
        le=100,
        description="neighbouring-numbers: different numbers out of 128 in a row (check digits aside), of one client.",
    )
    numbers_of_a_person: int = Field(
        300, ge=10, le=30_000, description="many-numbers: different numbers asked for by one attended identity."
    )
    numbers_of_a_system: int = Field(
        20_000,
        ge=10,
        le=30_000,
        description="many-numbers: the same of an unattended identity, or a background client.",
    )
    unsuccessful: int = Field(
        50,
        ge=2,
        le=1_000_000,
        description="mostly-unsuccessful: different numbers, asked for by one identity or client, that did not verify, "
        "are not known or no longer in use,",
    )
    unsuccessful_part: float = Field(
        0.5, gt=0, le=1, description="if they are at least this part of its requests by number."
    )
    postcodes_of_a_search: int = Field(
        8, ge=2, le=10_000, description="postcodes-tried: changes of the postcode of one search by one client."
    )
    postcode_pairs: int = Field(
        20,
        ge=2,
        le=10_000,
        description="with-and-without-postcode: searches of one identity made both ways; the ordinary second try after "
        "no or several matches counts a third, and nothing for an unattended one.",
    )
    values_of_a_field: int = Field(
        10,
        ge=3,
        le=MOST_VALUES,
        description="one-field-varied: different dates of birth, or names, in searches else the same that found "
        "nobody or too many.",
    )


def probing_policy(settings: ProbingSettings) -> ProbingPolicy:
    """The counts for the detector."""
    return ProbingPolicy(
        window=settings.window_seconds,
        quiet=settings.quiet_seconds,
        guesses_of_a_number=settings.guesses_of_a_number,
        neighbours=settings.neighbours,
        numbers_of_a_person=settings.numbers_of_a_person,
        numbers_of_a_system=settings.numbers_of_a_system,
        unsuccessful=settings.unsuccessful,
        unsuccessful_part=settings.unsuccessful_part,
        postcodes_of_a_search=settings.postcodes_of_a_search,
        postcode_pairs=settings.postcode_pairs,
        values_of_a_field=settings.values_of_a_field,
    )
