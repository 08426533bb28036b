"""Who is verified, who is not, who is not found and who is found too often."""

from typing import Final

from smsp_provider.simulator.population.book import Answers, Ask, Book, Expected, address, number, usual
from smsp_provider.simulator.records import SpineName, SpinePatient

__all__ = ["write"]

_LOST: Final[Answers] = {"trace": "AE 1 ST004", "get_number": "DEMOG-0001", "by_search": "DEMOG-0001"}
_REFUSED: Final[Answers] = {"verify": "DEMOG-0040", "by_number": "DEMOG-0040"}
_SEVERAL: Final[Answers] = {"trace": "AE 7 ST005", "get_number": "DEMOG-0007", "by_search": "DEMOG-0007"}
_UNUSABLE: Final[Answers] = {"verify": "SMSP-0002", "by_number": "SMSP-0002"}


def write(book: Book) -> None:
    """Rules 1 and 2 of the verification, no match, several matches."""
    _verified(book)
    _not_verified(book)
    _dates(book)
    _unknown(book)
    _several(book)


def _verified(book: Book) -> None:
    book.theme = "Verified"
    person = book.person(101, "KELDERSTONE", "WINIFRED", "2", "19520617")
    book.good(
        "rule 1: date of birth alone",
        person,
        sent={"family": None, "given": None},
        answers={"trace": None, "get_number": None, "by_search": None},
    )
    book.good(
        "rule 1: the date agrees, the names contradict",
        person,
        sent={"family": "MUNGRISDALL", "given": "ADA"},
        answers=_LOST,
    )
    for serial, family, given, born, sent, what in (
        (102, "LAVERSTOCKE", "HUMPHREY", "19610822", "19610823", "another day"),
        (103, "MELMERBYE", "ARABELLA", "19850314", "19850414", "another month"),
        (104, "NENTHEADLEY", "CLOVIS", "19471205", "19461205", "another year"),
    ):
        gender = "2" if given == "ARABELLA" else "1"
        person = book.person(serial, family, given, gender, born)
        book.good(f"rule 2: {what}, the names agree", person, sent={"date_of_birth": sent}, answers=_LOST)
    person = book.person(105, "OUGHTERSIDE", "PETRONELLA", "2", "19730909")
    book.good(
        "rule 2: another day, three letters of the surname and one of the forename agree",
        person,
        sent={"date_of_birth": "19730908", "family": "OUGHAM", "given": "PAULINE"},
        answers=_LOST,
    )


def _not_verified(book: Book) -> None:
    book.theme = "Not verified"
    person = book.person(111, "PATTERDALLEN", "CONSTANCE", "2", "19680402")
    book.good("two parts of the date wrong", person, sent={"date_of_birth": "19680521"}, answers=_LOST | _REFUSED)
    person = book.person(112, "RYDALMOUNT", "ELIJAH", "1", "19960730")
    book.good(
        "another day, another surname",
        person,
        sent={"date_of_birth": "19960731", "family": "BUTTERMERE"},
        answers=_LOST | _REFUSED,
    )
    person = book.person(113, "SEATOLLER", "GWENDOLEN", "2", "19541116")
    book.good(
        "another day, another forename",
        person,
        sent={"date_of_birth": "19541117", "given": "HESTER"},
        answers=_LOST | _REFUSED,
    )
    person = book.person(114, "TALKINTARN", "LEOPOLD", "1", "20040211")
    book.good(
        "another day, no forename sent: rule 2 needs both",
        person,
        sent={"date_of_birth": "20040212", "given": None},
        answers=_LOST | _REFUSED,
    )
    person = book.person(115, "WASDALEHEAD", "BLANCHE", "2", "19870606", spine_compares=True)
    book.good(
        "Spine compares by itself and refuses with 40",
        person,
        sent={"date_of_birth": "19901224"},
        answers=_LOST | _REFUSED | {"cross_check": "AE 40"},
    )
    book.good("Spine compares by itself and accepts", person)


