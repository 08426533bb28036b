"""The rule files of the NHS test workbench, as they are, on every query that the provider sends to Spine."""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from lxml import etree

from connectors_under_test import HL7, connector_worlds
from reference import shared_file
from smsp_provider.conformance.captures import messages_in
from smsp_provider.conformance.rules_language import PathMap, read_rules
from smsp_provider.conformance.rules_run import Outcome, RuleRunner, RuleVerdict
from smsp_provider.conformance.validate import Validator, packaged_rules
from smsp_provider.domain.audit_identity import SpineAuthor
from smsp_provider.domain.service import Service
from smsp_provider.simulator.http import HTTPRequest
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.population import load_population, scenarios
from smsp_provider.simulator.server import EmbeddedSpine
from smsp_provider.xmlcore.schemas import Schemas
from spine_messages import SyncQuery, authors, built, queries

pytestmark = [pytest.mark.shared, pytest.mark.rule("SMSP-MESSAGES-001", "SMSP-AUDIT-003", "SMSP-IG-003")]

PACKS = ("PDS_SMSP.conf", "ITK_Config_PDS_extract.conf")
AUTHOR = "hl7:ControlActEvent/hl7:author/hl7:AgentPersonSDS"
"""In the paths of the listed exception: access methods 1, 2 and 5 have no person, and no author block."""


def official_paths() -> PathMap:
    rules = shared_file("spec/spine/tkw-rules")
    theirs = "/home/riro/TKW-5.0.5/TKW/config/SPINE_Generic_Validation/validator_config/"
    return PathMap(
        {
            "TKW_ROOT/config/SPINE_Generic_Validation/validator_config/": rules,
            f"{theirs}ITK_Config_Generic_Spine2.conf": rules / "ITK_Config_Generic_Spine2_extract.conf",
            "TKW_ROOT/config/SPINE_schema/omvt/TightenedSchemas/": shared_file("spec/spine/xsd/mim-6.2.02/Schemas"),
        }
    )


@cache
def runner() -> RuleRunner:
    paths = official_paths()
    return RuleRunner([read_rules(shared_file(f"spec/spine/tkw-rules/{name}"), paths) for name in PACKS], paths)


def outcomes(envelope: etree._Element) -> list[Outcome]:
    (message,) = messages_in("query", etree.tostring(envelope))
    return runner().outcomes(message)


@settings(deadline=None, max_examples=100)
@given(query=queries, author=authors)
def test_every_query_keeps_the_official_rules(query: SyncQuery, author: SpineAuthor | None) -> None:
    found = outcomes(built(query, author))
    failed = [outcome.what for outcome in found if outcome.verdict is RuleVerdict.FAILED]
    if author is None:
        assert failed, "without a person the checks on the author block must fail"
        failed = [what for what in failed if AUTHOR not in what]
    assert failed == []
    assert sum(1 for outcome in found if outcome.verdict is RuleVerdict.PASSED) > 15


def test_every_message_that_leaves_for_spine_keeps_the_official_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they came over TLS, for everybody of the population and all services; nobody's name is on them."""
    taken: list[bytes] = []
    reply = EmbeddedSpine._reply

    def take(spine: EmbeddedSpine, request: HTTPRequest) -> object:
        taken.append(request.body)
        return reply(spine, request)

    monkeypatch.setattr(EmbeddedSpine, "_reply", take)
    with PatientStore() as store:
        load_population(store)
        with connector_worlds(tmp_path, store) as worlds:
            for scenario in scenarios():
                for service in Service:
                    worlds[HL7].answer(service, scenario.ask, patience=0.1)
    names = Counter[str]()
    for body in taken:
        (message,) = messages_in("query", body)
        failed = [one.what for one in runner().outcomes(message) if one.verdict is RuleVerdict.FAILED]
        assert failed, "the exception is that of the author block"
        assert [what for what in failed if AUTHOR not in what] == []
        names.update(message.names)
    assert set(names) == {"QUPA_IN000005UK01", "QUPA_IN000008UK02", "QUPA_IN000014UK01"}
    assert min(names.values()) > 50


