"""The embedded Spine's other door: the same patients over PDS FHIR, with its headers, its limits and its errors.

The faults of a plan, and those of patients, mean here what comes nearest to them: a SOAP fault is a refusal by status,
a refusal by PDS an outcome, another interaction another resource. Source: facts.md of PDS FHIR, sections 2 to 10.
"""

import json
import re
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from smsp_provider.simulator.clock import SpineClock, london_day
from smsp_provider.simulator.faults import Fault, FaultKind, FaultPlan
from smsp_provider.simulator.fhir_outcome import Declined, FHIRReply, outcome
from smsp_provider.simulator.fhir_patient import write_patient
from smsp_provider.simulator.fhir_search import find, read_search
from smsp_provider.simulator.fhir_token import TokenDesk
from smsp_provider.simulator.http import HTTPRequest
from smsp_provider.simulator.inbound import RETRIEVAL, SIMPLE_TRACE
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.queries import RetrievalQuery
from smsp_provider.simulator.records import SpinePatient
from smsp_provider.simulator.spine import ENDINGS, HTML_PAGE, Ending, Reply, damaged
from smsp_provider.simulator.trace import decide

__all__ = ["FHIR_PATH", "READ", "SEARCH", "TOKEN", "TOKEN_PATH", "FHIRDoor"]

FHIR_PATH: Final = "/personal-demographics/FHIR/R4"
TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105 - a path, not a token
READ: Final = "fhir-read"
SEARCH: Final = "fhir-search"
TOKEN: Final = "fhir-token"  # noqa: S105 - the name of a kind of request

_PATIENTS: Final = f"{FHIR_PATH}/Patient"
_PING: Final = f"{FHIR_PATH}/_ping"
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_JSON: Final = "application/json"
_LIKE: Final = {READ: RETRIEVAL.request, SEARCH: SIMPLE_TRACE.request}
"""The HL7 V3 query that a fault of a patient may name."""
_WORDS: Final = {
    "0": "INVALID_SEARCH_DATA",
    "1": "RESOURCE_NOT_FOUND",
    "2": "TOO_MANY_MATCHES",
    "7": "TOO_MANY_MATCHES",
    "22": "INVALIDATED_RESOURCE",
    "42": "INVALID_RESOURCE_ID",
}
"""What PDS FHIR says for a reason of PDS; other reasons are said as they are."""
_PASSING: Final = frozenset({"200", "206", "208"})


