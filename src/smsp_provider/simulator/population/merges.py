"""Numbers that were replaced: once, along a chain, in a circle, and by records that do not fit."""

from typing import Final

from smsp_provider.simulator.population.book import GOOD, Answers, Book, number
from smsp_provider.simulator.records import SupersededStyle

__all__ = ["write"]

_REPLACED: Final = "DEMOG-0017"
_LOST: Final[Answers] = {"trace": "AE 1 ST004", "get_number": "DEMOG-0001", "by_search": "DEMOG-0001"}


def write(book: Book) -> None:
    """Every way in which PDS tells of a replacement."""
    book.theme = "Superseded numbers"
    _single(book)
    _chains(book)
    _misfits(book)


def _replaced(new: str, answers: Answers | None = None) -> Answers:
    """What a number answers that ``new`` replaced, while both records hold the same person."""
    plain: Answers = {
        "cross_check": f"AA {new} 24",
        "retrieval": f"AA {new} 24",
        "trace": f"AA {new} 3",
        "verify": _REPLACED,
        "by_number": _REPLACED,
        "get_number": GOOD,
        "by_search": GOOD,
        "number": new,
    }
    return plain | (answers or {})


def _single(book: Book) -> None:
    for serial, family, given, gender, born, style, check, what in (
        (201, "LONGSLEDDALE", "VERITY", "2", "19640911", SupersededStyle.ANSWER, None, "positively with warning 24"),
        (203, "MOSEDALLER", "KENELM", "1", "19820203", SupersededStyle.REFUSE_44, "AE 44", "by refusal 44"),
        (205, "NEWLANDLEY", "HEPZIBAH", "2", "19501030", SupersededStyle.REFUSE_17, "AE 17", "by refusal 17"),
    ):
        new = number(serial + 1)
        old = book.person(
            serial, family, given, gender, born, superseded_by=new, superseded_on="20190611", superseded_style=style
        )
        living = book.person(serial + 1, family, given, gender, born, addresses=old.addresses)
        answers = _replaced(new)
        if check is not None:
            answers["cross_check"] = check
        book.good(f"the cross-check tells {what}", old, answers=answers)
        book.good("the record that replaced it", living)


def _chains(book: Book) -> None:
    facts = ("OXENHOLLOW", "JUSTINIAN", "1", "19930718")
    first = book.person(211, *facts, superseded_by=number(212), superseded_on="20150101")
    book.person(212, *facts, superseded_by=number(213), superseded_on="20170101")
    book.person(213, *facts, addresses=first.addresses)
    book.good("A to B to C: Spine follows to the end", first, answers=_replaced(number(213)))
    facts = ("PENRUDDOCKE", "DRUSILLA", "2", "19760125")
    first = book.person(214, *facts, superseded_by=number(215), one_hop=True, superseded_on="20160229")
    book.person(215, *facts, superseded_by=number(216), one_hop=True, superseded_on="20160229")
    book.person(216, *facts, addresses=first.addresses)
    told = f"AA {number(215)} 24"
    hops: Answers = _replaced(number(216), answers={"cross_check": told, "retrieval": told})
    book.good("A to B to C: Spine tells one hop at a time", first, answers=hops)
    facts = ("RAUGHTONHEAD", "BALTHASAR", "1", "19891122")
    first = book.person(217, *facts, superseded_by=number(218), one_hop=True, superseded_on="20160229")
    book.person(218, *facts, superseded_by=number(219), one_hop=True, superseded_on="20160229")
    book.person(219, *facts, superseded_by=number(220), one_hop=True, superseded_on="20160229")
    book.person(220, *facts, addresses=first.addresses)
    told = f"AA {number(218)} 24"
    too_far: Answers = {"cross_check": told, "retrieval": told, "verify": "SMSP-0002", "by_number": "SMSP-0002"}
    book.good("three hops, one at a time: too many", first, answers=_replaced(number(220), answers=too_far))
    facts = ("SANDFORTHE", "EUPHEMIA", "2", "19451208")
    first = book.person(221, *facts, superseded_by=number(222))
    book.person(222, *facts, superseded_by=number(221))
    told = f"AA {number(222)} 24"
    circle: Answers = {"cross_check": told, "retrieval": told, "verify": "SMSP-0002", "by_number": "SMSP-0002"}
    book.good("two numbers that replace each other (broken data)", first, answers=circle | _LOST)


def _misfits(book: Book) -> None:
    new = number(232)
    old = book.person(231, "TEBAYGILL", "ROSALBA", "2", "19620817", superseded_by=new)
    book.person(232, "TEBAYGILL", "ROSALBA", "2", "19731005")
    wrong: Answers = {"verify": "DEMOG-0040", "by_number": "DEMOG-0040", "number": None}
    book.good("the new record has another date of birth", old, answers=_replaced(new, answers=wrong) | _LOST)
    new = number(234)
    old = book.person(
        233, "ULDALEFELL", "CORNELIUS", "1", "19840420", superseded_by=new, superseded_style=SupersededStyle.REFUSE_44
    )
    book.person(234, "WREAYHEAD", "TANCRED", "1", "19570102")
    book.good(
        "refused, and the new record is somebody else's",
        old,
        answers=_replaced(new, answers=wrong | {"cross_check": "AE 44"}) | _LOST,
    )
    new = number(236)
    old = book.person(235, "YEARNGILL", "ANNIS", "2", "19910630", superseded_by=new)
    book.person(236, "YEARNGILL", "ANNIS", "2", "19910630", confidentiality="S")
    book.good(
        "replaced by a sensitive record",
        old,
        sent={"postcode": None},
        answers=_replaced(
            new, answers={"cross_check": f"AA {new} 24 5", "retrieval": f"AA {new} 24 9", "trace": f"AA {new} 5"}
        ),
    )
    new = number(238)
    old = book.person(237, "AIKBANKS", "LUDOVIC", "1", "19700215", superseded_by=new)
    book.person(238, "AIKBANKS", "LUDOVIC", "1", "19700215", invalidated=True)
    gone: Answers = {"cross_check": "AE 22", "retrieval": "AE 22", "verify": "DEMOG-0022", "by_number": "DEMOG-0022"}
    book.good("replaced by a number that was invalidated later", old, answers=gone | _LOST)
