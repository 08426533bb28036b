import pytest

from smsp_provider.domain.audit_identity import AccessMethod, AuditId, AuthorRefused, Caller, SpineAuthor, recognise
from smsp_provider.domain.identifiers import ASID, OID, ODSCode
from smsp_provider.domain.requests import InputInvalid

ORGANISATION = AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:ods:Z99")
PERSON = AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:ods:Z99:ward7:someone")
NAMED_ASID = AuditId(OID.ASID, "999999999999")
ROLE_PROFILE = AuditId(OID.ROLE_PROFILE, "111111111111")
USER = AuditId(OID.USER, "222222222222")
ROLE = AuditId(OID.ROLE, "S0080:G0450:R5080")
TOKEN = AuditId(OID.SSO_TOKEN, "invented-session")
SMARTCARD = (ROLE_PROFILE, USER, ROLE)


@pytest.mark.rule("SMSP-AUDIT-002", "SMSP-IG-003")
def test_an_itk_identity_without_local_tokens_is_unattended_access() -> None:
    assert recognise((ORGANISATION,)) == Caller(AccessMethod.UNATTENDED, ODSCode("Z99"), None, None)


@pytest.mark.rule("SMSP-IG-003")
def test_an_asid_alone_is_unattended_access() -> None:
    assert recognise((NAMED_ASID,)) == Caller(AccessMethod.UNATTENDED, None, ASID("999999999999"), None)


def test_local_tokens_after_the_organisation_are_attended_access() -> None:
    assert recognise((PERSON,)) == Caller(AccessMethod.ATTENDED, ODSCode("Z99"), None, None)


def test_blank_tokens_after_the_organisation_identify_nobody() -> None:
    for uri in ("urn:nhs-uk:identity:ods:Z99:", "urn:nhs-uk:identity:ods:Z99: : "):
        assert recognise((AuditId(OID.ITK_IDENTITY, uri),)).method is AccessMethod.UNATTENDED


@pytest.mark.rule("SMSP-AUDIT-002", "SMSP-AUDIT-003")
def test_all_three_smartcard_ids_beside_an_organisation_are_smartcard_access() -> None:
    author = SpineAuthor("111111111111", "222222222222", "S0080:G0450:R5080")
    for organisation in (ORGANISATION, PERSON):
        assert recognise((organisation, *SMARTCARD)) == Caller(AccessMethod.SMARTCARD, ODSCode("Z99"), None, author)
    assert recognise((NAMED_ASID, *SMARTCARD)) == Caller(AccessMethod.SMARTCARD, None, ASID("999999999999"), author)


def test_an_asid_beside_other_ids_is_named_and_changes_no_method() -> None:
    for ids, method in (
        ((ORGANISATION,), AccessMethod.UNATTENDED),
        ((PERSON,), AccessMethod.ATTENDED),
        ((ORGANISATION, *SMARTCARD), AccessMethod.SMARTCARD),
    ):
        caller = recognise((*ids, NAMED_ASID))
        assert caller.method is method
        assert caller.ods_code == ODSCode("Z99")
        assert caller.named_asid == ASID("999999999999")


def test_user_and_role_profile_have_the_twelve_digits_spine_looks_for() -> None:
    for short in (
        (AuditId(OID.ROLE_PROFILE, "11111111111"), USER, ROLE),
        (ROLE_PROFILE, AuditId(OID.USER, "me"), ROLE),
    ):
        with pytest.raises(AuthorRefused, match="twelve digits"):
            recognise((ORGANISATION, *short))


@pytest.mark.rule("SMSP-AUDIT-002")
def test_smartcard_ids_without_role_profile_and_user_are_refused() -> None:
    for ids in (
        (ROLE_PROFILE,),
        (USER,),
        (ROLE,),
        (ROLE_PROFILE, ROLE),
        (USER, ROLE),
        (ROLE_PROFILE, USER),
    ):
        with pytest.raises(AuthorRefused) as caught:
            recognise((ORGANISATION, *ids))
        assert all(item.uri not in caught.value.rule for item in ids)


