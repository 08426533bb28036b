"""Our schemas against the published ones: thousands of damaged and undamaged documents, the same verdict on each.

Where ours refuses what the published schema accepts, the document must fall into one of ``CLASSES``: undoing what the
class describes, and nothing else, makes ours accept it. The reverse must never happen. docs/reference/schemas.md lists
the classes with their reasons; ``pytest -rP`` shows the counts.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import pytest
from lxml import etree

from reference import shared_file
from shared.schema_documents import MAKERS, REQUESTS, valid_document
from shared.schema_mutations import TYPES, mutated
from smsp_provider.xmlcore.names import HL7, XSD, XSI
from smsp_provider.xmlcore.resources import schemas_directory
from smsp_provider.xmlcore.schemas import SchemaName, Schemas

pytestmark = [pytest.mark.shared, pytest.mark.rule("SMSP-VAL-001")]

VALID_DOCUMENTS = 400
DAMAGED_DOCUMENTS = 4_000


@dataclass(frozen=True)
class DisagreementClass:
    """Something that the published schemas accept and ours refuse, on purpose."""

    name: str
    undo: Callable[[etree._Element], None]


def _without_xsi_type(root: etree._Element) -> None:
    for element in root.iter("*"):
        element.attrib.pop(f"{{{XSI}}}type", None)


def _without_children(*names: str) -> Callable[[etree._Element], None]:
    def undo(root: etree._Element) -> None:
        for element in root.iter(*(f"{{{HL7}}}{name}" for name in names)):
            if element.getparent() is not None:
                etree.strip_elements(element, "*", with_tail=False)

    return undo


def _without_periods(root: etree._Element) -> None:
    for telecom in root.iter(f"{{{HL7}}}telecom"):
        for period in telecom.findall(f"{{{HL7}}}useablePeriod"):
            telecom.remove(period)


def _without_organisation_name_parts(root: etree._Element) -> None:
    for organisation in root.iter(f"{{{HL7}}}locationOrganization"):
        for name in organisation.iter(f"{{{HL7}}}name"):
            etree.strip_elements(name, "*", with_tail=False)


def _without_overlong_moments(root: etree._Element) -> None:
    for element in root.iter(*(f"{{{HL7}}}{name}" for name in ("value", "birthTime", "deceasedTime"))):
        value = element.get("value", "")
        if value[:15].isdigit():
            element.set("value", value[:14])


XSI_TYPE = DisagreementClass("an xsi:type", _without_xsi_type)
ELEMENT_IN_TEXT = DisagreementClass(
    "an element inside a text", _without_children("postalCode", "streetAddressLine", "semanticsText")
)
OVERLONG_MOMENT = DisagreementClass("a point in time of more than 14 digits", _without_overlong_moments)
TELECOM_PERIOD = DisagreementClass("a period of a telecom", _without_periods)
NAME_PARTS = DisagreementClass("parts inside an organisation's name", _without_organisation_name_parts)

IN_REQUESTS = (XSI_TYPE, ELEMENT_IN_TEXT, OVERLONG_MOMENT)
IN_RESPONSES = (*IN_REQUESTS, TELECOM_PERIOD, NAME_PARTS)


def _classes_of(schema: SchemaName) -> tuple[DisagreementClass, ...]:
    if schema in REQUESTS:
        return IN_REQUESTS
    return IN_RESPONSES if schema.value.startswith("COMT") else ()


def _explanation(ours: Schemas, schema: SchemaName, document: bytes) -> str | None:
    """The class, or the classes together, that account for our refusal."""
    classes = _classes_of(schema)
    for one in classes:
        root = etree.fromstring(document)
        one.undo(root)
        if ours.is_valid(schema, root):
            return one.name
    root = etree.fromstring(document)
    for one in classes:
        one.undo(root)
    return "several of these" if ours.is_valid(schema, root) else None


@pytest.fixture(scope="module")
def ours() -> Schemas:
    return Schemas()


@pytest.fixture(scope="module")
def published() -> Schemas:
    return Schemas(shared_file("spec/itk/xsd"))


def _examples(schema: SchemaName) -> list[etree._Element]:
    folder = shared_file("spec/itk/examples")
    pattern = schema.value.replace("_MT", "_EX").replace(".xsd", "_*.xml")
    return [etree.parse(path).getroot() for path in sorted(folder.glob(pattern))]


def _damaged(
    schema: SchemaName, examples: list[etree._Element], generated: list[etree._Element]
) -> Iterator[etree._Element]:
    """Damaged documents; every fifth comes from an example, where there is one."""
    for number in range(DAMAGED_DOCUMENTS):
        source = examples if examples and number % 5 == 0 else generated
        yield mutated(source[number % len(source)], f"{schema.value} {number}")


@pytest.mark.slow
@pytest.mark.parametrize("schema", list(SchemaName), ids=lambda schema: schema.name.lower())
def test_verdicts_agree_but_for_the_listed_classes(schema: SchemaName, ours: Schemas, published: Schemas) -> None:
    originals = [*_examples(schema), *(valid_document(schema, seed) for seed in range(VALID_DOCUMENTS))]
    damaged = _damaged(schema, originals[:-VALID_DOCUMENTS], originals[-VALID_DOCUMENTS:])
    documents = [etree.tostring(document) for document in (*originals, *damaged)]

    verdicts: Counter[str] = Counter()
    wrongly_accepted, unexplained = [], []
    for document in documents:
        here = ours.is_valid(schema, etree.fromstring(document))
        there = published.is_valid(schema, etree.fromstring(document))
        inside = etree.fromstring(b'<w:w xmlns:w="urn:example:around"><w:x/>' + document + b" text<w:x/></w:w>")[1]
        assert ours.is_valid(schema, inside) is here, "the verdict depends on what stands around the element"
        if here == there:
            verdicts["both accept" if here else "both refuse"] += 1
        elif here:
            wrongly_accepted.append(document)
        else:
            explanation = _explanation(ours, schema, document)
            verdicts[f"only ours refuses: {explanation}"] += 1
            if explanation is None:
                unexplained.append(document)

    print(f"{schema.value}: {len(documents)} documents, {dict(sorted(verdicts.items()))}")  # noqa: T201 - for -rP
    assert not wrongly_accepted, f"ours accepts what the published schema refuses: {wrongly_accepted[:3]}"
    assert not unexplained, f"ours refuses for a reason that is not listed: {unexplained[:3]}"
    assert len(documents) >= 3_000
    assert verdicts["both accept"] >= len(documents) // 10
    assert verdicts["both refuse"] >= len(documents) // 10


@pytest.mark.parametrize("schema", list(SchemaName), ids=lambda schema: schema.name.lower())
def test_every_generated_and_published_document_is_valid_for_both(
    schema: SchemaName, ours: Schemas, published: Schemas
) -> None:
    for document in [*_examples(schema), *(valid_document(schema, seed) for seed in range(VALID_DOCUMENTS))]:
        assert published.is_valid(schema, document)
        assert ours.is_valid(schema, document)
        assert ours.findings(schema, document) == ()


def test_there_is_a_generator_for_every_schema() -> None:
    assert set(MAKERS) == set(SchemaName)


def _set_type(root: etree._Element) -> None:
    _first(root, "semanticsText").set(f"{{{XSI}}}type", "en.given")


def _note_in_postcode(root: etree._Element) -> None:
    etree.SubElement(_first(root, "postalCode"), "{urn:example:foreign}note")


def _long_moment(root: etree._Element) -> None:
    _first(root, "value").set("value", "1989010119890101")


def _period_in_telecom(root: etree._Element) -> None:
    etree.SubElement(_first(root, "telecom"), f"{{{HL7}}}useablePeriod")


def _prefix_in_organisation(root: etree._Element) -> None:
    organisation = _first(root, "locationOrganization")
    name = organisation.find(f"{{{HL7}}}name")
    assert name is not None
    etree.SubElement(name, f"{{{HL7}}}prefix")


def _first(root: etree._Element, name: str) -> etree._Element:
    return next(root.iter(f"{{{HL7}}}{name}"))


@pytest.mark.parametrize(
    ("schema", "needed", "damage", "listed"),
    [
        (SchemaName.VERIFY_NHS_NUMBER_REQUEST, "semanticsText", _set_type, XSI_TYPE),
        (SchemaName.GET_NHS_NUMBER_REQUEST, "postalCode", _note_in_postcode, ELEMENT_IN_TEXT),
        (SchemaName.VERIFY_NHS_NUMBER_REQUEST, "value", _long_moment, OVERLONG_MOMENT),
        (SchemaName.GET_PATIENT_DETAILS_RESPONSE, "telecom", _period_in_telecom, TELECOM_PERIOD),
        (SchemaName.GET_PATIENT_DETAILS_RESPONSE, "locationOrganization", _prefix_in_organisation, NAME_PARTS),
    ],
    ids=["xsi-type", "element-in-text", "overlong-moment", "telecom-period", "organisation-name-parts"],
)
def test_a_listed_class_exists(
    schema: SchemaName,
    needed: str,
    damage: Callable[[etree._Element], None],
    listed: DisagreementClass,
    ours: Schemas,
    published: Schemas,
) -> None:
    root = next(
        document
        for document in (valid_document(schema, seed) for seed in range(VALID_DOCUMENTS))
        if document.find(f".//{{{HL7}}}{needed}") is not None
        and (listed is not NAME_PARTS or document.find(f".//{{{HL7}}}locationOrganization/{{{HL7}}}name") is not None)
    )
    damage(root)

    assert published.is_valid(schema, root)
    assert not ours.is_valid(schema, root)
    assert _explanation(ours, schema, etree.tostring(root)) == listed.name


@pytest.mark.slow
@pytest.mark.parametrize("schema", list(SchemaName), ids=lambda schema: schema.name.lower())
def test_no_type_name_makes_ours_accept_more(schema: SchemaName, ours: Schemas, published: Schemas) -> None:
    root = max((valid_document(schema, seed) for seed in range(VALID_DOCUMENTS)), key=lambda one: len(list(one.iter())))
    namespace = etree.QName(root).namespace
    prefix = "".join(f"{prefix}:" for prefix, uri in root.nsmap.items() if uri == namespace and prefix)
    names = {*TYPES, *_our_type_names()}
    for position in range(len(list(root.iter("*")))):
        for name in sorted(names):
            document = deepcopy(root)
            list(document.iter("*"))[position].set(f"{{{XSI}}}type", prefix + name)
            # The published verdict is only asked for where it matters.
            if ours.is_valid(schema, document):
                assert published.is_valid(schema, document), (position, name)


def _our_type_names() -> set[str]:
    """The named types of our own files."""
    named = (etree.parse(path).getroot() for path in schemas_directory().glob("*.xsd"))
    kinds = (f"{{{XSD}}}complexType", f"{{{XSD}}}simpleType")
    return {str(kind.get("name")) for root in named for kind in root.iterchildren(*kinds)}


def test_the_root_alias_is_valid_only_once_renamed(ours: Schemas, published: Schemas) -> None:
    schema = SchemaName.GET_PATIENT_DETAILS_REQUEST
    root = valid_document(schema, 1)
    root.tag = f"{{{HL7}}}getPatientDetailsRequest-v1-0"
    assert not published.is_valid(schema, root)
    assert not ours.is_valid(schema, root)

    root.tag = f"{{{HL7}}}getPatientDetails-v1-0"
    assert published.is_valid(schema, root)
    assert ours.is_valid(schema, root)


def test_the_published_pack_may_be_named_by_its_root_or_by_its_schemas_folder(published: Schemas) -> None:
    by_folder = Schemas(shared_file("spec/itk/xsd/Schemas"))
    assert dict(by_folder.files()) == dict(published.files())
    assert set(published.files()) == {
        "distributionEnvelope-v2-0.xsd",
        "ITKMessageTypes-2010-05.xsd",
        "ITKDatatypes-2010-05.xsd",
    }
