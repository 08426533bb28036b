"""NHS numbers in free text are masked, and nothing else is."""

import pytest

from smsp_provider.domain.nhs_number_text import without_nhs_numbers

pytestmark = pytest.mark.rule("IFC-LOG-02")

_CASES = {
    "grouped by blanks": ("order of 999 000 0018, sealed", "order of [masked], sealed"),
    "grouped by strokes and points": ("999-000-0018 and 999.000.0018", "[masked] and [masked]"),
    "without groups": ("9990000018", "[masked]"),
    "a wrong check digit": ("9990000019", "9990000019"),
    "eleven digits": ("99900000182", "99900000182"),
    "within a UUID": ("0BADF00D-9990-4000-8018-999000001800", "0BADF00D-9990-4000-8018-999000001800"),
}


@pytest.mark.parametrize(("text", "masked"), _CASES.values(), ids=_CASES)
def test_a_number_is_masked_however_it_is_grouped(text: str, masked: str) -> None:
    assert without_nhs_numbers(text) == masked
