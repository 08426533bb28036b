"""Runs cases against a system under test: builds the request, breaks it, sends it, judges the answer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from smsp_provider.conformance.cases import ABSENT, Case
from smsp_provider.conformance.evidence import Result, Verdict
from smsp_provider.conformance.expectations import Finding, Judge
from smsp_provider.conformance.message import Caller, Request, new_request
from smsp_provider.conformance.mutations import BadStep, broken
from smsp_provider.conformance.population import Patient, Population
from smsp_provider.conformance.transport import Exchange, Transport

__all__ = ["Runner"]

_BY_NUMBER: Final = frozenset({"nhs_number", "date_of_birth"})
_BY_SEARCH: Final = frozenset({"date_of_birth", "gender", "family"})
"""What a request cannot do without; other fields may be missing on purpose."""
_PATIENT_FIELD: Final = re.compile(r"\$patient_([a-z_]+)")
_MESSAGE_ID: Final = re.compile(rb"<wsa:MessageID[^>]*>([^<]*)<")


@dataclass(frozen=True, slots=True)
class Runner:
    """Everything a run needs. ``signing_key`` is the PEM text of a key and certificate for signed requests.

    ``username`` is that of the population unless the tester gave another.
    """

    transport: Transport
    judge: Judge
    population: Population
    username: str
    signing_key: str = ""

    def run(self, cases: Sequence[Case]) -> Iterator[Result]:
        """The result of each case, in order, as soon as it is known.

        Raises:
            InvalidExpectation: a case asks for an expectation that nobody defined.
            BadStep: a case cannot be built.
        """
        for case in cases:
            yield self.run_case(case)

    def run_case(self, case: Case) -> Result:
        """One case."""
        obstacle = self._obstacle(case)
        if obstacle:
            return Result(case.id, case.purpose, case.requirements, Verdict.NOT_APPLICABLE, obstacle)
        patient = self.population.patients[case.part] if case.part else Patient("", {})
        fields = {name: patient.fields[name] for name in case.send or () if name in patient.fields}
        facts = {"too_large_bytes": str(self.population.too_large_bytes)}
        caller = Caller(self.username, self.transport.target.url, case.audit_ids or self.population.audit_ids, facts)
        request = new_request(case.service, caller, {**fields, **case.fields})
        try:
            body = broken(request, case.steps, self.signing_key)
        except BadStep as error:
            raise BadStep(f"{case.id}: {error}") from None
        exchange = self._send(case, body)
        if case.repeat:
            exchange = self._send(case, body)
        findings = tuple(self.judge.judge(case, exchange, _variables(case, request, patient, body)))
        wrong = [finding for finding in findings if not finding.holds]
        verdict = Verdict.FAILED if wrong or not findings else Verdict.PASSED
        reason = self._reason(wrong, exchange)
        return Result(case.id, case.purpose, case.requirements, verdict, reason, findings, exchange)

    def _reason(self, wrong: Sequence[Finding], exchange: Exchange) -> str:
        """What tells most of what is wrong: that nothing came, or another status, and what else comes first."""
        if wrong and exchange.answer is None:
            return wrong[0].reason
        statuses = {key for key, check in self.judge.checks.items() if check.kind == "status"}
        first = sorted(wrong, key=lambda finding: finding.check not in statuses)
        return "; ".join(f"{finding.says}: {finding.reason}" for finding in first[:2])

    def _obstacle(self, case: Case) -> str:
        """Why the case cannot be asked of this system; empty where it can."""
        offers = self.offers()
        for need in case.needs:
            if need.startswith("not-"):
                if need.removeprefix("not-") in offers:
                    return f"the system offers {need.removeprefix('not-')}"
            elif need not in offers:
                return f"needs {need}, which the run does not offer"
        return self._obstacle_of_part(case) if case.part else ""

    def _obstacle_of_part(self, case: Case) -> str:
        """What the population does not say of the case's patient; empty where it says enough."""
        patient = self.population.patients.get(case.part or "")
        if patient is None:
            return f"the population has no patient for the part {case.part}"
        if case.number == "replaced_by" and not patient.replaced_by:
            return f"the population does not say which number replaced that of the part {case.part}"
        send = set(case.send or ())
        wanted = send & (_BY_NUMBER if "nhs_number" in send else _BY_SEARCH) - case.fields.keys()
        wanted |= {name for check in case.checks for name in _PATIENT_FIELD.findall(check.xpath)}
        missing = sorted(wanted - patient.fields.keys())
        return f"the population gives no {', '.join(missing)} for the part {case.part}" if missing else ""

    def offers(self) -> frozenset[str]:
        """What the population says of the system, and what follows from the address and the tester's files."""
        found = set(self.population.offers)
        target = self.transport.target
        found.add("tls" if target.over_tls else "plain-http")
        if target.over_tls and target.certificate is not None:
            found.add("client-certificate")
        if self.signing_key:
            found.add("signing-key")
        return frozenset(found)

    def _send(self, case: Case, body: bytes) -> Exchange:
        http = case.http
        headers = {"User-Agent": "smsp-conformance", "Accept": "text/xml"}
        if http.content_type != ABSENT:
            headers["Content-Type"] = http.content_type
        action = f'"{case.service.action}"' if http.soap_action is None else http.soap_action
        if action != ABSENT:
            headers["SOAPAction"] = action
        own = urlsplit(self.transport.target.url).path.rstrip("/")
        path = http.path.replace("{path}", own).replace("{operation}", case.service.operation)
        return self.transport.send(
            body, headers, method=http.method, path=path, query=http.query, certificate=http.certificate
        )


def _sent_ids(body: bytes) -> list[str]:
    """The MessageIDs as they were sent, right or wrong: an answer may relate to what it was given."""
    return [found.decode(errors="replace").strip() for found in _MESSAGE_ID.findall(body)]


def _variables(case: Case, request: Request, patient: Patient, body: bytes) -> Mapping[str, str]:
    """What XPath may compare with."""
    values = request.values
    number = patient.replaced_by if case.number == "replaced_by" else patient.fields.get("nhs_number", case.number)
    return {
        **values,
        "sent_message_ids": "".join(f"|{text}" for text in _sent_ids(body)) + "|",
        "response": case.service.response,
        "response_profile": case.service.response_profile,
        "response_schema": case.service.response_schema.name,
        "code": case.code,
        "number": number,
        "error_codes": "".join(f"|{code}" for code in case.error_codes) + "|",
        "error_text": case.error_text,
        **{f"patient_{name}": text for name, text in patient.fields.items()},
    }
