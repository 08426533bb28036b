"""The reference page of the harness: its tables are made from the data."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smsp_provider.conformance.datafiles import data_tables
from smsp_provider.conformance.expectations import Judge
from smsp_provider.conformance.mutations import OPERATIONS
from smsp_provider.conformance.scripts import read_script
from smsp_provider.xmlcore.schemas import Schemas

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "conformance.md"
MARK = (
    "<!-- from here on made from the simulator's rules and the cases: "
    "UPDATE_DOCS=1 pytest tests/unit/conformance/test_page.py -->\n"
)
TITLES = {
    "sm_1_services": "The services",
    "sm_2_fields": "Fields that break a rule",
    "sm_3_spine": "When Spine does not answer well",
    "de_envelope": "The distribution envelope",
    "so_soap": "SOAP, addressing and security",
    "er_errors": "HTTP, XML and the form of faults",
}


def cell(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")


def made() -> str:
    return "\n".join([*triggers(), *cases()])


def triggers() -> Iterator[str]:
    yield "\n| NHS number | date of birth | what it is for | answer |\n|---|---|---|---|"
    for rule in read_script().rules:
        number, born = sorted(rule.triggers, key=len, reverse=True) if rule.triggers else ("any other", "any other")
        answer = rule.code or f"fault {rule.fault[1] or rule.fault[0]}" if rule.fault else rule.code
        more = "".join((f", {rule.how}" if rule.how else "", f", after {rule.seconds:g} s" if rule.seconds else ""))
        yield f"| {number} | {born} | {cell(rule.purpose)} | {answer}{more} |"


def cases() -> Iterator[str]:
    files = dict(data_tables("cases"))
    yield "\n## The cases\n"
    yield "`{S}` stands for each of the services named: VER, GET, GETPDNHS, GETPDSRCH, GETPD.\n"
    for name, title in TITLES.items():
        tables = files[f"{name}.toml"]
        yield f"### {title}\n\n| case | services | purpose | expected | requirements |\n|---|---|---|---|---|"
        for row in tables["case"]:
            yield line({**tables.get("defaults", {}), **row})
        yield ""


def line(case: dict[str, Any]) -> str:
    services = case.get("services", [case.get("service", "")]) if "service" not in case else [case["service"]]
    code = case.get("code", "")
    expected = ", ".join(sorted(set(code.values()))) if isinstance(code, dict) else code
    if not expected:
        expect = case["expect"] if isinstance(case["expect"], str) else ", ".join(case["expect"])
        error = case.get("error", "") if "fault" in expect or expect in ("too-large", "wrong-media-type") else ""
        expected = f"{expect} {error}".strip()
    cells = (case["id"], " ".join(services), case["purpose"], expected, " ".join(case["requirements"]))
    return f"| {' | '.join(cell(text) for text in cells)} |"


def test_the_tables_of_the_page_are_those_of_the_data() -> None:
    written, mark, table = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark, "the page has lost its mark"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(written + MARK + made(), encoding="utf-8")
        return
    assert table == made(), "stale: run UPDATE_DOCS=1 pytest tests/unit/conformance/test_page.py"


def test_the_page_names_every_step_and_every_capability() -> None:
    written = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    for operation in OPERATIONS:
        assert f"`{operation}`" in written, operation
    needs = {
        need.removeprefix("not-")
        for _, tables in data_tables("cases")
        for case in tables["case"]
        for need in case.get("needs", ())
    }
    for need in needs - {"signing-key"}:
        assert f"`{need}`" in written, need


def test_the_page_names_every_group_of_expectations_that_cases_use() -> None:
    written = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    used = set()
    for _, tables in data_tables("cases"):
        for case in tables["case"]:
            expect = {**tables.get("defaults", {}), **case}["expect"]
            used |= {expect} if isinstance(expect, str) else set(expect)
    for name in used - set(Judge(Schemas()).checks):
        assert f"`{name}`" in written, name
