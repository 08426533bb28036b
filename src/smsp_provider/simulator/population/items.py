"""Addresses, telecoms and practices: several of a kind, out of time, incomplete, odd."""

from typing import Final

from smsp_provider.simulator.population.book import Answers, Book, Sent, address, telecom
from smsp_provider.simulator.records import Span, SpinePractice, SpineTelecom

__all__ = ["write"]

_LOST: Final[Answers] = {"trace": "AE 1 ST004", "get_number": "DEMOG-0001", "by_search": "DEMOG-0001"}


def write(book: Book) -> None:
    """One person for everything an item can be."""
    _addresses(book)
    _searched_addresses(book)
    _telecoms(book)
    _practices(book)


def _addresses(book: Book) -> None:
    book.theme = "Addresses"
    home, other = address(501), address(601)
    for serial, family, given, gender, addresses, what in (
        (501, "ARNSIDEY", "LUCIAN", "1", (home, address(602, use="TMP"), address(603, use="PST")), "all three kinds"),
        (502, "BEETHAMLEY", "THOMASINA", "2", (address(502), other), "two current home addresses: the first counts"),
        (
            503,
            "CARTMELLON",
            "ROMULUS",
            "1",
            (address(503), address(604, use="TMP"), address(605, use="TMP")),
            "two temporary",
        ),
        (
            504,
            "DRIGGSBY",
            "ARIADNE",
            "2",
            (address(504), address(606, use="PST"), address(607, use="PST")),
            "two correspondence",
        ),
        (505, "EAMONTBY", "CYPRIAN", "1", (address(505, lines=("14 OLDGATE", "MARSKBY")),), "old data with two lines"),
        (506, "FARLETONE", "EULALIA", "2", (address(506, lines=()),), "a postcode and no lines"),
        (507, "GARSTANGLE", "HECTORIN", "1", (), "no address at all"),
        (508, "HESKETHEN", "MELISANDE", "2", (address(508, postcode=None),), "no postcode"),
        (509, "IREDALESON", "LAMBERT", "1", (address(509, use="BAD"),), "only an address marked as bad"),
        (
            510,
            "JULIANBOWER",
            "PARTHENIA",
            "2",
            (address(510, address_key="20177001", description="MAIN"),),
            "key and description",
        ),
        (511, "KELBRICKE", "SOLOMON", "1", (address(511, postcode="ZZ811AA"),), "a postcode without a blank"),
    ):
        person = book.person(serial, family, given, gender, f"19{serial - 440}1122", addresses=addresses)
        sent: Sent = {"postcode": None} if serial == 511 else {}
        book.good(what, person, sent=sent)


def _searched_addresses(book: Book) -> None:
    book.theme = "Searching by address"
    today, temporary = address(521), address(611, use="TMP")
    person = book.person(521, "LOWICKBAR", "SUSANNAH", "2", "19800117", addresses=(today, temporary))
    book.good("found by the postcode of a temporary address", person, sent={"postcode": temporary.postcode})
    ended = address(612, period=Span("20000101", "20091231"))
    person = book.person(
        522, "MILLTHROPPE", "VALENTINE", "1", "19690214", addresses=(ended, address(522)), sends_history=True
    )
    book.good("an ended home address comes first and is sent", person, sent={"postcode": address(522).postcode})
    book.good("not found by the postcode of an ended address", person, sent={"postcode": ended.postcode}, answers=_LOST)
    future = address(613, period=Span(low="29990101"))
    person = book.person(523, "NATLANDER", "WILHELMINA", "2", "19990604", addresses=(future, address(523)))
    book.good("a future home address comes first", person, sent={"postcode": address(523).postcode})
    book.good(
        "not found by the postcode of a future address", person, sent={"postcode": future.postcode}, answers=_LOST
    )
    withdrawn = address(614, held=Span("20100101000000", "20120101000000"))
    person = book.person(
        524, "OLDHUTTON", "MARMADUKE", "1", "19481019", addresses=(withdrawn, address(524)), sends_history=True
    )
    book.good("a withdrawn home address comes first and is sent", person, sent={"postcode": address(524).postcode})
    book.good(
        "not found by the postcode of a withdrawn address", person, sent={"postcode": withdrawn.postcode}, answers=_LOST
    )
    ended = address(615, use="TMP", period=Span("20230101", "20230131"))
    person = book.person(
        525, "PRESTONPATE", "ISABEAU", "2", "19870330", addresses=(address(525), ended), sends_history=True
    )
    book.good("a temporary address that has ended, still sent", person)


