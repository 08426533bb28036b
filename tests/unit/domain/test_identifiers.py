from core_samples import EXPECTED_ID, LOCAL, OTHER_ID
from smsp_provider.domain.identifiers import ODSCode, bare_uuid, same_uuid


def test_prefix_case_and_outer_blanks_of_a_message_id_do_not_count() -> None:
    for text in (
        EXPECTED_ID,
        EXPECTED_ID.lower(),
        f"uuid:{EXPECTED_ID}",
        f"urn:uuid:{EXPECTED_ID}",
        f" {EXPECTED_ID}\n",
    ):
        assert same_uuid(text, EXPECTED_ID)
        assert same_uuid(EXPECTED_ID, text)
        assert bare_uuid(text) == EXPECTED_ID


def test_different_and_blank_message_ids_are_not_the_same() -> None:
    for text in (OTHER_ID, f"uuid:{OTHER_ID}", "", "uuid:", EXPECTED_ID[:-1], f"{EXPECTED_ID}0", f"{EXPECTED_ID}:"):
        assert not same_uuid(text, EXPECTED_ID)


def test_organisation_codes_compare_without_regard_to_case_and_outer_blanks() -> None:
    assert ODSCode(" z99 ") == ODSCode("Z99")
    assert ODSCode("Z98") != ODSCode("Z99")


def test_a_local_identifier_does_not_show_itself() -> None:
    assert LOCAL.extension not in f"{LOCAL!r} {LOCAL}"
