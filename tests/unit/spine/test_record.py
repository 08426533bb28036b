"""Patient nodes as read: both layouts, history, blanks, and nobody else's data."""

import pytest

from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.person import PatientRecord, Practice, Telecom, Validity
from spine_messages import answer_to, envelope, message, patient, read

TODAY = HL7Date("20260314")
NHS = "2.16.840.1.113883.2.1.4.1"
ALWAYS = Validity()


def record(content: str = "", person: str = "") -> PatientRecord:
    return answer_to(patient(content, person)).records[0]


def part(number: int, content: str, history: str = "") -> str:
    return f"<COCT_MT00020{number}UK02.PartOfWhole>{content}{history}</COCT_MT00020{number}UK02.PartOfWhole>"


def name(content: str, use: str = "L") -> str:
    return f'<name use="{use}">{content}</name>'


def held(low: str, high: str = "") -> str:
    closed = f'<high value="{high}"/>' if high else ""
    return (
        "<subjectOf1><other/></subjectOf1><subjectOf2><systemEffectiveDate><code/>"
        f'<value><low value="{low}"/>{closed}</value></systemEffectiveDate></subjectOf2>'
    )


def provision(
    content: str, element: str = "patientCareProvision", code: str = "1", assigned: str = "assignedOrganization"
) -> str:
    return (
        f'<playedOtherProviderPatient><subjectOf><{element}><code code="{code}"/>{content}<performer><{assigned}>'
        f'<id root="2.16.840.1.113883.2.1.4.3" extension="Z99993"/></{assigned}></performer></{element}></subjectOf>'
        "</playedOtherProviderPatient>"
    )


# Identity


def test_every_number_at_the_place_of_the_nhs_number_is_listed_unjudged() -> None:
    found = record(f'<id root="{NHS}" extension="12"/><id root="{NHS}"/><id root="1.2.3" extension="9000000017"/>')
    assert found.nhs_numbers == ("9000000009", "12", "")


def test_replaced_numbers_are_listed_apart() -> None:
    old = f'<replacementOf><oldVersion><id root="{NHS}" extension="9000000017"/></oldVersion></replacementOf>'
    found = record(old + old.replace("9000000017", "9000000025"))
    assert found.nhs_numbers == ("9000000009",)
    assert found.superseded_numbers == ("9000000017", "9000000025")


@pytest.mark.rule("SMSP-PDS-006")
def test_absent_and_blank_are_told_apart() -> None:
    absent = record()
    assert (absent.birth_time, absent.deceased_time, absent.gender) == (None, None, None)
    blank = record(person='<birthTime value=""/><deceasedTime/><administrativeGenderCode/>')
    assert (blank.birth_time, blank.deceased_time, blank.gender) == ("", "", "")
    filled = record(
        person='<birthTime value="195712310915"/><deceasedTime value="2026"/><administrativeGenderCode code="2"/>'
    )
    assert (filled.birth_time, filled.deceased_time, filled.gender) == ("195712310915", "2026", "2")


@pytest.mark.parametrize(
    ("element", "codes"),
    [
        ('<confidentialityCode code="S"/>', ("S",)),
        ('<confidentialityCode code="Y"/>', ("Y",)),
        ('<confidentialityCode code="B"/><confidentialityCode code="Y"/>', ("B", "Y")),
        ('<confidentialityCode nullFlavor="UNK"/>', ("S",)),
        ("", ()),
    ],
    ids=["sensitive", "stop-noted", "two", "unknown", "none"],
)
def test_confidentiality_codes_are_read_and_an_unknown_one_is_sensitive(element: str, codes: tuple[str, ...]) -> None:
    found = record(element)
    assert found.confidentiality == codes
    assert found.is_sensitive is bool(codes)
    assert found.is_very_restricted is ("Y" in codes)


# Names


@pytest.mark.parametrize("layout", ["flat", "parts"])
def test_names_are_read_in_both_layouts(layout: str) -> None:
    written = name(
        "<prefix>MS</prefix><suffix>X</suffix><given>ANNE</given><given/><family>SPECIMEN</family>", "L PREFERRED"
    )
    person = written if layout == "flat" else part(3, f"<partPerson>{written}</partPerson>")
    (found,) = record(person=person).names
    assert (found.use, found.prefix, found.given, found.family) == (("L", "PREFERRED"), "MS", ("ANNE", ""), "SPECIMEN")
    assert found.validity == ALWAYS


@pytest.mark.rule("SMSP-PDS-006")
def test_parts_of_a_name_are_absent_or_blank() -> None:
    absent, blank = record(person=name("") + name("<family/><prefix/><given/>")).names
    assert (absent.family, absent.prefix, absent.given) == (None, None, ())
    assert (blank.family, blank.prefix, blank.given) == ("", "", ("",))