def _telecoms(book: Book) -> None:
    book.theme = "Telecoms"
    ended, withdrawn = Span("20100101", "20150101"), Span("20100101120000", "20150101120000")
    for serial, family, given, gender, telecoms, what in (
        (531, "QUERNMORELY", "THEOBALD", "1", (telecom("tel:"),), "a scheme and no number"),
        (
            532,
            "RUSLANDPOOL",
            "ANASTASIA",
            "2",
            (telecom("fax:01632960532"), telecom("textphone:01632960533")),
            "fax and textphone",
        ),
        (
            533,
            "SEDGWICKEN",
            "EMERIC",
            "1",
            (telecom("mailto:emeric@example.invalid"), telecom("mailto:work@example.invalid", "WP")),
            "mail for home and work",
        ),
        (
            534,
            "TUNSTALLGILL",
            "JOSEPHA",
            "2",
            (telecom("tel:01632960534", "EC"), telecom("tel:01632960535", "WP")),
            "emergency and work only",
        ),
        (
            535,
            "URSWICKTARN",
            "LAZARUS",
            "1",
            (telecom("tel:01632960536", period=ended), telecom("tel:01632960537")),
            "the first has ended",
        ),
        (
            536,
            "WHASSETTER",
            "CRESSIDA",
            "2",
            (telecom("tel:01632960538", held=withdrawn), telecom("tel:01632960539", "HP")),
            "the first was withdrawn",
        ),
        (537, "YEWBARROWE", "ABSALOM", "1", (), "none"),
        (
            538,
            "ASKRIGGSON",
            "DULCIBELLA",
            "2",
            tuple(telecom(f"tel:016329605{n:02d}", "HP") for n in range(40, 46)),
            "six at home",
        ),
        (
            539,
            "BURTONLEA",
            "CADMUS",
            "1",
            (telecom("tel: "), telecom("tel:01632 960546")),
            "blanks (breaks Spine's own schema)",
        ),
        (
            540,
            "CROSBYGARRET",
            "JOCASTA",
            "2",
            (SpineTelecom("H", "01632960547"),),
            "no scheme (breaks Spine's own schema)",
        ),
    ):
        person = book.person(
            serial, family, given, gender, f"19{serial - 450}0718", telecoms=telecoms, sends_history=True
        )
        book.good(what, person)


def _practices(book: Book) -> None:
    book.theme = "Practices"
    ended, future = Span("20100101", "20150101"), Span(low="29990101")
    pharmacy = SpinePractice("FZ999", kind="P1")
    for serial, family, given, gender, practices, what in (
        (551, "DENTDALER", "BARTHOLOMEW", "1", (), "not registered anywhere"),
        (552, "EAGLESHOLM", "FLAVIA", "2", (pharmacy, SpinePractice("Z90552")), "a pharmacy comes first"),
        (553, "FIRBANKER", "HILARION", "1", (pharmacy,), "only a pharmacy"),
        (554, "GRAYRIGGE", "ANTONINA", "2", (SpinePractice("Z90553", period=ended),), "has left the practice"),
        (
            555,
            "HUTTONROOF",
            "CONRADIN",
            "1",
            (SpinePractice("Z90554", period=future), SpinePractice("Z90555")),
            "the next practice comes first",
        ),
        (
            556,
            "INSKIPLEY",
            "PAMELINA",
            "2",
            (SpinePractice("Z90556"), SpinePractice("Z90557")),
            "two current: the first counts",
        ),
        (
            557,
            "KILLINGTONE",
            "NICODEMUS",
            "1",
            (SpinePractice("Z90558", held=Span("20100101", "20150101")), SpinePractice("Z90559")),
            "the first was withdrawn",
        ),
    ):
        person = book.person(
            serial, family, given, gender, f"19{serial - 480}0825", practices=practices, sends_history=True
        )
        book.good(what, person)
