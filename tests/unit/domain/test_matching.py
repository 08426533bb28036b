"""The comparison rules. Everything of the module is reached through it: these tests kill its mutants."""

import unicodedata
from dataclasses import replace

import pytest

from core_samples import BORN, ENDED, FUTURE, TODAY, UNREADABLE, USUAL, WITHDRAWN, by_number, by_search, record
from smsp_provider.domain import matching
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.person import Address, Name
from smsp_provider.domain.requests import ByNumber

# The day differs from BORN, month and year agree: enough for rule 2 where the names agree.
DAY_OFF = HL7Date("19620318")


def verdict(request: ByNumber, *names: Name, born: HL7Date | None = BORN, confidentiality: tuple[str, ...] = ()) -> str:
    held = record(names=names or (USUAL,), confidentiality=confidentiality)
    return matching.verify(request, held, born, TODAY).name


def test_texts_are_the_same_without_regard_to_case() -> None:
    assert matching.same_text("Quimble", "qUIMBLE")
    assert matching.same_text("\u00c9MILE", "\u00e9mile")
    assert not matching.same_text("QUIMBLE", "QUIMBLES")
    assert not matching.same_text("", "Q")


def test_texts_are_the_same_composed_or_not() -> None:
    for text in ("ZO\u00cbSON", "\u00e9mile", "\u1e9b\u0323A"):
        composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
        assert matching.same_text(composed, decomposed)
        assert matching.same_text(decomposed, composed)
    # Folding may take a character apart again: what comes out is composed once more.
    assert matching.same_text("\u1fb7", unicodedata.normalize("NFD", "\u1fb7"))
    assert matching.same_text("\u0130X", "I\u0307X")


def test_texts_are_never_composed_compatibly() -> None:
    for one, other in (("QU\uff0a", "QU*"), ("\uff31", "Q"), ("X\u00b2", "X2"), ("\u212bX", "AX")):
        assert not matching.same_text(one, other)


def test_white_space_and_punctuation_are_significant() -> None:
    for one, other in (
        ("O'HARA", "OHARA"),
        ("MARY ANN", "MARYANN"),
        ("MARY-ANN", "MARY ANN"),
        ("A ", "A"),
        ("A\u00a0B", "A B"),
    ):
        assert not matching.same_text(one, other)


def test_the_current_usual_name_is_the_first_one_in_the_order_of_pds() -> None:
    first, second = replace(USUAL, family="FIRST"), replace(USUAL, family="SECOND")
    assert matching.current_usual_name(record(names=(first, second)), TODAY) is first
    assert matching.current_usual_name(record(names=(second, first)), TODAY) is second


def test_former_future_withdrawn_unreadable_and_other_names_are_not_the_usual_name() -> None:
    passed_over = (
        replace(USUAL, validity=ENDED),
        replace(USUAL, validity=FUTURE),
        replace(USUAL, validity=WITHDRAWN),
        replace(USUAL, validity=UNREADABLE),
        replace(USUAL, use=("A",)),
        replace(USUAL, use=()),
    )
    assert matching.current_usual_name(record(names=passed_over), TODAY) is None
    assert matching.current_usual_name(record(names=()), TODAY) is None
    several_uses = replace(USUAL, use=("PREFERRED", "L"))
    assert matching.current_usual_name(record(names=(*passed_over, several_uses)), TODAY) is several_uses


@pytest.mark.rule("SMSP-PDS-001")
def test_rule_1_the_same_day_of_birth_verifies_whatever_the_names() -> None:
    for request in (
        by_number(),
        by_number(family=None),
        by_number(given=None),
        by_number(family=None, given=None),
        by_number(family="ANOTHER", given="PERSON"),
    ):
        assert verdict(request) == "RULE_1"
        assert verdict(request, Name((), None)) == "RULE_1"


def test_rule_2_takes_two_agreeing_parts_of_the_date_with_both_names() -> None:
    for born in ("19620318", "19620417", "19630317"):
        assert verdict(by_number(), born=HL7Date(born)) == "RULE_2"


