"""People whose records name or resemble somebody else."""

from dataclasses import replace
from typing import Final

from smsp_provider.simulator.population.book import Answers, Book, Facts, Sent, address, telecom, usual
from smsp_provider.simulator.records import RelatedPerson, SpineName

__all__ = ["write"]

_SEVERAL: Final[Answers] = {"trace": "AE 7 ST005", "get_number": "DEMOG-0007", "by_search": "DEMOG-0007"}
_LOST: Final[Answers] = {"trace": "AE 1 ST004", "get_number": "DEMOG-0001", "by_search": "DEMOG-0001"}
_MOTHER: Final = "12"
_NEXT_OF_KIN: Final = "04"


def write(book: Book) -> None:
    """Twins, namesakes, families."""
    book.theme = "Twins, namesakes and families"
    _twins(book)
    _namesakes(book)
    book.theme = "Related persons"
    _related(book)


def _twins(book: Book) -> None:
    shared: Facts = {"addresses": (address(701),), "telecoms": (telecom("tel:01632960701"),)}
    first = book.person(701, "LUPTONFELL", "ROMOLA", "2", "20150321", **shared)
    second = book.person(702, "LUPTONFELL", "RAMONA", "2", "20150321", **shared)
    book.good("twins: the forename decides", first)
    book.good("twins: without forename", first, sent={"given": None}, answers=_SEVERAL)
    other: Sent = {"given": "RAMONA"}
    found: Answers = {"trace": f"AA {second.nhs_number} 3", "number": None}
    book.good("twins: one's number with the other's forename verifies by rule 1", first, sent=other, answers=found)
    first = book.person(703, "MANSRIGGS", "ALPHEUS", "1", "20180909", addresses=(address(703),))
    book.person(704, "MANSRIGGS", "ALPHA", "2", "20180909", addresses=(address(703),))
    book.good("twins: the gender decides", first, sent={"given": None})


def _namesakes(book: Book) -> None:
    father = book.person(711, "NEWBIGGINS", "EZEKIEL", "1", "19500712", addresses=(address(711),))
    son = book.person(712, "NEWBIGGINS", "EZEKIEL", "1", "19820712", addresses=(address(711),))
    book.good("father and son of one name: the father", father)
    book.good("father and son of one name: the son", son)
    # Day and month agree, and so do the names: rule 2 lets it pass. This is the published rule.
    wrong: Sent = {"date_of_birth": "19820712"}
    found: Answers = {"trace": f"AA {son.nhs_number} 3"}
    book.good(
        "father's number, son's date: rule 2 verifies on the birthday they share", father, sent=wrong, answers=found
    )
    first = book.person(713, "ORTONSCAR", "PETRA", "2", "19730103")
    second = book.person(714, "ORTONSCAR", "PETRA", "2", "19730103")
    book.good("namesakes born on one day: the postcode decides for one", first)
    book.good("namesakes born on one day: the postcode decides for the other", second)
    book.good("namesakes born on one day: without postcode", first, sent={"postcode": None}, answers=_SEVERAL)


def _related(book: Book) -> None:
    mother = RelatedPerson(
        _MOTHER,
        usual("PARKAMOORE", "GUDRUN", gender="2"),
        address(801, lines=("", "9 RELATIVE ROW", "", "MARSKBY", "")),
        telecom("tel:01632960801"),
    )
    child = book.person(721, "RAVENSTONE", "SILVESTER", "1", "20110911", related=(mother,))
    book.good("a mother with name, address and telephone", child)
    book.good("not found by the mother's name", child, sent={"family": "PARKAMOORE", "given": "GUDRUN"}, answers=_LOST)
    book.good("not found by the mother's postcode", child, sent={"postcode": address(801).postcode}, answers=_LOST)
    bare = book.person(
        722, None, "", "2", "20080613", names=(), addresses=(), telecoms=(), practices=(), related=(mother,)
    )
    book.good(
        "only the mother has a name and an address",
        bare,
        sent={"family": "SCROGGSON", "given": "IDONEA", "postcode": "ZZ99 9ZZ"},
        answers=_LOST,
    )
    partner = RelatedPerson(_NEXT_OF_KIN, SpineName("L", "THURSTONVALE", ("GEORGIANA",)))
    both = (partner, replace(mother, relationship=_NEXT_OF_KIN))
    book.good("two related persons", book.person(723, "SCALESPOOL", "HADRIAN", "1", "19781208", related=both))
