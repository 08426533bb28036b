"""`smsp call` before anything is sent: what its command line refuses."""

import pytest

from command_line import run_main

CALL = ("call", "verifyNHSNumber", "--url", "http://127.0.0.1:1/smsp/pds", "--packaged-wsdl")


@pytest.mark.parametrize("seconds", ["inf", "-inf", "nan", "1e300", "0", "3601"])
def test_a_time_that_cannot_be_waited_for_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    done = run_main(monkeypatch, capsys, *CALL, f"--timeout={seconds}")
    assert done.code == 2
    assert "--timeout" in done.err


@pytest.mark.parametrize("option", ["--ods", "--asid", "--username", "--family", "--postcode", "--local-id"])
@pytest.mark.parametrize("value", ["\x02", "\udcff"], ids=["control", "no UTF-8"])
def test_a_value_that_xml_cannot_carry_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    done = run_main(monkeypatch, capsys, *CALL, option, value)
    assert done.code == 2
    assert "a character that XML cannot carry" in done.err


def test_an_hour_can_be_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, capsys, *CALL, "--timeout", "3600").code == 5
