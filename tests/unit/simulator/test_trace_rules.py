"""The rules over a real store, asked the way Spine is asked."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulator_client import SpineAsk, cross_check, message_of, retrieval, said, trace, xpath
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.records import (
    RelatedPerson,
    Span,
    SpineAddress,
    SpineName,
    SpinePatient,
    SpinePractice,
    SpineTelecom,
    SupersededStyle,
)
from smsp_provider.simulator.spine import Spine

ONE, TWO, THREE, FOUR = "9990000018", "9990000026", "9990000034", "9990000042"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

Asker = Callable[[SpineAsk], str]


@pytest.fixture
def store() -> Iterator[PatientStore]:
    with PatientStore() as empty:
        yield empty


@pytest.fixture
def ask(store: PatientStore) -> Asker:
    spine = Spine(store, clock=lambda: NOON)

    def asker(request: SpineAsk) -> str:
        return said(answer_of(spine, request))

    return asker


def answer_of(spine: Spine, request: SpineAsk) -> bytes:
    reply = spine.answer(request.body(), request.soap_action)
    assert reply.status == 200
    return reply.body


def somebody(number: str = ONE, **changes: object) -> SpinePatient:
    plain = SpinePatient(
        number,
        names=(SpineName("L", "HARROWGATE", ("NESTA", "JUNE"), prefix="MS"),),
        gender="2",
        birth_time="19800517",
        addresses=(SpineAddress("H", ("", "4 MILL ROW", "", "MARSKBY", ""), "ZZ10 1AA"),),
        telecoms=(SpineTelecom("H", "tel:01632960001"),),
        practices=(SpinePractice("Z90001"),),
    )
    return replace(plain, **changes)  # type: ignore[arg-type] # the fields are checked by the dataclass's own tests


FOUND = f"AA {ONE} 3"
NOT_FOUND = "AE 1 ST004"
SEVERAL = "AE 7 ST005"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (trace("HARROWGATE", "2", "19800517"), FOUND),
        (trace("harrowgate", "2", "19800517", "nesta"), FOUND),
        (trace("HARROWGATE", "2", "19800517", ("NESTA", "JUNE")), FOUND),
        (trace("HARROWGATE", "2", "19800517", ("NESTA", "MAY")), NOT_FOUND),
        (trace("HARROWGATE", "2", "19800517", ("NESTA", "JUNE", "EVE")), NOT_FOUND),
        (trace("HARROWGATE", "2", "19800517", "JUNE"), NOT_FOUND),
        (trace("HARROWGATE", "1", "19800517"), NOT_FOUND),
        (trace("HARROWGATE", "2", "19800518"), NOT_FOUND),
        (trace("HARROWGATE", "2", "198005"), FOUND),
        (trace("HARROWGATE", "2", "1980"), FOUND),
        (trace("HARROWGATE", "2", "1981"), NOT_FOUND),
        (trace("HARROW GATE", "2", "19800517"), NOT_FOUND),
        (trace("HARROW*", "2", "19800517"), NOT_FOUND),
        (trace("HARROWGATE", "2", "19800517", postcode="zz10 1aa"), FOUND),
        (trace("HARROWGATE", "2", "19800517", postcode="ZZ101AA"), NOT_FOUND),
        (trace("HARROWGATE", "2", "19800517", postcode="ZZ10 1AB"), NOT_FOUND),
    ],
)
def test_a_trace_compares_exactly_but_for_case(
    store: PatientStore, ask: Asker, request_: SpineAsk, expected: str
) -> None:
    store.add(somebody())
    assert ask(request_) == expected


@pytest.mark.parametrize("held", ["1980", "198005", "19800517", "198005170910"])
def test_dates_agree_at_the_coarser_precision(store: PatientStore, ask: Asker, held: str) -> None:
    store.add(somebody(birth_time=held))
    assert ask(trace("HARROWGATE", "2", "19800517")) == FOUND
    assert ask(trace("HARROWGATE", "2", "19810517")) == NOT_FOUND


@pytest.mark.parametrize("held", [None, "", "198", "19800", "1980051"])
def test_what_is_no_date_agrees_with_nothing(store: PatientStore, ask: Asker, held: str | None) -> None:
    store.add(somebody(birth_time=held))
    assert ask(trace("HARROWGATE", "2", "19800517")) == NOT_FOUND
    assert ask(trace("HARROWGATE", "2", "1980")) == NOT_FOUND


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (SpineName("A", "OTHER", ("SUE",)), FOUND),
        (SpineName("PREVIOUS-MAIDEN", "OTHER", ("SUE",), period=Span(low="2026")), FOUND),
        (SpineName("L", "OTHER", ("SUE",), period=Span(low="20260303")), NOT_FOUND),
        (SpineName("L", "OTHER", ("SUE",), period=Span(low="20260302")), FOUND),
        (SpineName("L", "OTHER", ("SUE",), period=Span(high="20260302")), FOUND),
        (SpineName("L", "OTHER", ("SUE",), period=Span(high="20260301")), NOT_FOUND),
        (SpineName("L", "OTHER", ("SUE",), period=Span(high="202603")), FOUND),
        (SpineName("L", "OTHER", ("SUE",), held=Span(high="20990101")), NOT_FOUND),
    ],
)
def test_every_name_that_is_current_today_counts(
    store: PatientStore, ask: Asker, name: SpineName, expected: str
) -> None:
    store.add(somebody(names=(*somebody().names, name)))
    assert ask(trace("OTHER", "2", "19800517", "SUE")) == expected
    assert ask(trace("HARROWGATE", "2", "19800517", "SUE")) == NOT_FOUND


def test_composed_and_decomposed_letters_are_the_same(store: PatientStore, ask: Asker) -> None:
    store.add(somebody(names=(SpineName("L", "DUPRE\u0301", ("ZOE\u0308",)),)))
    assert ask(trace("DUPR\u00c9", "2", "19800517", "zo\u00eb")) == FOUND
    store.add(somebody(names=(SpineName("L", "DUPR\u00c9", ("ZO\u00cb",)),)))
    assert ask(trace("DUPRE\u0301", "2", "19800517", "ZOE\u0308")) == FOUND


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (SpineAddress("TMP", (), "ZZ77 7ZZ"), FOUND),
        (SpineAddress("PST", (), "ZZ77 7ZZ"), FOUND),
        (SpineAddress("H", (), "ZZ77 7ZZ", period=Span(high="20260301")), NOT_FOUND),
        (SpineAddress("H", (), "ZZ77 7ZZ", period=Span(low="20260303")), NOT_FOUND),
        (SpineAddress("H", (), "ZZ77 7ZZ", held=Span("2020", "2021")), NOT_FOUND),
    ],
)
def test_the_postcode_of_every_current_address_counts(
    store: PatientStore, ask: Asker, address: SpineAddress, expected: str
) -> None:
    store.add(somebody(addresses=(*somebody().addresses, address)))
    assert ask(trace("HARROWGATE", "2", "19800517", postcode="ZZ77 7ZZ")) == expected


def test_a_trace_answers_with_home_addresses_and_with_the_one_that_matched(store: PatientStore) -> None:
    home, future = SpineAddress("H", (), "ZZ10 1AA"), SpineAddress("H", (), "ZZ10 2AA", period=Span(low="2099"))
    ended = SpineAddress("H", (), "ZZ10 3AA", period=Span(high="2020"))
    other = SpineAddress("TMP", (), "ZZ77 7ZZ")
    store.add(somebody(addresses=(ended, home, future, other), sends_history=True))
    spine = Spine(store, clock=lambda: NOON)
    path = "//h:patientRole/h:addr/h:postalCode"
    assert xpath(answer_of(spine, trace("HARROWGATE", "2", "19800517")), path) == ["ZZ10 1AA", "ZZ10 2AA"]
    found = answer_of(spine, trace("HARROWGATE", "2", "19800517", postcode="ZZ77 7ZZ"))
    assert xpath(found, path) == ["ZZ10 1AA", "ZZ10 2AA", "ZZ77 7ZZ"]


def test_a_trace_never_finds_what_is_no_longer_in_use(store: PatientStore, ask: Asker) -> None:
    request = trace("HARROWGATE", "2", "19800517")
    for gone in (somebody(superseded_by=TWO), somebody(invalidated=True), somebody(confidentiality="Y")):
        store.add(gone)
        assert ask(request) == NOT_FOUND


def test_several_are_refused_without_any_number(store: PatientStore, ask: Asker) -> None:
    store.add(somebody(ONE))
    store.add(somebody(TWO, names=(SpineName("L", "HARROWGATE", ("OTHER",)),)))
    assert ask(trace("HARROWGATE", "2", "19800517")) == SEVERAL
    assert ask(trace("HARROWGATE", "2", "19800517", "NESTA")) == FOUND


def test_a_sensitive_record_is_not_found_by_postcode_and_shows_no_location(store: PatientStore) -> None:
    store.add(somebody(confidentiality="S"))
    spine = Spine(store, clock=lambda: NOON)
    assert said(answer_of(spine, trace("HARROWGATE", "2", "19800517", postcode="ZZ10 1AA"))) == NOT_FOUND
    for request, expected in (
        (trace("HARROWGATE", "2", "19800517"), f"AA {ONE} 5"),
        (cross_check(ONE, "19800517"), f"AA {ONE} 5"),
        (retrieval(ONE), f"AA {ONE} 9"),
    ):
        answer = answer_of(spine, request)
        assert said(answer) == expected
        assert xpath(answer, "//h:confidentialityCode/@code") == ["S"]
        assert xpath(answer, "//h:addr | //h:telecom | //h:playedOtherProviderPatient") == []
        assert xpath(answer, "//h:family") == ["HARROWGATE"]


def test_a_very_restricted_record_shows_its_number_only(store: PatientStore) -> None:
    store.add(somebody(confidentiality="Y", related=(RelatedPerson("12", SpineName("L", "MOTHER")),)))
    spine = Spine(store, clock=lambda: NOON)
    for request in (cross_check(ONE, "19800517"), retrieval(ONE, history=True)):
        answer = answer_of(spine, request)
        assert xpath(answer, "//h:patientPerson/*") == []
        assert xpath(answer, "//h:patientRole/h:id/@extension") == [ONE]


@pytest.mark.parametrize("number", ["9990000019", "999000001", "99900000180", "ABCDEFGHIJ", "\uff19990000018"])
def test_what_is_not_a_new_style_number_is_refused_with_42(ask: Asker, number: str) -> None:
    assert ask(cross_check(number, "19800517")) == "AE 42"
    assert ask(retrieval(number)) == "AE 42"


def test_refusals_by_number(store: PatientStore, ask: Asker) -> None:
    assert ask(cross_check(ONE, "19800517")) == "AE 1 NHSNCC002"
    assert ask(retrieval(ONE)) == "AE 1 RT003"
    store.add(somebody(invalidated=True))
    assert ask(cross_check(ONE, "19800517")) == "AE 22"
    assert ask(retrieval(ONE)) == "AE 22"
    store.add(somebody(not_new_style=True))
    assert ask(cross_check(ONE, "19800517")) == "AE 42"
    assert ask(retrieval(ONE)) == "AE 42"


def test_a_cross_check_leaves_the_comparison_to_the_asker(store: PatientStore, ask: Asker) -> None:
    store.add(somebody())
    assert ask(cross_check(ONE, "19010101", "NOT", "THEM")) == f"AA {ONE}"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (cross_check(ONE, "19800517"), f"AA {ONE}"),
        (cross_check(ONE, "19800518"), "AE 40"),
        (cross_check(ONE, "19800518", "HARDING", "NELL"), f"AA {ONE}"),
        (cross_check(ONE, "19810517", "harding", "n"), f"AA {ONE}"),
        (cross_check(ONE, "19800617", "HARDING", "NELL"), f"AA {ONE}"),
        (cross_check(ONE, "19810617", "HARROWGATE", "NESTA"), "AE 40"),
        (cross_check(ONE, "19800518", "HAXBY", "NESTA"), "AE 40"),
        (cross_check(ONE, "19800518", "HARROWGATE", "SUE"), "AE 40"),
        (cross_check(ONE, "19800518", "HARROWGATE"), "AE 40"),
        (cross_check(ONE, "19800518", None, "NESTA"), "AE 40"),
    ],
)
def test_a_spine_that_compares_by_itself_refuses_with_40(
    store: PatientStore, ask: Asker, request_: SpineAsk, expected: str
) -> None:
    store.add(somebody(spine_compares=True))
    assert ask(request_) == expected


@pytest.mark.parametrize(
    ("style", "checked"),
    [
        (SupersededStyle.ANSWER, f"AA {TWO} 24"),
        (SupersededStyle.REFUSE_17, "AE 17"),
        (SupersededStyle.REFUSE_44, "AE 44"),
    ],
)
def test_a_superseded_number_is_told_in_its_style(
    store: PatientStore, ask: Asker, style: SupersededStyle, checked: str
) -> None:
    store.add(somebody(superseded_by=TWO, superseded_on="20190611", superseded_style=style))
    store.add(somebody(TWO))
    assert ask(cross_check(ONE, "19800517")) == checked
    assert ask(retrieval(ONE)) == f"AA {TWO} 24"
    answer = answer_of(Spine(store, clock=lambda: NOON), retrieval(TWO))
    assert said(answer) == f"AA {TWO}"
    assert xpath(answer, "//h:replacementOf/h:oldVersion/h:id/@extension") == [ONE]
    assert xpath(answer, "//h:replacementOf/h:oldVersion/h:effectiveTime/h:low/@value") == ["20190611"]


def test_a_chain_is_followed_to_its_end_or_told_hop_by_hop(store: PatientStore, ask: Asker) -> None:
    for one_hop, told in ((False, THREE), (True, TWO)):
        store.add(somebody(ONE, superseded_by=TWO, one_hop=one_hop))
        store.add(somebody(TWO, superseded_by=THREE, one_hop=one_hop))
        store.add(somebody(THREE))
        assert ask(retrieval(ONE)) == f"AA {told} 24"
        assert ask(cross_check(ONE, "19800517")) == f"AA {told} 24"
        assert ask(retrieval(TWO)) == f"AA {THREE} 24"
    answer = answer_of(Spine(store, clock=lambda: NOON), retrieval(THREE))
    assert xpath(answer, "//h:oldVersion/h:id/@extension") == [TWO, ONE]


def test_a_cycle_is_answered_with_the_next_record(store: PatientStore, ask: Asker) -> None:
    store.add(somebody(ONE, superseded_by=TWO))
    store.add(somebody(TWO, superseded_by=ONE))
    assert ask(retrieval(ONE)) == f"AA {TWO} 24"
    assert ask(retrieval(TWO)) == f"AA {ONE} 24"


def test_a_longer_cycle_ends_too(store: PatientStore, ask: Asker) -> None:
    store.add(somebody(ONE, superseded_by=TWO))
    store.add(somebody(TWO, superseded_by=THREE))
    store.add(somebody(THREE, superseded_by=TWO))
    assert ask(retrieval(ONE)) == f"AA {TWO} 24"


def test_a_replacement_that_was_invalidated_is_refused(store: PatientStore, ask: Asker) -> None:
    store.add(somebody(ONE, superseded_by=TWO))
    store.add(somebody(TWO, invalidated=True))
    assert ask(retrieval(ONE)) == "AE 22"
    assert ask(cross_check(ONE, "19800517")) == "AE 22"


def test_a_retrieval_tells_history_to_those_who_ask_for_it(store: PatientStore) -> None:
    names = (
        SpineName("L", "NOW"),
        SpineName("L", "PAST", period=Span(high="20200101")),
        SpineName("L", "WITHDRAWN", held=Span("2010", "2011")),
        SpineName("L", "FUTURE", period=Span(low="2099")),
    )
    store.add(somebody(names=names))
    spine = Spine(store, clock=lambda: NOON)
    assert xpath(answer_of(spine, retrieval(ONE)), "//h:family") == ["NOW", "FUTURE"]
    everything = answer_of(spine, retrieval(ONE, history=True))
    assert xpath(everything, "//h:family") == ["NOW", "PAST", "WITHDRAWN", "FUTURE"]
    assert xpath(everything, "//h:systemEffectiveDate/h:value/h:high/@value") == ["2011"]
    store.add(somebody(names=names, sends_history=True))
    assert len(xpath(answer_of(spine, retrieval(ONE)), "//h:family")) == 4


def test_a_retrieval_of_the_serial_number_only_tells_nothing_else(store: PatientStore) -> None:
    store.add(somebody(serial_change_number=17))
    answer = answer_of(Spine(store, clock=lambda: NOON), retrieval(ONE, item="person.scn"))
    assert xpath(answer, "//h:pertinentSerialChangeNumber/h:value/@value") == ["17"]
    assert xpath(answer, "//h:patientPerson/*") == []


def test_a_related_person_is_written_apart_from_the_patient(store: PatientStore) -> None:
    mother = RelatedPerson(
        "12", SpineName("L", "MOTHER", ("ADA",)), SpineAddress("H", ("9 ROW",), "ZZ99 9ZZ"), SpineTelecom("H", "tel:1")
    )
    store.add(somebody(related=(mother,)))
    answer = answer_of(Spine(store, clock=lambda: NOON), retrieval(ONE))
    player = "//h:patientPerson/h:scopedRelatedPersonRole/h:player"
    assert xpath(answer, f"{player}//h:family") == ["MOTHER"]
    assert xpath(answer, f"{player}//h:postalCode") == ["ZZ99 9ZZ"]
    own = "//h:patientPerson/h:COCT_MT000203UK02.PartOfWhole/h:partPerson/h:name/h:family"
    assert xpath(answer, own) == ["HARROWGATE"]


def test_the_dead_are_told_of(store: PatientStore) -> None:
    store.add(somebody(deceased_time="20200131", death_status="1"))
    spine = Spine(store, clock=lambda: NOON)
    for request, place in (
        (trace("HARROWGATE", "2", "19800517"), "subjectOf3"),
        (cross_check(ONE, "19800517"), "subjectOf2"),
        (retrieval(ONE), "subjectOf2"),
    ):
        answer = answer_of(spine, request)
        assert xpath(answer, "//h:patientPerson/h:deceasedTime/@value") == ["20200131"]
        assert xpath(answer, f"//h:patientRole/h:{place}/h:deathNotification/h:value/@code") == ["1"]


@pytest.mark.parametrize(("asked", "expected"), [("20200131", FOUND), ("2020", FOUND), ("20200201", NOT_FOUND)])
def test_a_date_of_death_narrows_a_trace(store: PatientStore, ask: Asker, asked: str, expected: str) -> None:
    store.add(somebody(deceased_time="20200131"))
    died = f'<person.deceasedTime><semanticsText>x</semanticsText><value value="{asked}"/></person.deceasedTime>'
    assert ask(trace("HARROWGATE", "2", "19800517", more=died)) == expected


def test_today_is_the_day_in_london(store: PatientStore) -> None:
    # Half past eleven at night in UTC is half past midnight in a London summer.
    store.add(somebody(names=(SpineName("L", "TOMORROW", period=Span(low="20260702")),)))
    request = trace("TOMORROW", "2", "19800517")
    evening = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert said(answer_of(Spine(store, clock=lambda: evening), request)) == NOT_FOUND
    late = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    assert said(answer_of(Spine(store, clock=lambda: late), request)) == FOUND


def test_an_answer_names_its_request_and_both_systems(store: PatientStore) -> None:
    store.add(somebody())
    request = retrieval(ONE)
    answer = answer_of(Spine(store, clock=lambda: NOON), request)
    assert xpath(answer, "/s:Envelope/s:Header/w:RelatesTo") == [request.message_id]
    assert xpath(answer, "/s:Envelope/s:Header/w:Action") == ["urn:nhs:names:services:pdsquery/QUPA_IN000009UK03"]
    assert xpath(answer, "/s:Envelope/s:Body/h:retrievalQueryResponse/h:QUPA_IN000009UK03/h:versionCode/@code") == [
        "3NPfIT6.3.01"
    ]
    message = message_of(answer)
    assert xpath(message, "h:acknowledgement/h:messageRef/h:id/@root") == [request.hl7_id]
    assert xpath(message, "h:communicationFunctionRcv/h:device/h:id/@extension") == [request.sender]
    assert xpath(message, "h:communicationFunctionSnd/h:device/h:id/@extension") == [request.receiver]
    assert xpath(message, "h:creationTime/@value") == ["20260302120000"]


def test_a_store_in_a_file_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "patients.db"
    with PatientStore(path) as first:
        first.add(somebody())
    with PatientStore(path) as second:
        assert second.count() == 1
        found = second.get(ONE)
        assert found is not None
        assert found == somebody()


def test_replacing_a_patient_forgets_the_old_names(store: PatientStore, ask: Asker) -> None:
    store.add(somebody())
    store.add(somebody(names=(SpineName("L", "RENAMED"),)))
    assert store.count() == 1
    assert ask(trace("HARROWGATE", "2", "19800517")) == NOT_FOUND
    assert ask(trace("RENAMED", "2", "19800517")) == FOUND
    assert FOUR not in ask(trace("RENAMED", "2", "19800517"))