def test_of_two_family_names_or_prefixes_the_first_counts() -> None:
    (found,) = record(person=name("<family/><family>B</family><prefix>MR</prefix><prefix>DR</prefix>")).names
    assert (found.family, found.prefix) == ("", "MR")


# Addresses, telecoms


@pytest.mark.parametrize("layout", ["flat", "parts"])
def test_addresses_keep_the_position_of_their_lines(layout: str) -> None:
    written = (
        '<addr use="H PHYS"><streetAddressLine/><streetAddressLine>1 A ST</streetAddressLine><streetAddressLine/>'
        "<postalCode>ZZ99 3VZ</postalCode><addressKey>1</addressKey><desc>d</desc></addr>"
    )
    found = record(written) if layout == "flat" else record(person=part(1, written))
    (address,) = found.addresses
    assert (address.use, address.lines, address.postal_code) == (("H", "PHYS"), ("", "1 A ST", ""), "ZZ99 3VZ")


@pytest.mark.rule("SMSP-PDS-006")
def test_a_postcode_is_absent_or_blank() -> None:
    absent, blank, first = record(
        "<addr/><addr><postalCode/></addr><addr><postalCode/><postalCode>X</postalCode></addr>"
    ).addresses
    assert (absent.use, absent.lines, absent.postal_code) == ((), (), None)
    assert (blank.postal_code, first.postal_code) == ("", "")


@pytest.mark.parametrize("layout", ["flat", "parts"])
def test_telecoms_are_kept_as_written_and_in_order(layout: str) -> None:
    written = ['<telecom use="HP" value="tel:0"/>', '<telecom use="H" value="mailto:a@b.invalid"/>', "<telecom/>"]
    found = record("".join(written)) if layout == "flat" else record(person="".join(part(2, one) for one in written))
    assert found.telecoms == (
        Telecom(("HP",), "tel:0"),
        Telecom(("H",), "mailto:a@b.invalid"),
        Telecom((), ""),
    )


# Practice


@pytest.mark.parametrize("element", ["patientCareProvision", "patientCareProvisionEvent"])
@pytest.mark.parametrize("assigned", ["assignedOrganization", "assignedEntity"])
def test_the_practice_is_read_in_all_forms(element: str, assigned: str) -> None:
    person = provision('<effectiveTime><low value="20100601"/></effectiveTime>', element, assigned=assigned)
    assert record(person=person).practices == (Practice("Z99993", Validity("20100601")),)


@pytest.mark.parametrize("code", ["P1", "P2", "P3", "2", ""])
def test_pharmacies_and_others_are_not_practices(code: str) -> None:
    assert record(person=provision("", code=code)).practices == ()


def test_an_id_of_another_kind_is_not_a_practice() -> None:
    assert record(person=provision("").replace("2.1.4.3", "2.1.4.2")).practices == ()
    assert record(person=provision("", assigned="assignedDevice")).practices == ()


def test_a_practice_deeper_inside_is_not_the_patients_own() -> None:
    inner = provision("").removeprefix("<playedOtherProviderPatient>").removesuffix("</playedOtherProviderPatient>")
    wrapped = f"<playedOtherProviderPatient><other>{inner}</other></playedOtherProviderPatient>"
    assert record(person=wrapped).practices == ()


def test_a_practice_pds_has_closed_is_withdrawn() -> None:
    closed = provision(held("20100601", "20110601"))
    assert [practice.validity.withdrawn for practice in record(person=closed).practices] == [True]
    opened = provision(held("20100601"))
    assert [practice.validity for practice in record(person=opened).practices] == [ALWAYS]


# When an item applies


@pytest.mark.parametrize(
    ("period", "current"),
    [
        ("", True),
        ("<P/>", True),
        ('<P><low value="20260314"/></P>', True),
        ('<P><low value="20260315"/></P>', False),
        ('<P><high value="20260314"/></P>', True),
        ('<P><high value="20260313"/></P>', False),
        ('<P><low value="20260101120000"/><high value="202612"/></P>', True),
        ('<P><low value="20260613"/><high value="20260101"/></P>', False),
        ('<P><low nullFlavor="NINF"/><high nullFlavor="PINF"/></P>', True),
        ('<P><low nullFlavor="PINF"/></P>', False),
        ('<P><high nullFlavor="UNK"/></P>', False),
        ("<P><high/></P>", False),
        ('<P><low value="20260230"/></P>', False),
        ('<P><low value="yesterday"/></P>', False),
        ('<P value="20260314"/>', False),
        ('<P><center value="20260314"/></P>', False),
        ('<P><width value="3"/></P>', False),
        ('<P><low value="2020"/></P><P><high value="2030"/></P>', False),
        ('<P><low value="20260230"/><high value="2030"/></P>', False),
        ('<P><low value="2020"/><high value="20300230"/></P>', False),
        ('<P><low value="yesterday"/><low value="2020"/></P>', False),
        ('<P><high value="tomorrow"/><high value="2030"/></P>', False),
    ],
    ids=range(22),
)
def test_items_are_current_by_their_period(period: str, current: bool) -> None:
    found = record(f"<addr>{period.replace('<P', '<useablePeriod').replace('</P', '</useablePeriod')}</addr>")
    assert [address.validity.is_current(TODAY) for address in found.addresses] == [current]


