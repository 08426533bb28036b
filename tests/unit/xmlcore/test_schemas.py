"""The compiled schemas: verdicts, findings without content, packs that cannot be used, many threads."""

import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import pytest
from lxml import etree

from smsp_provider.xmlcore import resources
from smsp_provider.xmlcore.names import HL7, ITK, XSD, XSI
from smsp_provider.xmlcore.resources import config_file, schemas_directory, wsdl_file
from smsp_provider.xmlcore.schemas import MAX_FINDINGS, SchemaFinding, SchemaName, SchemaPackError, Schemas

PROJECT = Path(__file__).resolve().parents[3]

VERIFY = f"""\
<verifyNHSNumberRequest-v1-0 xmlns="{HL7}" classCode="CACT" moodCode="EVN">
  <id root="3E25ACE2-23F8-4A37-B446-6A37F31BF77B"/>
  <code code="verifyNHSNumberRequest-v1-0" codeSystem="2.16.840.1.113883.2.1.3.2.4.17.284"/>
  <queryEvent>
    <Person.DateOfBirth>
      <value value="19890101"/>
      <semanticsText>Person.DateOfBirth</semanticsText>
    </Person.DateOfBirth>
    <Person.NHSNumber>
      <value root="2.16.840.1.113883.2.1.4.1" extension="9999345201"/>
      <semanticsText>Person.NHSNumber</semanticsText>
    </Person.NHSNumber>
    <Person.Name>
      <value use="L"><given>Ann</given><family>Other</family></value>
      <semanticsText>Person.Name</semanticsText>
    </Person.Name>
  </queryEvent>
</verifyNHSNumberRequest-v1-0>"""
SCHEMA = SchemaName.VERIFY_NHS_NUMBER_REQUEST


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    return Schemas()


def verify(old: str = "", new: str = "") -> etree._Element:
    """The request, with one piece of its text replaced."""
    assert old in VERIFY
    return etree.fromstring(VERIFY.replace(old, new, 1) if old else VERIFY)


def inside_a_message(payload: etree._Element) -> etree._Element:
    """The same element in the middle of a larger document that declares other namespaces."""
    message = etree.fromstring(
        '<s:Envelope xmlns:s="urn:s" xmlns="urn:d"><s:Header/><s:Body><a/><b/></s:Body></s:Envelope>'
    )
    place = message[1][0]
    place.append(payload)
    payload.tail = "text after it"
    return payload