def test_rule_2_refuses_one_agreeing_part_and_none() -> None:
    for born in ("19620418", "19630318", "19630417", "19630418"):
        assert verdict(by_number(), born=HL7Date(born)) == "NOT_VERIFIED"


def test_rule_2_month_and_day_in_each_others_place_do_not_agree() -> None:
    request = by_number(date_of_birth=HL7Date("19620304"))
    assert verdict(request, born=HL7Date("19620403")) == "NOT_VERIFIED"


def test_rule_2_a_part_that_pds_does_not_hold_does_not_agree() -> None:
    assert verdict(by_number(), born=HL7Date("196203")) == "RULE_2"
    assert verdict(by_number(), born=HL7Date("196204")) == "NOT_VERIFIED"
    assert verdict(by_number(), born=HL7Date("1962")) == "NOT_VERIFIED"


def test_rule_2_parts_missing_on_both_sides_do_not_agree() -> None:
    assert verdict(by_number(date_of_birth=HL7Date("1962")), born=HL7Date("196203")) == "NOT_VERIFIED"
    assert verdict(by_number(date_of_birth=HL7Date("196204")), born=HL7Date("196203")) == "NOT_VERIFIED"


def test_rule_2_needs_both_names_to_be_sent() -> None:
    for request in (by_number(family=None), by_number(given=None), by_number(family=None, given=None)):
        assert verdict(request, born=DAY_OFF) == "NOT_VERIFIED"


def test_rule_2_compares_three_characters_of_the_surname() -> None:
    for family in ("QUI", "quiXX", "QUIMBLE", "Quick"):
        assert verdict(by_number(family=family), born=DAY_OFF) == "RULE_2"
    for family in ("QUX", "XUI", "QXI", "QU", "IUQ"):
        assert verdict(by_number(family=family), born=DAY_OFF) == "NOT_VERIFIED"


def test_rule_2_compares_one_character_of_the_forename() -> None:
    for given in ("O", "o", "OTHER"):
        assert verdict(by_number(given=given), born=DAY_OFF) == "RULE_2"
    for given in ("XRLA", "J", "JUNE", ""):
        assert verdict(by_number(given=given), born=DAY_OFF) == "NOT_VERIFIED"


def test_rule_2_a_held_name_of_just_the_length_agrees() -> None:
    assert verdict(by_number(), replace(USUAL, family="QUI", given=("O",)), born=DAY_OFF) == "RULE_2"


def test_rule_2_a_text_too_short_for_its_beginning_does_not_agree() -> None:
    assert verdict(by_number(family="LI"), replace(USUAL, family="LI"), born=DAY_OFF) == "NOT_VERIFIED"
    assert verdict(by_number(), replace(USUAL, family=""), born=DAY_OFF) == "NOT_VERIFIED"
    assert verdict(by_number(given=""), replace(USUAL, given=("",)), born=DAY_OFF) == "NOT_VERIFIED"
    # One letter folds to two: what two characters say must not count as three.
    assert verdict(by_number(family="\u00dfA"), replace(USUAL, family="SSAB"), born=DAY_OFF) == "NOT_VERIFIED"
    assert verdict(by_number(family="SSAB"), replace(USUAL, family="\u00dfA"), born=DAY_OFF) == "NOT_VERIFIED"


def test_rule_2_counts_characters_after_composition() -> None:
    for sent, held in (("O\u0308LAX", "\u00d6LAY"), ("\u00d6LAX", "O\u0308LAY"), ("o\u0308lax", "O\u0308LAY")):
        assert verdict(by_number(family=sent), replace(USUAL, family=held), born=DAY_OFF) == "RULE_2"
    assert verdict(by_number(family="O\u0308LX"), replace(USUAL, family="\u00d6LY"), born=DAY_OFF) == "NOT_VERIFIED"
    assert verdict(by_number(given="O\u0308"), born=DAY_OFF) == "NOT_VERIFIED"
    assert verdict(by_number(), replace(USUAL, given=("O\u0308",)), born=DAY_OFF) == "NOT_VERIFIED"