@dataclass(slots=True)
class FHIRDoor:
    """PDS FHIR without a network.

    ``desk`` None lets everybody in, as the public sandbox does. ``blank_lines`` keeps blank address lines.
    ``per_second`` is how many requests are answered within any second, ``retry_after`` what the others are told.
    ``heard`` is told of every request, ``mutate`` sees every answer about patients before it is written.
    ``calls`` counts requests by kind.
    """

    store: PatientStore
    faults: FaultPlan
    clock: SpineClock
    wait: Callable[[float], None]
    desk: TokenDesk | None = None
    blank_lines: bool = True
    per_second: int | None = None
    retry_after: int = 1
    heard: Callable[[HTTPRequest], None] = lambda _: None
    mutate: Callable[[HTTPRequest, FHIRReply], FHIRReply] = lambda _, reply: reply
    calls: Counter[str] = field(default_factory=Counter)
    _recent: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path is one of this door's."""
        return path == TOKEN_PATH or path.startswith(f"{FHIR_PATH}/")

    def answer(self, request: HTTPRequest) -> Reply:
        """Answer one request."""
        self.heard(request)
        if request.path == _PING:
            return Reply(200, _JSON, b'{"version": "embedded"}')
        kind = self._kind(request)
        with self._lock:
            self.calls[kind] += 1
        if kind == TOKEN:
            return self._token(request)
        try:
            self._check(request)
        except Declined as declined:
            return self._written(request, self._declined(request, declined))
        return self._about_patients(request, kind)

    @staticmethod
    def _kind(request: HTTPRequest) -> str:
        if request.path == TOKEN_PATH:
            return TOKEN
        return SEARCH if request.path == _PATIENTS else READ

    def _token(self, request: HTTPRequest) -> Reply:
        fault = self.faults.take(TOKEN)
        if fault is not None and fault.kind is FaultKind.DELAY:
            self.wait(fault.seconds)
        elif fault is not None and fault.kind is FaultKind.HTTP_STATUS:
            refusal = b'{"error": "invalid_request", "error_description": "as planned", "message_id": "planned"}'
            return Reply(fault.http_status, _JSON, refusal)
        elif fault is not None and fault.kind is FaultKind.HTML:
            return Reply(fault.http_status, "text/html", HTML_PAGE)
        if self.desk is None or request.method != "POST":
            return Reply(404, _JSON, b"{}")
        status, document = self.desk.answer(request.headers.get("content-type", ""), request.body)
        reply = Reply(status, _JSON, json.dumps(document).encode())
        ending = ENDINGS.get(fault.kind, Ending.KEEP) if fault is not None else Ending.KEEP
        return replace(reply, ending=ending)

    def _check(self, request: HTTPRequest) -> None:
        """What the platform looks at before PDS sees a request."""
        if not self._has_room():
            raise Declined("TOO_MANY_REQUESTS")
        if self.desk is not None and not self.desk.knows(request.headers.get("authorization", "")):
            raise Declined("ACCESS_DENIED", "Invalid or missing access token")
        if request.method != "GET":
            raise Declined("INVALID_METHOD", status=403)
        request_id = request.headers.get("x-request-id")
        if request_id is None:
            raise Declined("MISSING_VALUE", "X-Request-ID header must be supplied to access this resource")
        if _UUID.fullmatch(request_id) is None:
            raise Declined("INVALID_VALUE", "Invalid value in header 'X-Request-ID'")

    def _has_room(self) -> bool:
        if self.per_second is None:
            return True
        now = self.clock().timestamp()
        with self._lock:
            while self._recent and self._recent[0] <= now - 1.0:
                self._recent.popleft()
            if len(self._recent) >= self.per_second:
                return False
            self._recent.append(now)
            return True

    # --- patients -----------------------------------------------------------------------------------------------------

    def _about_patients(self, request: HTTPRequest, kind: str) -> Reply:
        subject, good = self._found(request, kind)
        fault = self._fault(kind, subject)
        if fault is not None and fault.kind is FaultKind.DELAY:
            self.wait(fault.seconds)
            fault, (_, good) = None, self._found(request, kind)
        if fault is None:
            return self._written(request, good)
        return self._faulty(request, kind, fault, good, subject)

    def _fault(self, kind: str, subject: str | None) -> Fault | None:
        planned = self.faults.take(kind)
        if planned is not None or subject is None:
            return planned
        patient = self.store.get(subject)
        own = self.faults.of_patient(subject) or (None if patient is None else patient.fault)
        return own if own is not None and (own.applies_to(kind) or own.applies_to(_LIKE[kind])) else None

    def _found(self, request: HTTPRequest, kind: str) -> tuple[str | None, FHIRReply]:
        """The number that the request is about, as far as there is one, and the answer without any fault."""
        if kind == READ:
            number = request.path.removeprefix(f"{_PATIENTS}/")
            try:
                return number, self._read(request, number)
            except Declined as declined:
                return number, self._declined(request, declined)
        try:
            patient = find(self.store, read_search(request.query), self._today())
        except Declined as declined:
            return None, self._declined(request, declined)
        return (None if patient is None else patient.nhs_number), self._matches(request, patient)

    def _today(self) -> str:
        return london_day(self.clock())

    def _read(self, request: HTTPRequest, number: str) -> FHIRReply:
        finding = decide(self.store, RetrievalQuery(number), self._today())
        if finding.record is None:
            code = finding.reasons[0].code
            raise Declined(_WORDS.get(code, code))
        return self._patient(request, finding.record)

    def _patient(self, request: HTTPRequest, seen: SpinePatient) -> FHIRReply:
        document = write_patient(seen, whole=True, blank_lines=self.blank_lines)
        etag = ("ETag", f'W/"{seen.serial_change_number}"')
        return FHIRReply(200, document, request.headers["x-request-id"], (etag,))

    def _matches(self, request: HTTPRequest, patient: SpinePatient | None) -> FHIRReply:
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": 0}
        if patient is not None:
            seen = patient.seen_by_query(self._today(), history=False)
            resource = write_patient(seen, whole=False, blank_lines=self.blank_lines)
            bundle |= {"total": 1, "entry": [{"search": {"score": 1}, "resource": resource}]}
        return FHIRReply(200, bundle, request.headers["x-request-id"])

    def _declined(self, request: HTTPRequest, declined: Declined) -> FHIRReply:
        told = (("Retry-After", str(self.retry_after)),) if declined.status in (429, 503) else ()
        return FHIRReply(declined.status, outcome(declined), request.headers.get("x-request-id"), told)

    def _written(self, request: HTTPRequest, reply: FHIRReply) -> Reply:
        reply = self.mutate(request, reply)
        headers = list(reply.headers)
        if reply.request_id is not None:
            headers.append(("X-Request-Id", reply.request_id))
        correlation = request.headers.get("x-correlation-id")
        if correlation is not None:
            headers.append(("X-Correlation-Id", correlation))
        return Reply(reply.status, reply.content_type, reply.body, headers=tuple(headers))

    # --- going wrong --------------------------------------------------------------------------------------------------

    def _faulty(self, request: HTTPRequest, kind: str, fault: Fault, good: FHIRReply, subject: str | None) -> Reply:
        if fault.kind is FaultKind.HTTP_STATUS:
            return Reply(fault.http_status, "text/plain; charset=utf-8", b"The embedded Spine was told to fail.\n")
        if fault.kind is FaultKind.HTML:
            return Reply(fault.http_status, "text/html; charset=utf-8", HTML_PAGE)
        declined = _refusal(fault)
        if declined is not None:
            return self._written(request, self._declined(request, declined))
        return damaged(fault, self._written(request, self._lie(request, kind, fault, good, subject)))

    def _lie(self, request: HTTPRequest, kind: str, fault: Fault, good: FHIRReply, subject: str | None) -> FHIRReply:
        if fault.kind is FaultKind.UNCORRELATED:
            return replace(good, request_id=str(uuid.uuid4()))
        if fault.kind not in (FaultKind.WRONG_PATIENT, FaultKind.WRONG_INTERACTION):
            return good
        chosen = fault.nhs_number if fault.kind is FaultKind.WRONG_PATIENT else subject
        other = self.store.get(chosen) if chosen is not None else self.store.another(subject or "")
        if other is None:
            return good
        if (kind == READ) is (fault.kind is FaultKind.WRONG_PATIENT):
            return self._patient(request, other.seen_by_query(self._today(), history=False))
        return self._matches(request, other)


def _refusal(fault: Fault) -> Declined | None:
    """The outcome that a fault of SOAP or HL7 V3 comes nearest to; None for other faults."""
    codes = fault.error_codes
    if fault.kind is FaultKind.SOAP_FAULT:
        return Declined("UNKNOWN_ERROR") if _PASSING.issuperset(codes) else Declined("UNSUPPORTED_SERVICE")
    if fault.kind is FaultKind.REJECTION:
        return Declined("ACCESS_DENIED", status=403)
    if fault.kind in (FaultKind.REFUSAL, FaultKind.GENERAL_REFUSAL):
        return Declined(_WORDS.get(codes[0], codes[0]), status=fault.status)
    return None
