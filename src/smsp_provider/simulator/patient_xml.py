"""The patient of an answer in its two layouts: flat (trace, cross-check) and in parts (retrieval).

Source: HL7 V3 pack, section 10, and the message models PRPA_MT000200UK01, PRPA_MT000213UK02 (flat) and
PRPA_MT000201UK03 (parts), whose element order this follows.
"""

from collections.abc import Sequence
from typing import Final

from smsp_provider.domain.identifiers import OID
from smsp_provider.simulator.records import (
    RelatedPerson,
    Span,
    SpineAddress,
    SpineItem,
    SpineName,
    SpinePatient,
    SpinePractice,
    SpineTelecom,
)
from smsp_provider.simulator.trace import Replaced
from smsp_provider.xmlcore.build import element, text

__all__ = ["flat_subject", "parts_subject"]

_OBJECT_ID: Final = "2.16.840.1.113883.2.1.3.2.4.18.1"
_ORGANISATION: Final = "2.16.840.1.113883.2.1.4.3"
_CARE_PROVISION: Final = "2.16.840.1.113883.2.1.3.2.4.17.37"
_OBSERVATION: Final = "2.16.840.1.113883.2.1.3.2.4.17.35"
_DEATH_STATUS: Final = "2.16.840.1.113883.2.1.3.2.4.16.5"
_CONFIDENTIALITY: Final = "2.16.840.1.113883.2.1.3.2.4.16.1"
_RELATIONSHIP: Final = "2.16.840.1.113883.2.1.3.2.4.16.15"
_PART_KIND: Final = "2.16.840.1.113883.2.1.3.2.4.17.170"
_TRACE: Final = "QUPA_IN000007UK01"


def flat_subject(record: SpinePatient, interaction: str) -> str:
    """The subject of a trace (PdsTraceMatch) or a cross-check (PDSResponse)."""
    traced = interaction == _TRACE
    role = [
        *(_address(address, None) for address in record.addresses),
        _confidentiality(record),
        _nhs_number(record.nhs_number),
        *(_telecom(telecom, None) for telecom in record.telecoms),
    ]
    # Without any name or date the person is still there, empty: that is how a very restricted record looks.
    person = [
        *_person_facts(record),
        *(_name(name, None) for name in record.names),
        *(_flat_practice(practice) for practice in _registered(record)[:1]),
    ]
    role.append(element("patientPerson", *person, classCode="PSN", determinerCode="INSTANCE"))
    role.append(_death("subjectOf3" if traced else "subjectOf2", record))
    patient = element("subject", element("patientRole", *role, classCode="PAT"), typeCode="SBJ")
    return element("PdsTraceMatch" if traced else "PDSResponse", patient, classCode="OBS", moodCode="EVN")


def parts_subject(record: SpinePatient, replaced: Sequence[Replaced]) -> str:
    """The subject of a retrieval: serial change number, person in parts, replaced numbers."""
    person = [
        *_person_facts(record),
        *(_practice(practice, f"G{n}") for n, practice in enumerate(record.practices, 1)),
        *(_related(person, f"R{n}") for n, person in enumerate(record.related, 1)),
        *(_address_part(address, f"A{n}") for n, address in enumerate(record.addresses, 1)),
        *(_telecom_part(telecom, f"T{n}") for n, telecom in enumerate(record.telecoms, 1)),
        *(_name_part(name, f"N{n}") for n, name in enumerate(record.names, 1)),
    ]
    role = element(
        "patientRole",
        _confidentiality(record),
        _nhs_number(record.nhs_number),
        element("patientPerson", *person, classCode="PSN", determinerCode="INSTANCE"),
        *(_replacement(old) for old in replaced),
        _death("subjectOf2", record),
        classCode="PAT",
    )
    number = element(
        "pertinentSerialChangeNumber",
        element("code", code="2", codeSystem=_OBSERVATION),
        element("value", value=str(record.serial_change_number)),
        classCode="OBS",
        moodCode="EVN",
    )
    return element(
        "PDSResponse",
        element("pertinentInformation", number, typeCode="PERT"),
        element("subject", role, typeCode="SBJ"),
        classCode="OBS",
        moodCode="EVN",
    )


# --- what both layouts share ------------------------------------------------------------------------------------------


def _nhs_number(number: str) -> str:
    return element("id", root=OID.NHS_NUMBER, extension=number)


def _confidentiality(record: SpinePatient) -> str:
    if record.confidentiality is None:
        return ""
    return element("confidentialityCode", code=record.confidentiality, codeSystem=_CONFIDENTIALITY)


def _person_facts(record: SpinePatient) -> list[str]:
    facts = []
    if record.gender is not None:
        facts.append(element("administrativeGenderCode", code=record.gender))
    if record.birth_time is not None:
        facts.append(element("birthTime", value=record.birth_time))
    if record.deceased_time is not None:
        facts.append(element("deceasedTime", value=record.deceased_time))
    return facts


def _death(place: str, record: SpinePatient) -> str:
    if record.death_status is None:
        return ""
    notification = element(
        "deathNotification",
        element("code", code="3", codeSystem=_OBSERVATION),
        element("value", code=record.death_status, codeSystem=_DEATH_STATUS),
        classCode="OBS",
        moodCode="EVN",
    )
    return element(place, notification, typeCode="SBJ")