@pytest.mark.parametrize(
    ("period", "readable"),
    [
        ('<low value="2020"/><high value="20200101000000"/>', True),
        ('<low value="2050"/>', True),
        ('<low value="20260230"/>', False),
        ('<high value="yesterday"/>', False),
        ('<low value="2020"/><high/>', False),
        ('<low value="2020"/><low value="2021"/>', False),
        ('<low nullFlavor="NINF"/><low value="2020"/>', False),
        ('<high nullFlavor="PINF"/><low value="2020"/><high value="2030"/>', False),
        ('<width value="3"/>', False),
    ],
    ids=range(9),
)
def test_a_period_is_readable_where_its_ends_are_dates(period: str, readable: bool) -> None:
    found = record(f"<addr><useablePeriod>{period}</useablePeriod></addr>")
    assert [address.validity.readable for address in found.addresses] == [readable]


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_parts_that_pds_has_closed_are_withdrawn(kind: int) -> None:
    content = {1: "<addr/>", 2: "<telecom/>", 3: f"<partPerson>{name('')}</partPerson>"}[kind]
    closed, opened = part(kind, content, held("2010", "2011")), part(kind, content, held("2010"))
    found = record(person=closed + opened + part(kind, content))
    validities = [
        *(address.validity for address in found.addresses),
        *(telecom.validity for telecom in found.telecoms),
        *(name.validity for name in found.names),
    ]
    assert [validity.is_current(TODAY) for validity in validities] == [False, True, True]


def test_each_kind_of_period_is_read() -> None:
    ended = '<high value="2010"/>'
    found = record(
        f"<addr><useablePeriod>{ended}</useablePeriod></addr><telecom><useablePeriod>{ended}</useablePeriod></telecom>",
        name(f"<validTime>{ended}</validTime>") + provision(f"<effectiveTime>{ended}</effectiveTime>"),
    )
    until_2010 = Validity(None, "2010")
    assert [address.validity for address in found.addresses] == [until_2010]
    assert [telecom.validity for telecom in found.telecoms] == [until_2010]
    assert [name.validity for name in found.names] == [until_2010]
    assert [practice.validity for practice in found.practices] == [until_2010]


# Nobody else's data


def test_nothing_of_related_persons_or_old_versions_is_read() -> None:
    theirs = (
        f'<id root="{NHS}" extension="9000000017"/><birthTime value="19000101"/><deceasedTime value="2000"/>'
        f'<administrativeGenderCode code="1"/><confidentialityCode code="S"/>{provision("")}'
        f"<addr/><telecom/>{name('<family>OTHER</family>')}{part(1, '<addr/>')}{part(2, '<telecom/>')}"
        + part(3, f"<partPerson>{name('')}</partPerson>")
    )
    related = f"<scopedRelatedPersonRole>{theirs}<player>{theirs}</player></scopedRelatedPersonRole>"
    old = f"<replacementOf>{theirs}<oldVersion><inner>{theirs}</inner></oldVersion></replacementOf>"
    assert record(old, related) == record()


def test_a_patient_elsewhere_in_the_message_is_not_a_patient_of_the_answer() -> None:
    hidden = f"<reason>{patient(number='9000000017')}</reason>"
    assert answer_to(reasons=hidden).records == ()
    deeper = f"<other><subject>{patient(number='9000000017')}</subject></other>"
    wrapped = message(patient()).replace("</PDSResponse>", f"{deeper}</PDSResponse>")
    assert [found.nhs_numbers for found in read(envelope(wrapped)).records] == [("9000000009",)]
    nested = patient(f"<other>{patient(number='9000000017')}</other>")
    assert [found.nhs_numbers for found in answer_to(nested).records] == [("9000000009",)]


def test_a_record_does_not_show_itself() -> None:
    found = record("<addr><postalCode>ZZ99 3VZ</postalCode></addr>", name("<family>SPECIMEN</family>"))
    assert repr(found) == "<PatientRecord>"
    assert repr(found.names) == "(<Name>,)"
