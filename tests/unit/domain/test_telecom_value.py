"""Which telecom values may stand in a response (the comparison with the schema is a property test)."""

import pytest

from smsp_provider.domain.telecom_value import is_schema_url


@pytest.mark.rule("SMSP-VAL-004", "SMSP-PDS-006")
@pytest.mark.parametrize(
    "value",
    [
        "tel:01130000000",
        "tel:0113 000 0000",
        "tel:+44(0)113-000/0000 ext. 5",
        "tel:",
        "mailto:orla@example.org",
        "mailto:zoë@example.org?subject=a b",
        "tel:0113%20000",
        "tel:#31#".replace("#31#", "*31#"),
        'tel:<"|\\^`{}>',
        " tel:1\n",
        "tel://host/path",
        "tel:1#a[b]",
    ],
)
def test_what_the_schema_takes(value: str) -> None:
    assert is_schema_url(value)


@pytest.mark.rule("SMSP-VAL-004")
@pytest.mark.parametrize(
    "value",
    [
        "",
        "01130000000",
        "TEL:1",
        "Tel:1",
        ":1",
        "1:1",
        "t.l:1",
        "tel:50%",
        "tel:%zz",
        "tel:%4",
        "tel:[1]",
        "tel:#31#",
        "tel://host:port",
        "tel:\x00",
        "tel:\ud800",
        "\u00a0tel:1",
    ],
)
def test_what_the_schema_refuses(value: str) -> None:
    assert not is_schema_url(value)
