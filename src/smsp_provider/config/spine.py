"""The section ``[spine]`` of the settings: Spine as the PDS upstream over HL7 V3."""

from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from smsp_provider.config.section import Seconds, Section, has_control_character, http_url
from smsp_provider.spine.hl7v3.interactions import CROSS_CHECK_TRACE, RETRIEVAL, SIMPLE_TRACE

__all__ = ["SpineSettings"]

Asid = Annotated[str, Field(pattern="^[0-9]{12}$")]
"""Spine wants twelve digits in an ASID (rule G06 of its validators)."""

_INTERACTIONS: Final = tuple(interaction.request for interaction in (SIMPLE_TRACE, CROSS_CHECK_TRACE, RETRIEVAL))


class SpineSettings(Section):
    """Spine as the PDS upstream over HL7 V3."""

    endpoint: str = Field(
        "",
        description="URL of Spine's synchronous PDS service; http:// only to loopback. Needed for the upstream hl7v3.",
    )
    endpoints: dict[str, str] = Field(
        default_factory=dict,
        description="URL of each interaction that Spine's directory registers elsewhere, by its id "
        f"({', '.join(_INTERACTIONS)}); the others go to `endpoint`.",
    )
    certificate: Path | None = Field(None, description="PEM file of the client certificate towards Spine.")
    key: Path | None = Field(None, description="PEM file of its private key.")
    ca: Path | None = Field(None, description="PEM file of the authorities Spine's certificate must chain to.")
    pds_asid: Asid | None = Field(
        None, description="ASID of PDS, the receiver of every query. Needed for the upstream hl7v3."
    )
    own_address: str = Field("", description="Address of this system in wsa:From and wsa:ReplyTo; left out when empty.")
    ods_to_asid: dict[str, Asid] = Field(
        default_factory=dict, description="ASID of each organisation that may ask, by ODS code in any case."
    )
    default_asid: Asid | None = Field(
        None, description="ASID for organisations without an entry; sandbox and test only, refused in live."
    )
    max_in_flight: int = Field(
        128, ge=1, le=10_000, description="Queries that may be under way at once, for each worker."
    )
    connect_seconds: Seconds = Field(
        5, le=600, description="Longest wait for a host's addresses and a connection, within the request's deadline."
    )
    max_answer_bytes: int = Field(1_000_000, ge=10_000, le=100_000_000, description="Largest answer that is read.")

    @field_validator("endpoint")
    @classmethod
    def _secure_or_local(cls, value: str) -> str:
        if value:
            _check_endpoint(value)
        return value

    @field_validator("endpoints")
    @classmethod
    def _of_interactions_that_are_sent(cls, value: dict[str, str]) -> dict[str, str]:
        for interaction, url in value.items():
            if interaction not in _INTERACTIONS:
                raise ValueError(f"this provider sends no other interactions than {', '.join(_INTERACTIONS)}")
            try:
                _check_endpoint(url)
            except ValueError as error:
                raise ValueError(f"{interaction}: {error}") from None
        return value

    @field_validator("own_address")
    @classmethod
    def _can_stand_in_a_message(cls, value: str) -> str:
        if has_control_character(value):
            raise ValueError("a control character cannot stand in a message")
        return value

    @field_validator("ods_to_asid")
    @classmethod
    def _one_asid_for_each_organisation(cls, value: dict[str, str]) -> dict[str, str]:
        if len({code.strip().upper() for code in value}) != len(value):
            raise ValueError("an organisation stands here twice: codes are compared without regard to case")
        return value

    @model_validator(mode="after")
    def _certificates_for_https(self) -> Self:
        given = (self.certificate, self.key, self.ca)
        if None in given and any(urlsplit(url).scheme == "https" for url in self.urls()):
            raise ValueError("https needs certificate, key and ca")
        return self

    def urls(self) -> frozenset[str]:
        """Every URL that queries are sent to."""
        return frozenset({self.endpoint, *self.endpoints.values()} - {""})

    def missing(self) -> tuple[str, ...]:
        """The settings without which Spine cannot be asked."""
        needed = {"spine.endpoint": self.endpoint, "spine.pds_asid": self.pds_asid}
        return tuple(name for name, value in needed.items() if not value)


def _check_endpoint(url: str) -> None:
    """Refuse a URL that queries must not be sent to.

    Raises:
        ValueError: it is not https, nor http to this machine.
    """
    parts = http_url(url)
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("http:// is for loopback addresses only")
