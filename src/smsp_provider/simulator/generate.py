"""Generated patients: many, alike a real population in their distributions, and the same for the same seed.

Family names follow a long-tailed distribution (a few are very common), ages that of a country, and numbers run through
a block of their own. Watermarked patients carry their position in every field, so that any field in a wrong answer
tells whose it is.
"""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import accumulate
from typing import Final

from smsp_provider.simulator.numbers import GENERATED, WATERMARKED, number_at
from smsp_provider.simulator.records import (
    Span,
    SpineAddress,
    SpineName,
    SpinePatient,
    SpinePractice,
    SpineTelecom,
)

__all__ = ["generate", "watermarked"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_BEGINNINGS: Final = _words(
    "ASH BECK BRAN BROOK CAR CHAD COLD CRAN DAL DUN EAST ELM FAIR FEN GAR GRAY HAL HAR HOL HURST KEL KIRK LANG LIN "
    "LOCK MAR MEL MID NETH NEW NOR OAK OTTER PEN PICK RAD RAV RED ROTH SAND SEL SHAW SKEL STAN STOCK SUT THORN TILL "
    "UL UND WAL WEST WHIT WIN WOOD WRAY YAR YEW "
)
_ENDINGS: Final = _words(
    "BANK BECK BERRY BOURNE BRIDGE BURY BY COMBE COTE CROFT DALE DEN FELL FIELD FORD GATE GILL GROVE HAM HOLME HOPE "
    "HURST INGTON LAND LEIGH LEY MERE MOOR OVER RIDGE SHAW SIDE STEAD STOKE STONE STOW THORPE THWAITE TON TREE "
    "WAITE WELL WICK WITH WOLD WOOD WORTH "
)
_FEMALE: Final = _words(
    "ADA AGNES ALICE ANNA AUDREY BEATRICE BRIDGET CARA CELIA CLARA CORA DAISY DIANA DORA EDITH ELISE EMMA ESTHER "
    "EVE FAYE FLORA FREDA GRACE GRETA HANNAH HAZEL HELEN IDA INGRID IRIS IVY JANE JOAN JUDITH JUNE KAREN KATE LENA "
    "LILY LOIS LUCY MABEL MARIA MAVIS MAY MONA NANCY NELL NORA OLIVE PAULA PEARL POLLY RHODA RITA ROSE RUTH SALLY "
    "SARAH STELLA TESS THEA UNA URSULA VERA VIOLA WENDY WILMA YVONNE ZARA ZOE "
)
_MALE: Final = _words(
    "ADAM ALAN ALBERT ANDREW ARTHUR BASIL BRIAN BRUCE CALVIN CARL CECIL COLIN CYRIL DAVID DENIS DUNCAN EDGAR EDWIN "
    "ERIC EWAN FELIX FRANK FREDERICK GARETH GEORGE GILES GRAHAM GUY HAROLD HENRY HUGH IAN IVAN JACK JAMES JOHN "
    "JOSEPH KEITH KENNETH KEVIN LEON LEWIS LIONEL LUKE MARTIN MAX MILES NEIL NIGEL NOEL OLIVER OSCAR OWEN PAUL "
    "PETER PHILIP RALPH REX ROBERT ROGER RORY RUPERT SAMUEL SIDNEY SIMON STANLEY STUART THOMAS TREVOR VICTOR WALTER "
    "WILFRED "
)
_TOWNS: Final = ("UPPER WENLOW", "MARSKBY", "CALDERHOLT", "EASTHWAITE", "BRINDLEFORD", "SKELDON FEN", "PORT ARRAN")
_STREETS: Final = ("CINDERPATH LANE", "OTTERHAW ROAD", "FALLOWGATE", "MILLRACE WALK", "THORNYBANK", "LARKHAM RISE")
_LETTERS: Final = "ABDEFGHJLNPQRSTUWXYZ"
_FAMILIES: Final = [beginning + ending for ending in _ENDINGS for beginning in _BEGINNINGS]
_BLOCK: Final = 10_000
_MOST: Final = 8_000_000
_YOUNGEST: Final = date(2024, 12, 31).toordinal()
_OLDEST_YEARS: Final = 104
_PERIOD: Final = Span(low="20150401")


def generate(count: int, seed: int = 1) -> Iterator[SpinePatient]:
    """``count`` patients, always the same for a seed; numbers begin at the generated block.

    Raises:
        ValueError: more patients than the block has numbers.
    """
    if count > _MOST:
        raise ValueError("a block has numbers for eight million patients")
    chance = random.Random(seed)  # noqa: S311 - a repeatable population, not a secret
    # The rank of a name against how many bear it: close to one over the rank, as surnames are.
    families = list(_FAMILIES)
    chance.shuffle(families)
    weights = list(accumulate(1 / (rank + 8) for rank in range(len(families))))
    ages = list(accumulate(1.0 if age < 60 else max(0.02, 1 - (age - 60) / 42) for age in range(_OLDEST_YEARS)))
    for start in range(0, count, _BLOCK):
        # Always drawn for a whole block, so that a smaller population is the beginning of a larger one.
        chosen = chance.choices(families, cum_weights=weights, k=_BLOCK)
        years = chance.choices(range(_OLDEST_YEARS), cum_weights=ages, k=_BLOCK)
        for offset in range(min(_BLOCK, count - start)):
            yield _person(start + offset, chosen[offset], years[offset], chance)


def _person(position: int, family: str, age: int, chance: random.Random) -> SpinePatient:
    draw = chance.getrandbits(64)
    female = draw & 1 == 0
    names = _FEMALE if female else _MALE
    given = names[(draw >> 1) % len(names)]
    second = names[(draw >> 8) % len(names)]
    born = date.fromordinal(_YOUNGEST - age * 365 - (draw >> 16) % 365)
    place = draw >> 32
    return SpinePatient(
        number_at(GENERATED, position),
        names=(SpineName("L", family, (given, second) if draw >> 15 & 1 else (given,), "MS" if female else "MR"),),
        gender="2" if female else "1",
        birth_time=f"{born:%Y%m%d}",
        addresses=(
            SpineAddress(
                "H",
                ("", f"{place % 180 + 1} {_STREETS[place % 6]}", "", _TOWNS[place % 7], ""),
                postcode=f"ZZ{place % 90 + 10} {place % 10}{_LETTERS[place // 10 % 20]}{_LETTERS[place // 200 % 20]}",
                period=_PERIOD,
            ),
        ),
        telecoms=(SpineTelecom("H", f"tel:01632{place % 1_000_000:06d}"),),
        practices=(SpinePractice(f"Z8{place % 8000:04d}", period=_PERIOD),),
    )


_WATERMARK_BIRTH: Final = date(1901, 1, 1)
_WATERMARK_DAYS: Final = 44_000


def watermarked(position: int) -> SpinePatient:
    """A patient of whom every field carries ``position`` (0 to 4,999,999), in seven digits where there is room.

    The date of birth is ``position`` days (modulo 44,000) after the first of January 1901; the gender is 1 for even
    positions and 2 for odd ones.
    """
    mark = f"{position:07d}"
    return SpinePatient(
        number_at(WATERMARKED, position),
        names=(SpineName("L", f"FAMILY{mark}", (f"GIVEN{mark}", f"SECOND{mark}"), f"T{mark}"),),
        gender=str(position % 2 + 1),
        birth_time=f"{_WATERMARK_BIRTH + timedelta(days=position % _WATERMARK_DAYS):%Y%m%d}",
        addresses=tuple(
            SpineAddress(
                use, tuple(f"{use} LINE {line} {mark}" for line in range(1, 6)), postcode=f"{mark[:4]} {mark[4:]}"
            )
            for use in ("H", "TMP", "PST")
        ),
        telecoms=(
            SpineTelecom("H", f"tel:0{mark}1"),
            SpineTelecom("MC", f"tel:0{mark}2"),
            SpineTelecom("H", f"mailto:p{mark}@example.invalid"),
        ),
        practices=(SpinePractice(f"W{mark}"),),
        serial_change_number=position + 1,
    )
