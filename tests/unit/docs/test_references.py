"""What the documents point to is there: tests by file and function, other documents by their links."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]


@pytest.mark.rule("SMSP-SEC-003")
def test_every_threat_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "explanation" / "threat-model.md").read_text()
    named = re.findall(r"`(tests/[a-z0-9_/]+\.py)::([a-z0-9_]+)`", text)
    assert len(named) >= 25
    gone = [f"{file}::{name}" for file, name in named if not defines(ROOT / file, name)]
    assert gone == []
    threats = text.partition("\n## Threats\n")[2].partition("\n## ")[0].splitlines()
    rows = [line for line in threats if line.startswith("|") and not line.startswith(("| threat", "|---"))]
    assert len(rows) >= 25
    assert [row for row in rows if "`tests/" not in row] == []


def defines(file: Path, name: str) -> bool:
    return file.exists() and f"def {name}(" in file.read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (document.parent / target).exists()] == []