def test_a_smartcard_id_given_twice_with_different_values_is_refused() -> None:
    for item in SMARTCARD:
        with pytest.raises(AuthorRefused):
            recognise((ORGANISATION, *SMARTCARD, AuditId(item.type, "333333333333")))
        assert recognise((ORGANISATION, *SMARTCARD, item)).method is AccessMethod.SMARTCARD


def test_a_session_token_is_refused_even_beside_complete_smartcard_ids() -> None:
    for ids in ((TOKEN,), (TOKEN, *SMARTCARD), (TOKEN, ROLE)):
        with pytest.raises(AuthorRefused) as caught:
            recognise((ORGANISATION, *ids))
        assert "session token" in caught.value.rule
        assert TOKEN.uri not in caught.value.rule


@pytest.mark.rule("SMSP-AUDIT-005")
def test_without_an_itk_identity_and_an_asid_the_request_is_invalid() -> None:
    for ids in (
        (),
        SMARTCARD,
        (TOKEN,),
        (AuditId("1.2.3", "urn:nhs-uk:identity:ods:Z99"),),
        (AuditId(OID.ITK_IDENTITY, " "),),
        (AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:ods:"),),
        (AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:ods: :x"),),
        (AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:other:Z99"),),
        (AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:address:ods:Z99"),),
        (AuditId(OID.ASID, "  "),),
    ):
        with pytest.raises(InputInvalid) as caught:
            recognise(ids)
        assert caught.value.field == "auditIdentity"


def test_an_identity_of_another_authority_does_not_hide_an_asid() -> None:
    other = AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:other:Z99:someone")
    assert recognise((other, NAMED_ASID)) == Caller(AccessMethod.UNATTENDED, None, ASID("999999999999"), None)


def test_two_different_organisations_are_refused() -> None:
    for first, second in (
        (ORGANISATION, AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:ods:Z98")),
        (PERSON, AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:ods:Z98:ward7")),
        (NAMED_ASID, AuditId(OID.ASID, "999999999998")),
    ):
        for ids in ((first, second), (second, first)):
            with pytest.raises(InputInvalid) as caught:
                recognise(ids)
            assert caught.value.rule == "names more than one organisation"


def test_the_same_organisation_given_twice_is_one_organisation() -> None:
    lower = AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:ods:z99")
    assert recognise((ORGANISATION, ORGANISATION)).ods_code == ODSCode("Z99")
    assert recognise((ORGANISATION, lower)).ods_code == ODSCode("Z99")
    for ids in ((ORGANISATION, PERSON), (PERSON, lower)):
        assert recognise(ids) == Caller(AccessMethod.ATTENDED, ODSCode("Z99"), None, None)


def test_surrounding_blanks_and_the_case_of_the_organisation_do_not_count() -> None:
    ids = (
        AuditId(f" {OID.ITK_IDENTITY} ", "  URN:nhs-uk:Identity:ODS:z99:someone\n"),
        AuditId(OID.ASID, " 999999999999 "),
        *(AuditId(item.type, f"\t{item.uri} ") for item in SMARTCARD),
    )
    assert recognise(ids) == Caller(
        AccessMethod.SMARTCARD,
        ODSCode("Z99"),
        ASID("999999999999"),
        SpineAuthor("111111111111", "222222222222", "S0080:G0450:R5080"),
    )


def test_unknown_kinds_of_id_are_ignored() -> None:
    unknown = AuditId("2.16.840.1.113883.2.1.3.2.4.18.999", "anything")
    assert recognise((unknown, ORGANISATION)) == recognise((ORGANISATION,))


def test_blank_smartcard_ids_count_as_absent() -> None:
    assert recognise((ORGANISATION, AuditId(OID.USER, "  "))).method is AccessMethod.UNATTENDED
    with pytest.raises(AuthorRefused):
        recognise((ORGANISATION, ROLE_PROFILE, ROLE, AuditId(OID.USER, " ")))