@pytest.mark.rule("SMSP-VAL-001", "WS-VAL-01")
class TestVerdicts:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("", ""),
            ("<id root", '<templateId root="1.2" extension="x"/><id root'),
            ("<queryEvent>", '<queryEvent nullFlavor="MSK"><realmCode code="GB"/>'),
            ('moodCode="EVN"', f'moodCode="EVN" xmlns:xsi="{XSI}" xsi:schemaLocation="urn:hl7-org:v3 a.xsd"'),
            ("<given>", '<given partType="GIV" qualifier="BR" language="en">'),
            ("<given>", "\n\t <given>"),
            ('use="L"', 'use="L PREFERRED"'),
            ("Person.Name</semanticsText>", "Person.Name<!-- a comment --></semanticsText>"),
            (' <value root="2', f' <value xmlns:xsi="{XSI}" xsi:type="II.NHS.IdentifierType1" root="2'),
            ('value="19890101"', 'value="1989"'),
        ],
        ids=[
            "example", "templateId", "nullFlavor-and-realm", "schemaLocation", "name-part-attributes", "white-space",
            "two-uses", "comment", "its-own-xsi-type", "a-year",
        ],
    )  # fmt: skip
    def test_what_a_sender_may_write_is_accepted(self, schemas: Schemas, old: str, new: str) -> None:
        assert schemas.is_valid(SCHEMA, verify(old, new))
        assert schemas.is_valid(SCHEMA, inside_a_message(verify(old, new)))
        assert schemas.findings(SCHEMA, verify(old, new)) == ()

    @pytest.mark.parametrize(
        ("old", "new", "finding"),
        [
            ("verifyNHSNumberRequest-v1-0 xmlns", "verifyNHSNumberRequest-v1-0 xmlns", None),
            ('classCode="CACT"', 'classCode="OBS"', "SCHEMAV_CVC_AU"),
            ("2.4.17.284", "2.4.17.285", "SCHEMAV_CVC_AU"),
            ("3E25ACE2", "3e25ace2", "SCHEMAV_CVC_PATTERN_VALID"),
            ('value="19890101"', 'value="1989-01-01"', "SCHEMAV_CVC_PATTERN_VALID"),
            (">Person.NHSNumber</sem", ">Person.Name</sem", "SCHEMAV_CVC_ELT_5_2_2_2_1"),
            ("<Person.DateOfBirth>", '<Person.DateOfBirth odd="x">', "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1"),
            ('extension="9999345201"', "", "SCHEMAV_CVC_COMPLEX_TYPE_4"),
            ("<given>Ann</given>", "<prefix>Ms</prefix>", "SCHEMAV_ELEMENT_CONTENT"),
            ("<queryEvent>", "<queryEvent>text", "SCHEMAV_CVC_COMPLEX_TYPE_2_3"),
        ],
        ids=[
            "nothing", "class", "code-system", "lower-case-uuid", "dashed-date", "semantics", "foreign-attribute",
            "missing-attribute", "foreign-element", "text",
        ],
    )  # fmt: skip
    def test_what_the_schema_forbids_is_refused(
        self, schemas: Schemas, old: str, new: str, finding: str | None
    ) -> None:
        assert schemas.is_valid(SCHEMA, verify(old, new)) is (finding is None)
        assert schemas.is_valid(SCHEMA, inside_a_message(verify(old, new))) is (finding is None)
        rules = [found.rule for found in schemas.findings(SCHEMA, verify(old, new))]
        assert rules[:1] == ([] if finding is None else [finding])

    def test_a_schema_knows_one_root_only(self, schemas: Schemas) -> None:
        assert not schemas.is_valid(SchemaName.GET_NHS_NUMBER_REQUEST, verify())
        query = verify().find(f"{{{HL7}}}queryEvent")
        assert query is not None
        assert not schemas.is_valid(SCHEMA, query)

    def test_a_prefix_makes_no_difference(self, schemas: Schemas) -> None:
        prefixed = VERIFY.replace("<", "<p:").replace("<p:/", "</p:").replace("xmlns=", "xmlns:p=")
        assert schemas.is_valid(SCHEMA, etree.fromstring(prefixed))

    @pytest.mark.parametrize(
        ("value", "valid"),
        [
            ("1", True), ("19890101", True), ("198901011", True), ("19890101120000", True), ("1989010112+0", True),
            ("19890101120000.5-0100", True), ("", False), ("19890101+0100", False), ("19890101120000.", False),
            ("198901011200001", False), ("1989010112000.5", False), ("1989010112+01000", False), (" 1989", False),
            ("\u0661\u0669\u0668\u0669", False), ("1989010119890101", False),
        ],
        ids=range(15),
    )  # fmt: skip
    def test_the_pattern_of_a_point_in_time(self, schemas: Schemas, value: str, valid: bool) -> None:
        request = verify()
        moment = request.find(f".//{{{HL7}}}value")
        assert moment is not None
        moment.set("value", value)
        assert schemas.is_valid(SCHEMA, request) is valid


