"""The picture of throughput: well-formed, complete in itself, and true to the numbers."""

from datetime import UTC, date, datetime, timedelta

import pytest
from lxml import etree

from smsp_provider.audit.traffic import NOBODY, Traffic, hour_of
from smsp_provider.audit.traffic_report import Grouping, report
from smsp_provider.cli.traffic_chart import chart

FIRST = date(2026, 3, 1)
SVG = "{http://www.w3.org/2000/svg}"


def drawn(counts: dict[Traffic, int], days: int = 7, grouping: Grouping = Grouping.CLIENT) -> etree._Element:
    text = chart(report(counts, grouping), FIRST, FIRST + timedelta(days=days - 1), grouping)
    return etree.fromstring(text.encode())


def at(day: int, hour: int, client: str = "ward") -> Traffic:
    moment = datetime(FIRST.year, FIRST.month, FIRST.day, hour, tzinfo=UTC) + timedelta(days=day)
    return Traffic(hour_of(moment), "verifyNHSNumber-v1-0", client, "success")


def bars(picture: etree._Element) -> dict[str, float]:
    """What each bar says of itself, and its height."""
    found = {}
    for rect in picture.iter(f"{SVG}rect"):
        title = rect.find(f"{SVG}title")
        if title is not None:
            found[str(title.text)] = float(rect.get("height", ""))
    return found


def texts(picture: etree._Element) -> list[str]:
    return [str(element.text) for element in picture.iter(f"{SVG}text")]


@pytest.mark.rule("SMSP-PERF-002")
def test_days_and_busiest_hours_are_drawn_to_scale() -> None:
    found = bars(drawn({at(0, 9): 30, at(0, 10): 60, at(2, 9, "lab"): 45}))
    assert set(found) == {
        *("2026-03-01, ward: 90", "2026-03-03, lab: 45"),
        *("2026-03-01, 10:00 to 11:00: 60", "2026-03-03, 09:00 to 10:00: 45"),
    }
    assert found["2026-03-01, ward: 90"] == pytest.approx(2 * found["2026-03-03, lab: 45"], abs=0.2)


@pytest.mark.rule("SMSP-PERF-002")
def test_axes_and_legend_are_labelled_and_say_utc() -> None:
    shown = texts(drawn({at(0, 9): 90, at(2, 9, NOBODY): 45}))
    assert {"01 Mar", "07 Mar", "Requests a day, by client", "Requests in the busiest hour of the day"} <= set(shown)
    assert {"ward: 90", "not known: 45", "100", "0"} <= set(shown)
    assert any("UTC" in text and "135 requests" in text for text in shown)


def test_more_clients_than_colours_share_the_last_one() -> None:
    counts = {at(0, 9, f"client-{number}"): 100 - number for number in range(10)}
    shown = texts(drawn(counts))
    assert "others: 370" in shown
    assert sum(text.startswith("client-") for text in shown) == 6


@pytest.mark.parametrize("days", [1, 7, 90, 400])
def test_any_period_is_drawn_inside_of_the_picture(days: int) -> None:
    picture = drawn({at(0, 0): 7, at(days - 1, 23): 12_345_678}, days)
    width, height = float(picture.get("width", "")), float(picture.get("height", ""))
    for rect in picture.iter(f"{SVG}rect"):
        x, y = float(rect.get("x", "0")), float(rect.get("y", "0"))
        assert x >= 0
        assert y >= 0
        assert x + float(rect.get("width", "")) <= width
        assert y + float(rect.get("height", "")) <= height


def test_without_any_request_there_are_axes_and_no_bar() -> None:
    picture = drawn({})
    assert bars(picture) == {}
    assert "01 Mar" in texts(picture)


def test_it_needs_nothing_else_and_runs_nothing() -> None:
    hostile = '<script>alert(1)</script>"&'
    text = chart(report({at(0, 9, hostile): 3}, Grouping.CLIENT), FIRST, FIRST, Grouping.CLIENT)
    picture = etree.fromstring(text.encode())
    assert [element for element in picture.iter() if etree.QName(element).localname in ("script", "image", "use")] == []
    assert text.count("http") == 1, "the name of the format alone"
    assert f"{hostile}: 3" in texts(picture)