@settings(deadline=None, max_examples=20)
@given(query=queries, author=authors)
def test_stylesheets_that_are_not_published_are_told_of_as_not_run(
    query: SyncQuery, author: SpineAuthor | None
) -> None:
    not_run = [outcome for outcome in outcomes(built(query, author)) if outcome.verdict is RuleVerdict.NOT_RUN]
    assert not_run
    assert all(outcome.what.split()[0].endswith("xslt") for outcome in not_run)
    assert all("is not there" in outcome.reason for outcome in not_run)


def test_without_the_map_every_include_and_schema_is_told_of() -> None:
    rules = read_rules(shared_file("spec/spine/tkw-rules/PDS_SMSP.conf"), PathMap())
    (message,) = messages_in("query", request("QUPA_IN000005UK01_simple-trace.soap.xml").read_bytes())
    found = RuleRunner([rules], PathMap()).outcomes(message)
    not_run = [outcome.what for outcome in found if outcome.verdict is RuleVerdict.NOT_RUN]
    assert [what for what in not_run if what.startswith("INCLUDE ")] != []
    assert Counter(outcome.verdict for outcome in found)[RuleVerdict.PASSED] == 6, "the checks of the file itself"


def request(name: str) -> Path:
    return shared_file(f"spec/spine/samples/authored/request_{name}")


@pytest.mark.parametrize(
    "name",
    [
        "QUPA_IN000005UK01_simple-trace.soap.xml",
        "QUPA_IN000006UK02_advanced-trace.multipart.txt",
        "QUPA_IN000008UK02_retrieval.soap.xml",
        "QUPA_IN000014UK01_cross-check.soap.xml",
        "QUPA_IN000016UK02_confirm-nhs-number.soap.xml",
    ],
)
def test_the_published_requests_keep_the_official_rules_and_ours(name: str) -> None:
    (message,) = messages_in(name, request(name).read_bytes())
    found = runner().outcomes(message)
    assert [outcome.what for outcome in found if outcome.verdict is RuleVerdict.FAILED] == []
    paths = PathMap({"spine-schemas/": shared_file("spec/spine/xsd/mim-6.2.02/Schemas")})
    findings = Validator(Schemas(), RuleRunner(packaged_rules(), paths)).findings(message)
    assert [finding for finding in findings if not finding.holds] == []
    assert len(findings) > 10


def test_a_broken_request_breaks_the_official_rules() -> None:
    content = request("QUPA_IN000005UK01_simple-trace.soap.xml").read_bytes()
    for old, new, part in (
        (b"2.16.840.1.113883.2.1.3.2.4.12", b"1.2.3", "interactionId/@root"),
        (b"uuid:", b"u", "MessageID"),
        (b"1.2.826.0.1285.0.2.0.67", b"1.2.3", "AgentPersonSDS/hl7:id/@root"),
    ):
        assert old in content
        (message,) = messages_in("broken", content.replace(old, new))
        failed = [one.what for one in runner().outcomes(message) if one.verdict is RuleVerdict.FAILED]
        assert any(part in what for what in failed), (part, failed)


def test_the_published_examples_of_itk_payloads_keep_our_rules() -> None:
    validator = Validator(Schemas(), RuleRunner(packaged_rules(), PathMap()))
    files = sorted(shared_file("spec/itk/examples").glob("*.xml"))
    assert len(files) == 8
    failed = {
        finding.says
        for file in files
        for message in messages_in(file.name, file.read_bytes())
        for finding in validator.findings(message)
        if finding.holds is False
    }
    # The number in the examples is invented, and its check digit is wrong.
    assert failed == {"the NHS number has ten digits of which the last is right (SMSP-VAL-002)"}


def test_captured_messages_of_the_integration_environment_can_be_read() -> None:
    files = sorted(shared_file("spec/spine/samples/captures").glob("*.txt"))
    names = [message.names for file in files for message in messages_in(file.name, file.read_bytes())]
    assert ("QUPA_IN000006UK02",) in names
    assert ("QUPA_IN000011UK02",) in names