def _span(name: str, span: Span) -> str:
    if span.low is None and span.high is None:
        return ""
    low = element("low", value=span.low) if span.low is not None else ""
    high = element("high", value=span.high) if span.high is not None else ""
    return element(name, low, high)


def _object_id(identifier: str | None) -> str:
    return "" if identifier is None else element("id", root=_OBJECT_ID, extension=identifier)


def _name(name: SpineName, identifier: str | None) -> str:
    given = [element("given", text(part)) for part in name.given]
    return element(
        "name",
        "" if name.prefix is None else element("prefix", text(name.prefix)),
        *given,
        "" if name.family is None else element("family", text(name.family)),
        "" if name.suffix is None else element("suffix", text(name.suffix)),
        _span("validTime", name.period),
        _object_id(identifier),
        use=name.use,
    )


def _address(address: SpineAddress, identifier: str | None) -> str:
    lines = [element("streetAddressLine", text(line)) for line in address.lines]
    return element(
        "addr",
        *lines,
        "" if address.postcode is None else element("postalCode", text(address.postcode)),
        "" if address.address_key is None else element("addressKey", text(address.address_key)),
        "" if address.description is None else element("desc", text(address.description)),
        _span("useablePeriod", address.period),
        _object_id(identifier),
        use=address.use,
    )


def _telecom(telecom: SpineTelecom, identifier: str | None) -> str:
    return element(
        "telecom",
        _span("useablePeriod", telecom.period),
        _object_id(identifier),
        use=telecom.use,
        value=telecom.value,
    )


def _registered(record: SpinePatient) -> list[SpinePractice]:
    return [practice for practice in record.practices if practice.kind == "1"]


def _flat_practice(practice: SpinePractice) -> str:
    organisation = element(
        "assignedOrganization", element("id", root=_ORGANISATION, extension=practice.ods_code), classCode="ASSIGNED"
    )
    return _care_provision("patientCareProvision", practice, "", organisation, "")


def _care_provision(name: str, practice: SpinePractice, identifier: str, performer: str, held: str) -> str:
    provision = element(
        name,
        element("code", code=practice.kind, codeSystem=_CARE_PROVISION),
        _span("effectiveTime", practice.period),
        identifier,
        element("performer", performer, typeCode="PRF"),
        held,
        classCode="PCPR",
        moodCode="EVN",
    )
    subject = element("subjectOf", provision, typeCode="SBJ")
    return element("playedOtherProviderPatient", subject, classCode="PAT")


# --- the parts of a retrieval -----------------------------------------------------------------------------------------


def _held(place: str, item: SpineItem, kind: str = "SBJ") -> str:
    """When PDS held the item; left out where the store does not say."""
    if item.held.low is None and item.held.high is None:
        return ""
    date = element(
        "systemEffectiveDate",
        element("code", code="02", codeSystem=_PART_KIND),
        _span("value", item.held),
        classCode="OBS",
        moodCode="EVN",
    )
    return element(place, date, typeCode=kind)


def _practice(practice: SpinePractice, identifier: str) -> str:
    entity = element(
        "assignedEntity", element("id", root=_ORGANISATION, extension=practice.ods_code), classCode="ASSIGNED"
    )
    # In this part of the model the date is subjectOf1, and the relationship has another code.
    held = _held("subjectOf1", practice, "SUBJ")
    return _care_provision("patientCareProvisionEvent", practice, _object_id(identifier), entity, held)


def _address_part(address: SpineAddress, identifier: str) -> str:
    content = _address(address, identifier) + _held("subjectOf2", address)
    return element("COCT_MT000201UK02.PartOfWhole", content, classCode="PART")


def _telecom_part(telecom: SpineTelecom, identifier: str) -> str:
    content = _telecom(telecom, identifier) + _held("subjectOf2", telecom)
    return element("COCT_MT000202UK02.PartOfWhole", content, classCode="PART")


def _name_part(name: SpineName, identifier: str) -> str:
    person = element("partPerson", _name(name, identifier), classCode="PSN", determinerCode="INSTANCE")
    return element("COCT_MT000203UK02.PartOfWhole", person, _held("subjectOf2", name), classCode="PART")


def _related(person: RelatedPerson, identifier: str) -> str:
    player = element(
        "player",
        "" if person.telecom is None else _telecom_part(person.telecom, f"{identifier}T"),
        "" if person.address is None else _address_part(person.address, f"{identifier}A"),
        _name_part(person.name, f"{identifier}N"),
        classCode="PSN",
        determinerCode="INSTANCE",
    )
    return element(
        "scopedRelatedPersonRole",
        element("code", code=person.relationship, codeSystem=_RELATIONSHIP),
        _object_id(identifier),
        player,
        classCode="PRS",
    )


def _replacement(old: Replaced) -> str:
    version = element(
        "oldVersion", _span("effectiveTime", Span(low=old.since)), _nhs_number(old.nhs_number), classCode="PAT"
    )
    return element("replacementOf", version, typeCode="REPL")
