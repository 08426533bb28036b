"""Which way to PDS is taken, and how PDS FHIR is reached; the settings of HL7 V3 are those of Spine."""

import re
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from pydantic import Field, field_validator, model_validator

from smsp_provider.config.section import Seconds, Section, has_control_character, http_url

__all__ = ["FHIRAccess", "FHIRSettings", "HomePhone", "SmartcardPolicy", "Upstream", "UpstreamSettings"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_LIVE_PART: Final = 0.01
_KID: Final = re.compile(r"[!-~]{1,128}")


class Upstream(StrEnum):
    """A way to PDS; the value is the word of the settings."""

    HL7V3 = "hl7v3"
    PDS_FHIR = "pds-fhir"


class FHIRAccess(StrEnum):
    """How PDS FHIR knows us."""

    SIGNED_JWT = "signed-jwt"
    NONE = "none"


class SmartcardPolicy(StrEnum):
    """What becomes of requests with a smartcard's user, whom PDS FHIR cannot be told."""

    REFUSE = "refuse"
    UNATTENDED = "unattended"


class HomePhone(StrEnum):
    """The use of a telephone at home: HL7 V3 has two."""

    HP = "HP"
    H = "H"


class UpstreamSettings(Section):
    """The way to PDS: HL7 V3 (section [spine]) or FHIR (section [pds_fhir])."""

    kind: Upstream = Field(Upstream.HL7V3, description="hl7v3 or pds-fhir, for every organisation not named below.")
    by_organisation: dict[str, Upstream] = Field(
        default_factory=dict,
        description="The way of single organisations, by ODS code in any case: to move one after the other.",
    )

    compare_with: Upstream | None = Field(
        None,
        description="Put a sample of the queries of organisations not named below to this way too, in the background, "
        "and keep what differs (names of fields, codes, no values). Each is one more on a patient's national record.",
    )
    compare_part: float = Field(
        0.01, gt=0, le=1, description="The part of all queries that is compared; in live at most 0.01."
    )
    compare_until: date | None = Field(None, description="The last day of comparing; needed for it.")
    compare_approval: str = Field("", description="Reference of the approval to compare; needed for it.")

    @field_validator("by_organisation")
    @classmethod
    def _one_way_for_each_organisation(cls, value: dict[str, Upstream]) -> dict[str, Upstream]:
        if len({code.strip().upper() for code in value}) != len(value):
            raise ValueError("an organisation stands here twice: codes are compared without regard to case")
        return value

    @model_validator(mode="after")
    def _comparison_is_approved(self) -> Self:
        if self.compare_with is None:
            return self
        if self.compare_with is self.kind:
            raise ValueError("compare_with must be another way than kind")
        if self.compare_until is None or not self.compare_approval.strip():
            raise ValueError("compare_with needs compare_until and compare_approval")
        return self

    def relaxed(self) -> dict[str, bool]:
        """What live refuses, by setting."""
        return {"upstream.compare_part": self.compare_with is not None and self.compare_part > _LIVE_PART}

    def uses(self, upstream: Upstream) -> bool:
        """Whether a way is taken by anybody."""
        return upstream in (self.kind, *self.by_organisation.values())


class FHIRSettings(Section):
    """PDS FHIR as an upstream, with application-restricted access."""

    base_url: str = Field("", description="URL of the API up to FHIR/R4; http:// only to loopback, refused in live.")
    access: FHIRAccess = Field(
        FHIRAccess.SIGNED_JWT,
        description="signed-jwt: tokens for signed assertions; none: for the public sandbox, refused in live.",
    )
    token_url: str = Field("", description="URL of the token endpoint, character for character as registered.")
    api_key: str = Field("", description="The application's API key: issuer and subject of assertions. No secret.")
    key: Path | None = Field(None, description="PEM file of the private RSA key that signs assertions.")
    key_id: str = Field("", description="kid under which its public half is registered.")
    other_key: Path | None = Field(
        None, description="PEM file of a second key, tried where the first is refused: for a change of keys."
    )
    other_key_id: str = Field("", description="kid of the second key.")
    ca: Path | None = Field(
        None,
        description="PEM file of the authorities the API's certificate must chain to; unset: those of the machine.",
    )
    smartcard: SmartcardPolicy = Field(
        SmartcardPolicy.REFUSE,
        description="Requests of access method 3, whose user this API cannot be told: refuse is SMSP-0005; unattended "
        "asks without the user, who stands in the audit trail alone.",
    )
    home_phone: HomePhone = Field(HomePhone.HP, description="Use of telephones at home in responses: HP or H.")
    rate_per_second: float = Field(
        4,
        gt=0,
        le=10_000,
        description="Requests a second, of all hosts together, as agreed with NHS England: with the burst, no second "
        "sees more than both together. Caps throttle.rate_per_second while PDS FHIR is used by anybody.",
    )
    burst: int = Field(1, ge=1, le=10_000, description="How many more may go after a pause; caps throttle.burst.")
    max_in_flight: int = Field(32, ge=1, le=10_000, description="Requests under way at once, for each worker.")
    connect_seconds: Seconds = Field(
        5, le=600, description="Longest wait for a host's addresses and a connection, within the request's deadline."
    )
    max_answer_bytes: int = Field(1_000_000, ge=10_000, le=100_000_000, description="Largest answer that is read.")

    @field_validator("base_url", "token_url")
    @classmethod
    def _secure_or_local(cls, value: str) -> str:
        if value:
            parts = http_url(value)
            if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
                raise ValueError("http:// is for loopback addresses only")
            if parts.query or parts.fragment:
                raise ValueError("a URL without query and fragment is needed")
        return value

    @field_validator("api_key")
    @classmethod
    def _visible(cls, value: str) -> str:
        if has_control_character(value):
            raise ValueError("a control character cannot stand in a token")
        return value

    @field_validator("key_id", "other_key_id")
    @classmethod
    def _names_a_key(cls, value: str) -> str:
        if value and _KID.fullmatch(value) is None:
            raise ValueError("a kid is a word of visible ASCII characters")
        return value

    @model_validator(mode="after")
    def _second_key_has_a_name(self) -> Self:
        if (self.other_key is None) is not (self.other_key_id == ""):
            raise ValueError("other_key and other_key_id belong together")
        return self

    def missing(self) -> tuple[str, ...]:
        """The settings without which the API cannot be used."""
        needed = {"base_url": self.base_url}
        if self.access is FHIRAccess.SIGNED_JWT:
            needed |= {
                "token_url": self.token_url,
                "api_key": self.api_key,
                "key": str(self.key or ""),
                "key_id": self.key_id,
            }
        return tuple(f"pds_fhir.{name}" for name, value in needed.items() if not value)

    def relaxed(self) -> dict[str, bool]:
        """What live refuses, by setting."""
        return {
            "pds_fhir.access": self.access is FHIRAccess.NONE,
            "pds_fhir.base_url (http)": self.base_url.startswith("http:"),
            "pds_fhir.token_url (http)": self.token_url.startswith("http:"),
        }
