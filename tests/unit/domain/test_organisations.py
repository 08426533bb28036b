import pytest

from smsp_provider.domain.audit_identity import AccessMethod, Caller
from smsp_provider.domain.faults import ErrorCode, ToolkitFault
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.organisations import ASIDDirectory

ONE, OTHER, DEFAULT, FOREIGN = (ASID(f"20000000000{n}") for n in range(4))
MAP = {ODSCode("A1001"): ONE, ODSCode("B2002"): OTHER}


def caller(ods_code: str | None, named: ASID | None = None) -> Caller:
    return Caller(AccessMethod.UNATTENDED, None if ods_code is None else ODSCode(ods_code), named, None)


@pytest.mark.rule("SMSP-IG-003")
def test_an_organisation_asks_with_its_own_asid_whatever_the_case_of_its_code() -> None:
    assert ASIDDirectory(MAP).asid_for(caller("a1001")) == ONE
    assert ASIDDirectory(MAP, DEFAULT).asid_for(caller("b2002", OTHER)) == OTHER


@pytest.mark.rule("SMSP-IG-003")
@pytest.mark.parametrize(
    ("ods_code", "named", "default"),
    [
        ("C3003", None, None),
        (None, FOREIGN, None),
        (None, FOREIGN, DEFAULT),
        ("A1001", OTHER, None),
        ("A1001", OTHER, DEFAULT),
        ("C3003", ONE, None),
        ("C3003", DEFAULT, DEFAULT),
    ],
    ids=[
        "no entry and no default",
        "an asid nobody has",
        "an asid nobody has, beside a default",
        "another organisation's asid",
        "another organisation's asid, beside a default",
        "a known asid for an organisation without entry",
        "the default named as if it were registered",
    ],
)
def test_an_asid_that_is_not_the_organisations_is_access_denied(
    ods_code: str | None, named: ASID | None, default: ASID | None
) -> None:
    with pytest.raises(ToolkitFault) as refused:
        ASIDDirectory(MAP, default).asid_for(caller(ods_code, named))
    assert refused.value.error_code is ErrorCode.ACCESS_DENIED


@pytest.mark.rule("SMSP-IG-003")
def test_only_an_asid_identifies_the_organisation_that_has_it() -> None:
    assert ASIDDirectory(MAP).asid_for(caller(None, ONE)) == ONE


@pytest.mark.rule("SMSP-IG-003")
def test_the_organisation_of_an_asid_is_told_where_it_is_the_only_one() -> None:
    directory = ASIDDirectory(MAP | {ODSCode("C3003"): OTHER}, DEFAULT)
    assert directory.organisation_of(caller(None, ONE)) == ODSCode("A1001")
    assert directory.organisation_of(caller(None, OTHER)) is None
    assert directory.organisation_of(caller(None, DEFAULT)) is None
    assert directory.organisation_of(caller(None, FOREIGN)) is None
    assert directory.organisation_of(caller("b2002", OTHER)) == ODSCode("B2002")
    assert directory.organisation_of(caller("D4004")) == ODSCode("D4004")


def test_a_default_serves_organisations_without_an_entry() -> None:
    directory = ASIDDirectory(MAP, DEFAULT)
    assert directory.asid_for(caller("C3003")) == DEFAULT
    assert directory.asid_for(caller("C3003", ONE)) == ONE