def test_rule_2_never_takes_a_compatible_character_for_another() -> None:
    assert verdict(by_number(family="QU\uff29X"), born=DAY_OFF) == "NOT_VERIFIED"
    assert verdict(by_number(), replace(USUAL, family="QU\uff29X"), born=DAY_OFF) == "NOT_VERIFIED"


def test_rule_2_compares_with_the_current_usual_name_only() -> None:
    for name in (
        replace(USUAL, use=("A",)),
        replace(USUAL, validity=ENDED),
        replace(USUAL, family=None),
        replace(USUAL, given=()),
    ):
        assert verdict(by_number(), name, born=DAY_OFF) == "NOT_VERIFIED"
    another = Name(("L",), "ANOTHER", ("PERSON",))
    assert verdict(by_number(), another, USUAL, born=DAY_OFF) == "NOT_VERIFIED"
    assert verdict(by_number(), replace(another, validity=ENDED), USUAL, born=DAY_OFF) == "RULE_2"


def test_rule_2_compares_the_forename_and_not_the_further_names() -> None:
    assert verdict(by_number(given="JUNE"), born=DAY_OFF) == "NOT_VERIFIED"


def test_without_a_date_of_birth_nothing_verifies() -> None:
    assert verdict(by_number(), born=None) == "NOT_VERIFIED"


def test_a_very_restricted_record_never_verifies() -> None:
    for code in ("Y", "V"):
        assert verdict(by_number(), confidentiality=(code,)) == "NOT_VERIFIED"
        assert verdict(by_number(), confidentiality=("N", code)) == "NOT_VERIFIED"


def test_a_sensitive_record_verifies_like_any_other() -> None:
    for code in ("S", "B", "R"):
        assert verdict(by_number(), confidentiality=(code,)) == "RULE_1"


def test_names_that_agree_do_not_contradict() -> None:
    for request in (
        by_number(),
        by_number(family=None),
        by_number(given=None),
        by_number(family=None, given=None),
        by_number(family="quiet", given="oliver"),
    ):
        assert matching.contradicts_usual_name(request, record(), TODAY) is False


def test_a_surname_or_a_forename_that_disagrees_contradicts() -> None:
    for request in (
        by_number(family="QUXMBLE"),
        by_number(given="JUNE"),
        by_number(family="ANOTHER", given="PERSON"),
        by_number(family="ANOTHER", given=None),
        by_number(family=None, given="PERSON"),
    ):
        assert matching.contradicts_usual_name(request, record(), TODAY) is True


def test_a_usual_name_without_the_part_that_was_sent_contradicts() -> None:
    no_family, no_given = replace(USUAL, family=None), replace(USUAL, given=())
    assert matching.contradicts_usual_name(by_number(), record(names=(no_family,)), TODAY) is True
    assert matching.contradicts_usual_name(by_number(), record(names=(no_given,)), TODAY) is True
    assert matching.contradicts_usual_name(by_number(family=None), record(names=(no_family,)), TODAY) is False
    assert matching.contradicts_usual_name(by_number(given=None), record(names=(no_given,)), TODAY) is False


def test_without_a_usual_name_nothing_is_contradicted() -> None:
    assert matching.contradicts_usual_name(by_number(), record(names=()), TODAY) is False


def test_a_search_agrees_with_the_whole_surname_and_forename() -> None:
    assert matching.name_agrees(by_search(), record()) is True
    assert matching.name_agrees(by_search(family="quimble", given="orla"), record()) is True
    assert matching.name_agrees(by_search(given=None), record()) is True
    for request in (
        by_search(family="QUIMB"),
        by_search(given="OR"),
        by_search(family="OTHER", given=None),
        by_search(given="JUNE"),
    ):
        assert matching.name_agrees(request, record()) is False


def test_a_search_agrees_with_further_forenames_only_as_a_whole() -> None:
    assert matching.name_agrees(by_search(given="ORLA JUNE"), record()) is True
    assert matching.name_agrees(by_search(given="ORLAJUNE"), record()) is False