class TestFindings:
    def test_paths_have_local_names_and_positions(self, schemas: Schemas) -> None:
        request = verify()
        repeated = request.find(f".//{{{HL7}}}Person.Name")
        assert repeated is not None
        repeated.addnext(deepcopy(repeated))
        assert schemas.findings(SCHEMA, inside_a_message(request)) == (
            SchemaFinding("/verifyNHSNumberRequest-v1-0/queryEvent[1]/Person.Name[2]", "SCHEMAV_ELEMENT_CONTENT"),
        )

    def test_a_prefixed_document_has_the_same_paths(self, schemas: Schemas) -> None:
        damaged = VERIFY.replace("19890101", "x")
        prefixed = damaged.replace("<", "<p:").replace("<p:/", "</p:").replace("xmlns=", "xmlns:p=")
        expected = schemas.findings(SCHEMA, etree.fromstring(damaged))
        assert schemas.findings(SCHEMA, etree.fromstring(prefixed)) == expected
        path = "/verifyNHSNumberRequest-v1-0/queryEvent[1]/Person.DateOfBirth[1]/value[1]"
        assert expected[0] == SchemaFinding(path, "SCHEMAV_CVC_PATTERN_VALID")

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("<given>", "<Secret.Name/><given>"),
            ("<given>", '<s:Secret xmlns:s="urn:secret"/><given>'),
            ("<given>", '<Secret xmlns=""/><given>'),
            ('value="19890101"', 'value="Secret"'),
            ("<queryEvent>", '<queryEvent Secret="1">'),
            (">Person.Name<", ">Secret<"),
            ("<queryEvent>", "<queryEvent>Secret"),
        ],
        ids=["element", "prefixed-element", "element-without-namespace", "value", "attribute", "fixed-text", "text"],
    )
    def test_nothing_that_the_sender_wrote_is_in_a_finding(self, schemas: Schemas, old: str, new: str) -> None:
        found = schemas.findings(SCHEMA, verify(old, new))
        assert found
        assert "Secret" not in repr(found)
        assert "secret" not in repr(found)

    def test_an_unknown_root_is_a_star(self, schemas: Schemas) -> None:
        assert schemas.findings(SCHEMA, etree.fromstring("<Secret/>"))[0].path == "/*"

    def test_there_is_a_bound(self, schemas: Schemas) -> None:
        request = verify()
        for parameter in request.iterfind(f".//{{{HL7}}}value"):
            for number in range(30):
                parameter.set(f"x{number}", "1")
                etree.SubElement(parameter, f"{{{HL7}}}given").set("x", "1")
        assert 1 < len(schemas.findings(SCHEMA, request)) <= MAX_FINDINGS

    def test_a_second_look_finds_the_same(self, schemas: Schemas) -> None:
        envelope = etree.fromstring(
            f'<DistributionEnvelope xmlns="{ITK}">'
            '<header service="a" trackingid="3E25ACE2-23F8-4A37-B446-6A37F31BF77B">'
            '<manifest count="1"><manifestitem id="a" mimetype="text/xml"/></manifest></header>'
            '<payloads count="2"><payload id="a"/><payload id="a"/></payloads></DistributionEnvelope>'
        )
        name = SchemaName.DISTRIBUTION_ENVELOPE
        assert [schemas.is_valid(name, envelope) for _ in range(3)] == [False] * 3
        assert schemas.findings(name, envelope) == schemas.findings(name, envelope) != ()
        assert [schemas.is_valid(name, envelope) for _ in range(3)] == [False] * 3

    def test_threads_do_not_see_each_other(self, schemas: Schemas) -> None:
        damaged = [verify(), verify("19890101", "x"), verify("CACT", "OBS"), verify("<queryEvent>", "<queryEvent>x")]
        alone = [(schemas.is_valid(SCHEMA, one), schemas.findings(SCHEMA, one)) for one in damaged]

        def again(number: int) -> bool:
            document = deepcopy(damaged[number % 4])
            return (schemas.is_valid(SCHEMA, document), schemas.findings(SCHEMA, document)) == alone[number % 4]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(again, range(2_000)))


