"""Names as PDS holds them: several at once, in several spellings, and missing ones."""

from typing import Final

from smsp_provider.simulator.population.book import Answers, Book, Sent, address, usual
from smsp_provider.simulator.records import Span, SpineName

__all__ = ["write"]

_LOST: Final[Answers] = {"trace": "AE 1 ST004", "get_number": "DEMOG-0001", "by_search": "DEMOG-0001"}


def write(book: Book) -> None:
    """What counts as somebody's name today, and how it may be written."""
    _several(book)
    _periods(book)
    _missing(book)
    _spellings(book)


def _several(book: Book) -> None:
    book.theme = "Several names"
    for serial, family, use, what in (
        (401, "RAVENGLASSE", "A", "alias"),
        (402, "STAVELEYPARK", "PREFERRED", "preferred name"),
        (403, "TROUTBECKS", "PREVIOUS-MAIDEN", "maiden name that has not ended"),
    ):
        names = (usual(family, "ROSANNA", gender="2"), SpineName(use, "OTHERWISE", ("SUKEY",)))
        born = f"1988{serial - 400:02d}09"
        person = book.person(serial, family, "ROSANNA", "2", born, names=names)
        book.good(f"{what}: found by the usual name", person)
        book.good(f"{what}: found by it", person, sent={"family": "OTHERWISE", "given": "SUKEY"})
    both = (usual("ULPHABANK", "WALDO", gender="1", use="L PREFERRED"),)
    book.good("one name of two uses", book.person(404, "ULPHABANK", "WALDO", "1", "19790402", names=both))
    names = (usual("VICKERSTOWN", "ERASMUS", gender="1"), usual("WINSTERDALE", "ERASMUS", gender="1"))
    person = book.person(405, "VICKERSTOWN", "ERASMUS", "1", "19651017", names=names)
    book.good("two current usual names: the first is returned", person)


def _periods(book: Book) -> None:
    book.theme = "Names in time"
    ended = SpineName("PREVIOUS-BIRTH", "ALLITHWAITE", ("MEHITABEL",), period=Span("19700101", "19950630"))
    names = (usual("BLAWITHER", "MEHITABEL", gender="2", period=Span(low="19950701")), ended)
    person = book.person(411, "BLAWITHER", "MEHITABEL", "2", "19700101", names=names)
    book.good("birth name has ended: found by the usual name", person)
    book.good("birth name has ended: not found by it", person, sent={"family": "ALLITHWAITE"}, answers=_LOST)
    future = usual("COLTONHALL", "HORTENSE", gender="2", period=Span(low="29990101"))
    names = (future, usual("DALTONGATE", "HORTENSE", gender="2"))
    person = book.person(412, "DALTONGATE", "HORTENSE", "2", "19920520", names=names)
    asked: Sent = {"family": "DALTONGATE"}
    book.good("a future usual name comes first: found by today's", person, sent=asked)
    book.good("a future usual name: not found by it", person, sent={"family": "COLTONHALL"}, answers=_LOST)
    withdrawn = usual("EGTONBRIDGE", "PHINEAS", gender="1", held=Span("20100101120000", "20110304151617"))
    names = (withdrawn, usual("FLOOKBURGHER", "PHINEAS", gender="1", held=Span(low="20110304151617")))
    person = book.person(413, "FLOOKBURGHER", "PHINEAS", "1", "19670707", names=names, sends_history=True)
    asked = {"family": "FLOOKBURGHER"}
    book.good("PDS has withdrawn the first name, and still sends it", person, sent=asked)
    book.good("a withdrawn name: not found by it", person, sent={"family": "EGTONBRIDGE"}, answers=_LOST)
    ended = usual("GRIZEBECKE", "ZENOBIA", gender="2", period=Span("20010101", "20010101"))
    names = (ended, usual("HAVERTHWAITE", "ZENOBIA", gender="2", period=Span(low="2001")))
    person = book.person(414, "HAVERTHWAITE", "ZENOBIA", "2", "19830912", names=names, sends_history=True)
    book.good("a name opened and closed on one day, still sent", person, sent={"family": "HAVERTHWAITE"})