def _dates(book: Book) -> None:
    book.theme = "Dates of birth"
    person = book.person(121, "YANWATHE", "INGRAM", "1", "199408")
    book.good(
        "year and month on the record: rule 2 verifies, a trace agrees", person, sent={"date_of_birth": "19940817"}
    )
    person = book.person(122, "ZANNERBY", "MILLICENT", "2", "1931")
    book.good("only a year on the record", person, sent={"date_of_birth": "19310101"}, answers=_REFUSED)
    person = book.person(123, "ARKENGARTH", "SEBALD", "1", None)
    book.good("no date of birth on the record", person, sent={"date_of_birth": "19770707"}, answers=_LOST | _REFUSED)
    person = book.person(124, "BOWSCALEY", "LETITIA", "2", "201405120915")
    book.good("date of birth with hours and minutes", person)
    person = book.person(125, "CAUTLEYSPOUT", "NEHEMIAH", "1", "2011022")
    book.good("seven digits: no date at all", person, sent={"date_of_birth": "20110220"}, answers=_LOST | _UNUSABLE)
    person = book.person(126, "DUFTONPIKE", "ESMERALDA", "2", "19751345")
    book.good("a day that no calendar has", person, sent={"date_of_birth": "19751231"}, answers=_LOST | _UNUSABLE)


def _unknown(book: Book) -> None:
    book.theme = "Nobody"
    book.scene(
        "a number and a person that PDS does not know",
        Ask(number(9001), "19800101", "NOBODYATALL", "PERCIVAL", "1", "ZZ99 9ZZ"),
        Expected(
            cross_check="AE 1 NHSNCC002",
            trace="AE 1 ST004",
            retrieval="AE 1 RT003",
            verify="DEMOG-0001",
            get_number="DEMOG-0001",
            by_number="DEMOG-0001",
            by_search="DEMOG-0001",
        ),
    )
    person = book.person(131, "ENNERFOSS", "THADDEUS", "1", "19830119", not_new_style=True)
    book.good(
        "a number that PDS refuses as not new style",
        person,
        answers={
            "cross_check": "AE 42",
            "retrieval": "AE 42",
            "verify": "DEMOG-0042",
            "get_number": "DEMOG-0042",
            "by_number": "DEMOG-0042",
            "by_search": "DEMOG-0042",
        },
    )
    person = book.person(132, "FRIZINGHALL", "LAVINIA", "2", "19710328", invalidated=True)
    book.good(
        "an invalidated number without replacement",
        person,
        answers=_LOST
        | {"cross_check": "AE 22", "retrieval": "AE 22", "verify": "DEMOG-0022", "by_number": "DEMOG-0022"},
    )


def _several(book: Book) -> None:
    book.theme = "Several matches"
    first = book.person(141, "GOSFORTHEY", "EDWINA", "2", "19880205")
    book.person(142, "GOSFORTHEY", "EDITHA", "2", "19880205")
    book.good(
        "two of a surname and a date: no forename sent", first, sent={"given": None, "postcode": None}, answers=_SEVERAL
    )
    book.good("two of a surname and a date: the forename decides", first, sent={"postcode": None})
    book.good("two of a surname and a date: the postcode decides", first, sent={"given": None})
    first = book.person(143, "HALTCLIFFE", "AMIAS", "1", "19660614")
    book.person(144, "HALTCLIFFE", "AMIAS", "1", "19660614", addresses=first.addresses)
    book.good("the same in everything but the number", first, answers=_SEVERAL)
    first = book.person(145, "IREBYSHAW", "ROWENA", "2", "19790523")
    book.person(146, "IREBYSHAW", "ROWENA", "2", "19790523", confidentiality="S")
    book.good("one of the two is sensitive: both without postcode", first, sent={"postcode": None}, answers=_SEVERAL)
    book.good("one of the two is sensitive: a postcode hides it, the other looks unique", first)
    first = book.person(147, "KENTMERRY", "ISIDORE", "1", "19581109")
    _by_alias(book, 148, first)
    book.good("somebody else's alias is the same", first, sent={"postcode": None}, answers=_SEVERAL)
    book.good("somebody else's alias is the same: the postcode decides", first)


def _by_alias(book: Book, serial: int, other: SpinePatient) -> None:
    """A person of another usual name who also goes by the name of ``other``."""
    alias = SpineName("A", "KENTMERRY", ("ISIDORE",))
    book.person(
        serial,
        None,
        "",
        "1",
        other.birth_time,
        names=(usual("LOWESWATERS", "ISIDORE", gender="1"), alias),
        addresses=(address(serial),),
    )
