"""Records of which not everything may be told, and people who have died."""

from typing import Final

from smsp_provider.simulator.population.book import Answers, Book

__all__ = ["write"]

_LOST: Final[Answers] = {"trace": "AE 1 ST004", "get_number": "DEMOG-0001", "by_search": "DEMOG-0001"}


def write(book: Book) -> None:
    """Sensitive, very restricted, deceased."""
    _restricted(book)
    _deceased(book)


def _restricted(book: Book) -> None:
    book.theme = "Sensitive records"
    for serial, family, given, gender, born, code in (
        (301, "BARCODALE", "SIGISMUND", "1", "19800505", "S"),
        (302, "CATBELLS", "PRUDENCE", "2", "19930909", "S"),
        (303, "DERWENTFOLD", "MORTIMER", "1", "19610101", "B"),
        (304, "ESTHWAITEN", "CLARIBEL", "2", "20091231", "B"),
    ):
        person = book.person(serial, family, given, gender, born, confidentiality=code)
        own = person.nhs_number
        seen: Answers = {"cross_check": f"AA {own} 5", "retrieval": f"AA {own} 9"}
        book.good(
            f"{code}: no location comes out", person, sent={"postcode": None}, answers=seen | {"trace": f"AA {own} 5"}
        )
        book.good(f"{code}: not found by a postcode", person, answers=seen | _LOST)
    for serial, family, given, gender, born in (
        (305, "FINSTHWAIT", "AURELIAN", "1", "19740606"),
        (306, "GREENODDY", "TRYPHENA", "2", "19860828"),
    ):
        person = book.person(serial, family, given, gender, born, confidentiality="Y")
        own = person.nhs_number
        book.good(
            "Y: nothing but the number comes out",
            person,
            answers=_LOST
            | {
                "cross_check": f"AA {own} 5",
                "retrieval": f"AA {own} 9",
                "verify": "DEMOG-0040",
                "by_number": "DEMOG-0040",
            },
        )


def _deceased(book: Book) -> None:
    book.theme = "Deceased"
    for serial, family, given, gender, born, died, status, what in (
        (311, "HAWKSHEADER", "LANCELOT", "1", "19311014", "20190223", "2", "formally notified"),
        (312, "INGSBARROW", "DOROTHEA", "2", "19280607", "20230805", "1", "informally notified"),
        (313, "JENKINCRAG", "WILFREDA", "2", "19400319", "202211", "2", "year and month of death"),
        (314, "KNIPEFELL", "OCTAVIUS", "1", "19251231", "2001", "2", "year of death"),
        (315, "LEVENSIDE", "ERMINTRUDE", "2", "19330118", "201206051430", "2", "date of death with a time"),
        (316, "MARDALEY", "ALGERNON", "1", "19470929", None, "1", "notified without a date"),
        (317, "NABSCARR", "HILDEGARD", "2", "19520211", "20200102", None, "a date without a notification"),
    ):
        person = book.person(serial, family, given, gender, born, deceased_time=died, death_status=status)
        book.good(what, person)
    person = book.person(318, "ORRESTHEAD", "BARTRAM", "1", "19380804", deceased_time="2012061", death_status="2")
    book.good("seven digits of a date of death", person, answers={"by_number": "SMSP-0002", "by_search": "SMSP-0002"})
    person = book.person(319, "PIELISLAND", "ROSINA", "2", "20110724", deceased_time="20110722", death_status="2")
    book.good("died before being born, says the record", person)
