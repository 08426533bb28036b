"""The sandbox over PDS FHIR: the same five answers as over HL7 V3, in real processes."""

import re
from pathlib import Path

from sandbox_process import any_ports, run_smsp


def test_the_five_answers_are_those_of_hl7_v3(tmp_path: Path) -> None:
    runs = {
        way: run_smsp("sandbox", "--once", *any_ports(), "--upstream", way, "--state", tmp_path / way)
        for way in ("hl7v3", "pds-fhir")
    }
    said = {}
    for way, done in runs.items():
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        said[way] = re.sub(r"\([0-9]+ ms\)", "", done.stdout.partition("1. verifyNHSNumber")[2])
    assert said["hl7v3"] == said["pds-fhir"]
    assert said["pds-fhir"].count("SMSP-0000 Success: ") == 5
    assert 'kind = "pds-fhir"' in (tmp_path / "pds-fhir" / "provider.toml").read_text()