def _missing(book: Book) -> None:
    book.theme = "Names missing"
    names = (SpineName("A", "IRTONROAD", ("CALLIOPE",)),)
    person = book.person(421, None, "", "2", "19770306", names=names)
    sent: Sent = {"family": "IRTONROAD", "given": "CALLIOPE"}
    book.good("no usual name, only an alias", person, sent=sent)
    sent = {"family": "IRTONROAD", "given": "CALLIOPE", "date_of_birth": "19770307"}
    book.good(
        "no usual name: rule 2 has nothing to compare",
        person,
        sent=sent,
        answers=_LOST | {"verify": "DEMOG-0040", "by_number": "DEMOG-0040"},
    )
    person = book.person(422, None, "", "1", "19551115", names=())
    book.good("no name at all", person, sent={"family": "ANYBODY", "given": "ANDREW"}, answers=_LOST)
    person = book.person(423, "KIRKSANTON", "", "1", "20200229")
    book.good("no forename: a newborn", person)
    names = (usual("LINDALEY", "OTTILIE", "", gender="2"),)
    person = book.person(424, "LINDALEY", "OTTILIE", "2", "19950210", names=names)
    book.good("an empty second forename", person)
    names = (usual("", "MONAVALE", gender="2"),)
    person = book.person(425, "", "MONAVALE", "2", "19690808", names=names)
    sent = {"family": "BLANKETT", "given": "MONAVALE"}
    book.good("an empty surname", person, sent=sent, answers=_LOST)


def _spellings(book: Book) -> None:
    book.theme = "Spellings"
    for serial, family, given, gender, what in (
        (431, "O'NIBTHWAITE", "DECLAN", "1", "apostrophe"),
        (432, "PENNINGTON-RUSLAND", "MARIE-ROSE", "2", "hyphens"),
        (433, "VAN DER SATTERGARTH", "JOOST", "1", "blanks in the surname"),
        (434, "ZO\u00cbLLNER", "RAPHA\u00cbL", "1", "composed accents on the record"),
        (435, "Torverson", "Birgitta", "2", "mixed case on the record"),
        (436, "ULVERSTONEBECKERMONTHOLMESCALEBYTON", "GRISELDA", "2", "a surname of 35 characters"),
        (437, "\u0141UKOWSKI-\u00d8STERG\u00c5RD", "\u015aWI\u0118TOS\u0141AW", "1", "letters beyond Latin-1"),
        (438, "SMITH & WELLS <JOINT>", 'ANN "NAN"', "2", "characters that XML escapes"),
    ):
        person = book.person(
            serial, family, given, gender, f"19{serial - 370}0410", names=(usual(family, given, gender=gender),)
        )
        book.good(what, person)
    decomposed = "SE\u0301VERINGHAM"
    person = book.person(441, decomposed, "ANDRÉ", "1", "19710606")
    sent: Sent = {"family": "S\u00c9VERINGHAM", "given": "ANDR\u00c9"}
    book.good("decomposed accents on the record, composed ones sent", person, sent=sent)
    names = (usual("WALNEYSOUND", "MEI LIN", "GRACE", gender="2"),)
    person = book.person(442, "WALNEYSOUND", "MEI LIN", "2", "19840101", names=names)
    book.good("a forename of two words", person)
    book.good("a forename of two words: one is not enough for a trace", person, sent={"given": "MEI"}, answers=_LOST)
    names = (usual("YEALANDEN", "BRENDAN", "AIDAN", "COLM", "DERMOT", gender="1", suffix="JNR"),)
    book.good("four forenames and a suffix", book.person(443, "YEALANDEN", "BRENDAN", "1", "19900923", names=names))
    person = book.person(444, "U", "LI", "2", "20050505", addresses=(address(444),))
    short: Answers = {"verify": "SMSP-0001", "by_number": "SMSP-0001"}
    book.good("a surname of one letter: too short to be sent to a verification", person, answers=short)