class TestPacks:
    @pytest.fixture
    def pack(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(schemas_directory(), tmp_path / "pack"))

    def test_a_folder_or_the_parent_of_schemas(self, pack: Path, tmp_path: Path) -> None:
        pack.rename(tmp_path / "Schemas")
        for directory in (tmp_path, tmp_path / "Schemas"):
            assert Schemas(directory).is_valid(SCHEMA, verify())

    def test_an_operators_schema_takes_the_place_of_ours(self, pack: Path) -> None:
        file = pack / SCHEMA.value
        file.write_text(file.read_text().replace("verifyNHSNumberRequest-v1-0", "another"))
        assert not Schemas(pack).is_valid(SCHEMA, verify())
        assert Schemas().is_valid(SCHEMA, verify())

    @pytest.mark.parametrize("name", [*(name.value for name in SchemaName), "smsp-hl7-datatypes.xsd"])
    def test_a_missing_file_is_named(self, pack: Path, name: str) -> None:
        (pack / name).unlink()
        with pytest.raises(SchemaPackError, match=name) as caught:
            Schemas(pack)
        assert caught.value.file == name

    @pytest.mark.parametrize(
        "text",
        [
            "", "not XML", "<other/>", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
            f'<schema xmlns="{XSD}"><element name="a" type="unknown"/></schema>',
            f'<schema xmlns="{XSD}"><include schemaLocation="http://localhost:9/a.xsd"/></schema>',
            f'<schema xmlns="{XSD}"><import namespace="urn:a" schemaLocation="file:///etc/passwd"/></schema>',
            f'<schema xmlns="{XSD}"><include schemaLocation="/etc/passwd"/></schema>',
        ],
        ids=["empty", "text", "no-schema", "dtd", "invalid", "http", "file-url", "absolute"],
    )  # fmt: skip
    def test_an_unusable_file_is_named(self, pack: Path, text: str) -> None:
        (pack / SCHEMA.value).write_text(text)
        with pytest.raises(SchemaPackError) as caught:
            Schemas(pack)
        assert caught.value.file == SCHEMA.value

    def test_only_what_the_wsdl_needs_is_served(self, pack: Path) -> None:
        assert dict(Schemas().files()) == {
            name.value: (schemas_directory() / name.value).read_bytes()
            for name in (SchemaName.DISTRIBUTION_ENVELOPE, SchemaName.TOOLKIT_ERROR_INFO)
        }
        file = pack / SchemaName.TOOLKIT_ERROR_INFO.value
        include = '<xs:include schemaLocation="more/extra.xsd"/><xs:element name="ToolkitErrorInfo"'
        file.write_text(file.read_text().replace('<xs:element name="ToolkitErrorInfo"', include))
        (pack / "more").mkdir()
        (pack / "more" / "extra.xsd").write_text(f'<schema xmlns="{XSD}"/>')
        assert Schemas(pack).files()["extra.xsd"] == f'<schema xmlns="{XSD}"/>'.encode()

    def test_two_served_files_of_one_name_are_refused(self, pack: Path) -> None:
        file = pack / SchemaName.TOOLKIT_ERROR_INFO.value
        include = '<xs:include schemaLocation="more/distributionEnvelope-v2-0.xsd"/><xs:element name="ToolkitErrorInfo"'
        file.write_text(file.read_text().replace('<xs:element name="ToolkitErrorInfo"', include))
        (pack / "more").mkdir()
        (pack / "more" / "distributionEnvelope-v2-0.xsd").write_text(f'<schema xmlns="{XSD}"/>')
        with pytest.raises(SchemaPackError, match="stands twice"):
            Schemas(pack)

    def test_every_type_and_message_is_documented(self) -> None:
        for path in schemas_directory().glob("*.xsd"):
            root = etree.parse(path).getroot()
            kinds = (f"{{{XSD}}}complexType", f"{{{XSD}}}simpleType")
            for declared in (root, *root.iterchildren(*kinds)):
                assert declared.findtext(f"{{{XSD}}}annotation/{{{XSD}}}documentation"), (
                    path.name,
                    declared.get("name"),
                )


class TestResources:
    def test_a_checkout_has_them_at_its_root(self) -> None:
        assert schemas_directory() == PROJECT / "schemas"
        assert wsdl_file() == PROJECT / "wsdl" / "PDSMiniServices-v1-0.wsdl"

    def test_a_configuration_file_is_found_by_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "_data" / "config").mkdir(parents=True)
        (tmp_path / "_data" / "config" / "a.toml").touch()
        monkeypatch.setattr(resources, "_PACKAGE", tmp_path)
        assert config_file("a.toml") == tmp_path / "_data" / "config" / "a.toml"
        with pytest.raises(FileNotFoundError, match=r"b\.toml"):
            config_file("b.toml")
        with pytest.raises(FileNotFoundError, match="incompletely"):
            schemas_directory()

    @pytest.mark.parametrize("name", ["../pyproject.toml", "/etc/passwd", "a/b", "..", ""])
    def test_a_configuration_file_has_a_bare_name(self, name: str) -> None:
        with pytest.raises(ValueError, match="bare name"):
            config_file(name)

    @pytest.mark.slow
    def test_a_wheel_carries_them(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name in ("src", "schemas", "wsdl", "config"):
            shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "LICENSE"):
            shutil.copy(PROJECT / name, source)
        (source / "README.md").write_text("Built by a test.")
        (source / "config" / "marker.txt").write_text("here")
        build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source))
        subprocess.run(build, check=True, capture_output=True)
        with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
            wheel.extractall(tmp_path / "installed")

        program = (
            "from smsp_provider.xmlcore.resources import config_file, schemas_directory, wsdl_file\n"
            "from smsp_provider.xmlcore.schemas import Schemas\n"
            "print(schemas_directory(), wsdl_file(), config_file('marker.txt'), len(Schemas().files()))"
        )
        ran = subprocess.run(
            (sys.executable, "-c", program),
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path / "installed")},
        )
        data = tmp_path / "installed" / "smsp_provider" / "_data"
        expected = [data / "schemas", data / "wsdl" / "PDSMiniServices-v1-0.wsdl", data / "config" / "marker.txt", 2]
        assert ran.stdout.split() == [str(one) for one in expected]