def test_a_search_agrees_with_any_kind_of_name_but_not_with_parts_of_two() -> None:
    alias, birth = Name(("A",), "ALIAS", ("ORLA",)), Name(("PREVIOUS-BIRTH",), "QUIMBLE", ("OTHER",))
    assert matching.name_agrees(by_search(family="ALIAS"), record(names=(USUAL, alias))) is True
    assert matching.name_agrees(by_search(), record(names=(alias, birth))) is False


def test_a_search_never_agrees_with_a_name_that_lacks_the_part() -> None:
    assert matching.name_agrees(by_search(), record(names=())) is False
    assert matching.name_agrees(by_search(), record(names=(replace(USUAL, family=None),))) is False
    assert matching.name_agrees(by_search(), record(names=(replace(USUAL, given=()),))) is False
    assert matching.name_agrees(by_search(given=None), record(names=(replace(USUAL, given=()),))) is True


def test_a_postcode_agrees_with_that_of_any_address() -> None:
    temporary = Address(("TMP",), (), " ZZ2 2ZZ ")
    assert matching.postcode_agrees(by_search(), record()) is True
    assert matching.postcode_agrees(by_search(postcode="zz1 1zz"), record()) is True
    two = record(addresses=(*record().addresses, temporary))
    assert matching.postcode_agrees(by_search(postcode="ZZ2 2ZZ"), two) is True
    for postcode in ("ZZ1 1ZX", "ZZ11ZZ", "ZZ2 2ZZ"):
        assert matching.postcode_agrees(by_search(postcode=postcode), record()) is False


def test_a_postcode_not_sent_agrees_and_one_sent_needs_an_address() -> None:
    assert matching.postcode_agrees(by_search(postcode=None), record(addresses=())) is True
    assert matching.postcode_agrees(by_search(postcode=None), record()) is True
    assert matching.postcode_agrees(by_search(), record(addresses=())) is False
    assert matching.postcode_agrees(by_search(), record(addresses=(Address(("H",), (), None),))) is False


def test_a_wildcard_stands_for_any_characters_and_for_none() -> None:
    held = record(names=(replace(USUAL, family="QUIM-BLE\nQUOY"),))
    for sent in ("QU*", "qu*oy", "QUIM*BLE*QUOY", "QU*M*E*Y", "QUIM-BLE\nQUOY*", "QUI*QUOY*", "QUIM-*BLE*"):
        assert matching.name_agrees(by_search(family=sent), held), sent
    for sent in ("QA*", "QU*O", "QUIM*QUIM*", "QU*OY*OY", "UIM*", "QU*BLE*-*", "QU.*"):
        assert not matching.name_agrees(by_search(family=sent), held), sent


def test_what_is_syntax_elsewhere_is_a_character_like_others_beside_a_wildcard() -> None:
    held = record(names=(replace(USUAL, family="QU(IM+B.LE"),))
    assert matching.name_agrees(by_search(family="QU(*+*.LE"), held)
    assert not matching.name_agrees(by_search(family="QU(*B?LE"), held)


def test_a_wildcard_in_a_forename_or_a_postcode() -> None:
    assert matching.name_agrees(by_search(given="OR*"), record())
    assert matching.name_agrees(by_search(given="ORLA J*"), record())
    assert not matching.name_agrees(by_search(given="JU*"), record())
    assert matching.postcode_agrees(by_search(postcode="ZZ*"), record())
    assert matching.postcode_agrees(by_search(postcode="ZZ1*1Z*"), record())
    assert not matching.postcode_agrees(by_search(postcode="ZY*"), record())


def test_a_wildcard_is_compared_in_one_composed_form() -> None:
    held = record(names=(replace(USUAL, family="E\u0301VERARD"),))
    assert matching.name_agrees(by_search(family="\u00c9V*"), held)
    assert not matching.name_agrees(by_search(family="EV*"), held)


def test_many_wildcards_over_a_long_text_take_no_time() -> None:
    held = record(names=(replace(USUAL, family="QU" + "A" * 100_000),))
    assert not matching.name_agrees(by_search(family="QU" + "*A" * 15 + "*B"), held)
