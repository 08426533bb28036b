import csv
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from core_samples import errors, warnings
from reference import shared_file
from smsp_provider.config.vocabulary import load_vocabulary
from smsp_provider.domain.response_codes import ResponseCode

SHIPPED = Path(__file__).resolve().parents[3] / "config" / "vocabulary.toml"


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = SHIPPED.read_text(encoding="utf-8")
    assert text.count(old) == 1, "the change of this test does not apply once"
    file = tmp_path / "vocabulary.toml"
    file.write_text(text.replace(old, new), encoding="utf-8")
    return file


def refused(file: Path) -> str:
    with pytest.raises(ValidationError) as caught:
        load_vocabulary(file)
    return str(caught.value)


def line_of(name: str) -> str:
    (line,) = [
        line for line in SHIPPED.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith(f"{name} ")
    ]
    return line


@pytest.mark.rule("SMSP-CONF-001", "SMSP-ERR-002")
def test_the_shipped_vocabulary_loads_and_has_every_answer() -> None:
    vocabulary, _ = load_vocabulary(SHIPPED)
    assert set(vocabulary.codes) == set(vocabulary.displays) == set(ResponseCode)


@pytest.mark.shared
@pytest.mark.rule("SMSP-ERR-002")
def test_the_shipped_codes_are_those_published() -> None:
    with shared_file("spec/itk/response-codes.csv").open(encoding="utf-8", newline="") as file:
        published = {row["code"] for row in csv.DictReader(file)}
    vocabulary, _ = load_vocabulary(SHIPPED)
    # The one that is not used: there is no local store to answer from.
    assert set(vocabulary.codes.values()) == published - {"SMSP-0003"}


@pytest.mark.rule("SMSP-ERR-004", "SMSP-ERR-005")
def test_the_shipped_map_knows_the_codes_of_pds() -> None:
    _, code_map = load_vocabulary(SHIPPED)
    for codes, expected in (
        (("1", "ST004"), ResponseCode.NO_MATCH),
        (("AT006",), ResponseCode.NO_MATCH),
        (("RT003",), ResponseCode.NO_MATCH),
        (("NHSNCC002",), ResponseCode.NO_MATCH),
        (("7",), ResponseCode.MULTIPLE_MATCHES),
        (("2",), ResponseCode.MULTIPLE_MATCHES),
        (("17",), ResponseCode.SUPERSEDED),
        (("44",), ResponseCode.SUPERSEDED),
        (("22",), ResponseCode.INVALIDATED),
        (("40",), ResponseCode.NOT_VERIFIED),
        (("42",), ResponseCode.NOT_NEW_STYLE),
        (("0",), ResponseCode.INPUT_INVALID),
        (("AT002",), ResponseCode.INPUT_INVALID),
        (("ST001",), ResponseCode.INPUT_INVALID),
        (("RT001",), ResponseCode.INPUT_INVALID),
        (("NHSNCC001",), ResponseCode.INPUT_INVALID),
        (("20",), ResponseCode.SPINE_ERROR),
        (("GE002",), ResponseCode.SPINE_ERROR),
        ((), ResponseCode.SPINE_ERROR),
    ):
        assert code_map.classify(errors(*codes)) is expected
    assert code_map.unmapped((*errors("1", "20", "AT002"), *warnings("24"))) == ("20",)
    assert code_map.unmapped((*warnings("22", "75"),)) == ("75",)


@pytest.mark.rule("SMSP-CONF-001")
def test_a_vocabulary_without_one_of_the_answers_is_refused_by_name(tmp_path: Path) -> None:
    for code in ResponseCode:
        assert f"no response code for: {code.value}" in refused(changed(tmp_path, line_of(code.value), ""))


def test_an_unknown_answer_is_refused(tmp_path: Path) -> None:
    file = changed(
        tmp_path, line_of("success"), line_of("success") + line_of("success").replace("success", "sucess", 1)
    )
    assert "sucess" in refused(file)


def test_one_wire_code_for_two_answers_is_refused(tmp_path: Path) -> None:
    assert "two response codes are the same" in refused(changed(tmp_path, '"DEMOG-0040"', '"SMSP-0000"'))


def test_wire_codes_have_the_form_of_the_published_ones(tmp_path: Path) -> None:
    for code in ("DEMOG-1234", "DEMOG-40", "demog-0040", "XXXX-0040", "DEMOG-0040 ", "DEMOG-00401", ""):
        assert "response.not_verified.code" in refused(changed(tmp_path, '"DEMOG-0040"', f'"{code}"'))


def test_a_display_text_is_not_empty(tmp_path: Path) -> None:
    assert "response.no_match.display" in refused(changed(tmp_path, '"No match"', '""'))


def test_a_row_needs_codes_or_a_pattern_and_a_known_answer(tmp_path: Path) -> None:
    assert "a row needs codes or a pattern" in refused(changed(tmp_path, 'codes = ["42"]', ""))
    assert "cannot be a success" in refused(changed(tmp_path, 'answer = "invalidated"', 'answer = "success"'))
    assert "pds.3.answer" in refused(changed(tmp_path, 'answer = "invalidated"', 'answer = "invalid"'))
    assert "pds.7.pattern" in refused(changed(tmp_path, '"(AT|ST|RT|NHSNCC)[0-9]{3}"', '"("'))


def test_a_pds_code_stands_in_one_row_only(tmp_path: Path) -> None:
    assert "a PDS code stands in two rows" in refused(changed(tmp_path, 'codes = ["42"]', 'codes = ["42", "17"]'))


def test_unknown_names_are_refused_in_every_section(tmp_path: Path) -> None:
    for old, new in (
        ("[response]", "surprise = 1\n[response]"),
        ('code = "DEMOG-0040", ', 'code = "DEMOG-0040", surprise = 1, '),
        ('codes = ["42"]', 'codes = ["42"]\nsurprise = 1'),
    ):
        assert "surprise" in refused(changed(tmp_path, old, new))


def test_a_vocabulary_without_any_row_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "vocabulary.toml"
    file.write_text(SHIPPED.read_text(encoding="utf-8").partition("[[pds]]")[0], encoding="utf-8")
    assert "pds" in refused(file)


def test_a_file_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        load_vocabulary(tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[response", encoding="utf-8")
    with pytest.raises(tomllib.TOMLDecodeError):
        load_vocabulary(broken)


def test_a_code_for_truncated_answers_may_be_configured(tmp_path: Path) -> None:
    vocabulary, _ = load_vocabulary(SHIPPED)
    assert vocabulary.truncated is None
    entry = 'truncated = { code = "SMSP-0002", display = "cut" }\n[response]'
    vocabulary, _ = load_vocabulary(changed(tmp_path, "[response]", entry))
    assert vocabulary.wire_code(ResponseCode.SUCCESS, truncated=True) == "SMSP-0002"
