"""Every row of the header table that WS-Addressing has."""

from dataclasses import replace

import pytest

from itk_messages import Request, with_texts
from smsp_provider.domain.faults import ErrorCode, FaultCode, ToolkitFault
from smsp_provider.soap.addressing import ANONYMOUS, Addressing, AddressingPolicy, find_message_id, read_addressing
from smsp_provider.soap.envelope import read_soap

ANY = AddressingPolicy()
UUID = "9C41F6BE-6E0B-4C7B-8C55-30AD0CF0B7E4"
OTHER = "0A3C7C52-6C5B-4C1C-8F55-0B1C7C0C11AA"
VALID = Request(message_id=UUID)


def addressing_of(request: Request, soap_action: str | None = None, policy: AddressingPolicy = ANY) -> Addressing:
    return read_addressing(read_soap(request.body()), soap_action, policy)


def refusal(request: Request, soap_action: str | None = None, policy: AddressingPolicy = ANY) -> str:
    with pytest.raises(ToolkitFault) as caught:
        addressing_of(request, soap_action, policy)
    assert (caught.value.faultcode, caught.value.error_code) == (FaultCode.CLIENT, ErrorCode.INVALID_MESSAGE)
    return caught.value.text


@pytest.mark.rule("WS-ADR-01", "WS-ADR-03", "WS-ADR-04", "WS-ADR-05")
def test_a_well_behaved_header_is_read() -> None:
    request = replace(VALID, wsa_from="http://client.example.nhs.uk/")
    assert addressing_of(request, request.soap_action) == Addressing(
        UUID, "https://smsp.example.nhs.uk/smsp/pds", request.default_action, "http://client.example.nhs.uk/"
    )


@pytest.mark.rule("WS-ADR-01")
@pytest.mark.parametrize("prefix", ["", "urn:uuid:", "uuid:", "URN:UUID:"])
@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_a_message_id_keeps_its_prefix_and_case(prefix: str, case: type[str]) -> None:
    sent = prefix + case(UUID)
    assert addressing_of(replace(VALID, message_id=f"\n {sent} ")).message_id == sent


@pytest.mark.rule("WS-ADR-01")
@pytest.mark.parametrize(
    "text", ["", "1", UUID[:-1], UUID + "0", f"uuid:uuid:{UUID}", f"urn:{UUID}", f"{{{UUID}}}", UUID.replace("-", "")]
)
def test_a_message_id_must_be_a_uuid(text: str) -> None:
    assert "wsa:MessageID" in refusal(replace(VALID, message_id=text))


@pytest.mark.rule("WS-ADR-01", "WS-ADR-03", "WS-ADR-04")
@pytest.mark.parametrize(
    ("name", "field", "again"),
    [("wsa:MessageID", "message_id", OTHER), ("wsa:To", "to", "http://x"), ("wsa:Action", "action", "urn:x")],
)
def test_a_required_block_is_there_once_and_says_something(name: str, field: str, again: str) -> None:
    assert refusal(with_texts(VALID, **{field: None})) == f"{name} is missing"
    assert refusal(with_texts(VALID, **{field: " "})) == f"{name} is empty"
    doubled = replace(VALID, extra_header_markup=f"<{name}>{again}</{name}>")
    assert refusal(doubled) == f"{name} is given more than once"


@pytest.mark.rule("WS-ADR-03")
def test_to_is_compared_with_the_accepted_addresses_where_there_is_a_list() -> None:
    policy = AddressingPolicy(frozenset({"https://smsp.example.nhs.uk/smsp/pds"}))
    assert addressing_of(VALID, policy=policy).to in (policy.accepted_to or ())
    assert (
        refusal(replace(VALID, to="https://elsewhere/"), policy=policy) == "wsa:To is not an address of this endpoint"
    )
    assert addressing_of(replace(VALID, to="https://elsewhere/")).to == "https://elsewhere/"


@pytest.mark.rule("WS-ADR-04")
@pytest.mark.parametrize("form", ['"{}"', "{}", ' "{}" ', '""', "", None])
def test_soap_action_comes_with_quotes_without_or_not_at_all(form: str | None) -> None:
    soap_action = None if form is None else form.format(VALID.default_action)
    assert addressing_of(VALID, soap_action).action == VALID.default_action


@pytest.mark.rule("WS-ADR-04")
@pytest.mark.parametrize("soap_action", ['"urn:other"', "urn:other", '"{}', '{}"', '"{}x"', '"', "'{}'"])
def test_soap_action_must_agree_with_action(soap_action: str) -> None:
    assert refusal(VALID, soap_action.format(VALID.default_action)) == "SOAPAction differs from wsa:Action"


@pytest.mark.rule("WS-ADR-06")
def test_reply_to_is_anonymous_or_absent() -> None:
    assert addressing_of(replace(VALID, reply_to=ANONYMOUS)).message_id == UUID
    for elsewhere in ("http://elsewhere/", "", f"{ANONYMOUS}/x", "http://www.w3.org/2005/08/addressing/none"):
        assert refusal(replace(VALID, reply_to=elsewhere)) == "wsa:ReplyTo is not the anonymous address"


@pytest.mark.rule("WS-ADR-06", "WS-ADR-08")
def test_reply_to_is_given_once_and_without_parameters() -> None:
    reply_to = f"<wsa:ReplyTo><wsa:Address>{ANONYMOUS}</wsa:Address>{{}}</wsa:ReplyTo>"
    assert "more than once" in refusal(replace(VALID, extra_header_markup=reply_to.format("") * 2))
    parameters = reply_to.format("<wsa:ReferenceParameters/>")
    assert refusal(replace(VALID, extra_header_markup=parameters)) == "wsa:ReplyTo holds more than wsa:Address"


@pytest.mark.rule("WS-ADR-05", "WS-ADR-09")
def test_from_fault_to_and_relates_to_are_never_refused() -> None:
    extra = "<wsa:From/><wsa:From/><wsa:FaultTo><wsa:Address>http://x</wsa:Address></wsa:FaultTo><wsa:RelatesTo/>"
    assert addressing_of(replace(VALID, extra_header_markup=extra, relates_to="x")).sender is None


@pytest.mark.rule("WS-ADR-01", "WS-ADR-03")
def test_the_first_breach_in_documented_order_is_reported() -> None:
    worse = replace(VALID, reply_to="http://x")
    assert "ReplyTo" in refusal(worse)
    worse = replace(worse, action=None)
    assert "Action" in refusal(worse)
    worse = replace(worse, to=None)
    assert "To" in refusal(worse)
    assert "MessageID" in refusal(replace(worse, message_id=None))


@pytest.mark.rule("WS-ADR-09")
def test_a_message_id_is_found_even_where_the_header_is_wrong() -> None:
    def found(request: Request) -> str | None:
        return find_message_id(read_soap(request.body()).header_blocks)

    assert found(replace(VALID, to=None, action=None)) == UUID
    assert found(replace(VALID, message_id=None)) is None
    assert found(replace(VALID, message_id="<script>")) is None
    assert found(replace(VALID, extra_header_markup=f"<wsa:MessageID>{OTHER}</wsa:MessageID>")) is None
