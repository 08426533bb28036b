"""The fault plan: what is read, what is refused, and which call gets which fault."""

import json
from pathlib import Path
from typing import Any

import pytest

from smsp_provider.simulator.faults import Fault, FaultKind, FaultPlan, InvalidFault

CUT = Fault(FaultKind.CUT)
DELAY = Fault(FaultKind.DELAY, seconds=2)
ANY = "QUPA_IN000005UK01"


def test_single_shots_are_used_up_in_order() -> None:
    plan = FaultPlan()
    plan.once(CUT, times=2)
    plan.once(DELAY)
    assert [plan.take(ANY) for _ in range(4)] == [CUT, CUT, DELAY, None]


def test_a_shot_waits_for_the_query_it_is_meant_for() -> None:
    plan = FaultPlan()
    aimed = Fault(FaultKind.HTML, interaction="QUPA_IN000008UK02")
    plan.once(aimed)
    plan.once(CUT)
    assert [plan.take(ANY), plan.take(ANY), plan.take("QUPA_IN000008UK02")] == [CUT, None, aimed]


def test_every_nth_call_goes_wrong() -> None:
    plan = FaultPlan()
    plan.every(3, CUT)
    assert [plan.take(ANY) is CUT for _ in range(7)] == [False, False, True, False, False, True, False]


def test_a_drop_before_reading_is_taken_before_reading_only() -> None:
    plan = FaultPlan()
    drop = Fault(FaultKind.DROP_BEFORE_READING)
    plan.once(drop)
    assert plan.take(ANY) is None
    assert [plan.take_before_reading(), plan.take_before_reading()] == [True, False]
    plan.every(2, drop)
    assert [plan.take_before_reading() for _ in range(4)] == [False, True, False, True]
    with pytest.raises(InvalidFault):
        plan.for_patient("9990000018", drop)


def test_clearing_forgets_everything() -> None:
    plan = FaultPlan()
    plan.once(CUT)
    plan.every(1, CUT)
    plan.for_patient("9990000018", CUT)
    plan.clear()
    assert (plan.take(ANY), plan.of_patient("9990000018")) == (None, None)
    assert plan.describe() == {"once": [], "every": [], "patient": []}


PLAN: dict[str, Any] = {
    "once": [{"kind": "soap-fault", "codes": ["200", "206"]}, {"kind": "http-status", "status": 503}],
    "every": [{"n": 5, "kind": "delay", "seconds": 0.5}],
    "patient": [{"of": "9990000018", "kind": "wrong-patient", "nhs_number": "9990000026", "interaction": ANY}],
}


def test_a_plan_is_described_as_it_was_given() -> None:
    plan = FaultPlan()
    plan.apply(PLAN)
    assert plan.describe() == PLAN
    shot = plan.take(ANY)
    assert shot is not None
    assert (shot.error_codes, shot.http_status) == (("200", "206"), 500)
    of_patient = plan.of_patient("9990000018")
    assert of_patient is not None
    assert of_patient.nhs_number == "9990000026"


def test_a_file_may_be_toml_or_json(tmp_path: Path) -> None:
    for name, text in (
        ("faults.json", json.dumps({"once": [{"kind": "cut"}]})),
        ("faults.toml", '[[once]]\nkind = "cut"\n'),
    ):
        path = tmp_path / name
        path.write_text(text)
        plan = FaultPlan()
        plan.load(path)
        assert plan.take(ANY) == CUT


@pytest.mark.parametrize(
    "described",
    [
        {"twice": []},
        {"once": {}},
        {"once": ["cut"]},
        {"once": [{}]},
        {"once": [{"kind": "cut", "sekonds": 1}]},
        {"once": [{"kind": "nothing"}]},
        {"once": [{"kind": "delay", "seconds": -1}]},
        {"once": [{"kind": "delay", "seconds": "1"}]},
        {"once": [{"kind": "delay", "seconds": True}]},
        {"once": [{"kind": "delay", "seconds": float("inf")}]},
        {"once": [{"kind": "delay", "seconds": float("nan")}]},
        {"once": [{"kind": "delay", "seconds": 10**400}]},
        {"once": [{"kind": "delay", "seconds": 3601}]},
        {"once": [{"kind": "html", "status": 99}]},
        {"once": [{"kind": "html", "status": 10**400}]},
        {"once": [{"kind": "refusal", "codes": [["1"]]}]},
        {"once": [{"kind": "refusal", "codes": [10**5000]}]},
        {"every": [{"n": 10**5000, "kind": "cut"}]},
        {"patient": [{"of": "\ud800", "kind": "cut"}]},
        {"once": [{"kind": "html", "status": "200"}]},
        {"once": [{"kind": "refusal", "codes": "1"}]},
        {"once": [{"kind": "refusal", "interaction": 5}]},
        {"every": [{"kind": "cut"}]},
        {"every": [{"n": 0, "kind": "cut"}]},
        {"every": [{"n": True, "kind": "cut"}]},
        {"patient": [{"kind": "cut"}]},
        {"patient": [{"of": "9990000018", "kind": "drop-before-reading"}]},
    ],
)
def test_what_is_not_understood_is_refused_as_a_whole(described: dict[str, Any]) -> None:
    plan = FaultPlan()
    with pytest.raises(InvalidFault):
        plan.apply({"once": [{"kind": "cut"}]} | described)
    assert plan.take(ANY) is None


@pytest.mark.parametrize(("name", "text"), [("a.toml", "]"), ("a.json", "{"), ("a.json", "[]")])
def test_an_unreadable_file_is_refused(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidFault):
        FaultPlan().load(path)


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x = " + b"[" * 50_000, b'{"once": ' + b"[" * 100_000])
def test_a_binary_or_deep_file_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"faults{suffix}"
    path.write_bytes(content)
    with pytest.raises(InvalidFault):
        FaultPlan().load(path)


def test_every_n_must_be_a_number_of_calls() -> None:
    with pytest.raises(InvalidFault):
        FaultPlan().every(0, CUT)
