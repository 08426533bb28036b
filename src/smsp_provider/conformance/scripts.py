"""What the simulator answers: rules from data, the answer they lead to, and what is then done to it."""

import tomllib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from lxml import etree

from smsp_provider.conformance.captures import Message
from smsp_provider.conformance.datafiles import data_text, environment
from smsp_provider.conformance.services import SERVICES, Service
from smsp_provider.conformance.xpath import elements

__all__ = ["HOW", "PACKAGED_ANSWERS", "InvalidScript", "Rule", "Script", "ScriptedAnswer", "read_script"]

PACKAGED_ANSWERS: Final = "simulator/answers.toml"
OTHERWISE: Final = "otherwise"
HOW: Final = (
    *("cut", "reset", "empty", "html", "not-xml", "wrong-charset", "wrong-relates-to", "wrong-patient"),
    *("invalid-payload", "invalid-envelope", "wrong-service", "status-200", "status-500"),
)
"""What may be done to an answer."""

_STRANGER: Final = "9993000450"
_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
_TEMPLATES: Final = environment()


class InvalidScript(ValueError):
    """A file of rules cannot be used; the text says which rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``triggers`` are the values of a request that lead to it; none for the rule called otherwise."""

    name: str
    purpose: str
    triggers: frozenset[str]
    code: str = ""
    patient: str = ""
    fault: tuple[str, str, str] | None = None
    seconds: float = 0.0
    how: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class ScriptedAnswer:
    """An answer ready to be sent; ``body`` None: the connection is closed without one. ``cut``: half of it is sent."""

    status: int
    content_type: str
    body: bytes | None
    cut: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Script:
    """All rules in order, and the patients that they answer with."""

    rules: tuple[Rule, ...]
    patients: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def rule_for(self, message: Message) -> Rule:
        """The first rule that a value of the request triggers."""
        values = set()
        if message.hl7 is not None:
            path = "//hl7:Person.NHSNumber/hl7:value | //hl7:Person.DateOfBirth/hl7:value"
            for element in elements(message.hl7, path):
                values |= {element.get("extension", ""), element.get("value", "")}
        # A request by number brings a date of birth too: the number decides, where it triggers something.
        numbers = {value for value in values if len(value) == len(_STRANGER)}
        for wanted in (numbers, values):
            for rule in self.rules:
                if rule.triggers & wanted:
                    return rule
        return self.rules[-1]

    def answer(self, rule: Rule, message: Message, service: Service, url: str) -> ScriptedAnswer:
        """What the rule answers to a request, spoiled as it says."""
        relates_to = message_id_of(message)
        if rule.how == "wrong-relates-to":
            relates_to = _new_uuid()
        if rule.fault is not None:
            fault = fault_body(rule.fault, relates_to, url)
            return _spoiled(rule.how, ScriptedAnswer(500, "text/xml; charset=utf-8", fault))
        if rule.how == "wrong-service":
            service = next(other for other in SERVICES.values() if other.response != service.response)
        patient = dict(self.patients[rule.patient]) if rule.patient else None
        if patient is not None and rule.how == "wrong-patient":
            patient["nhs_number"] = _STRANGER
        elif patient is not None and rule.code != "DEMOG-0017":
            patient["nhs_number"] = _asked_number(message) or patient["nhs_number"]
        body = _TEMPLATES.get_template("answer.xml.j2").render(
            service=service,
            code=rule.code,
            patient=None if patient is None else {"addresses": (), "telecoms": (), **patient},
            relates_to=relates_to,
            payload_id=_new_uuid(),
            local_identifier=_local_identifier(message),
            uuid=_new_uuid,
        )
        return _spoiled(rule.how, ScriptedAnswer(200, "text/xml; charset=utf-8", body.encode()))


def read_script(file: Path | None = None) -> Script:
    """The rules of a file, or the packaged ones.

    Raises:
        InvalidScript: the file is unreadable, no TOML, or a rule says something that no rule can say.
    """
    try:
        tables = tomllib.loads(data_text(PACKAGED_ANSWERS) if file is None else file.read_text(encoding="utf-8"))
        rules = tuple(_rule(table) for table in tables.get("rule", ()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidScript(f"{file}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidScript(f"{file}: {type(error).__name__} {error}") from None
    if not rules or rules[-1].name != OTHERWISE:
        raise InvalidScript(f"{file}: the last rule is not called {OTHERWISE}")
    patients = {name: _patient(name, table) for name, table in tables.get("patients", {}).items()}
    unknown = {rule.patient for rule in rules} - {"", *patients}
    if unknown:
        raise InvalidScript(f"{file}: no patient is called {', '.join(sorted(unknown))}")
    return Script(rules, patients)


def _rule(table: Mapping[str, Any]) -> Rule:
    values = {key: value for key, value in table.items() if key not in ("nhs_number", "date_of_birth")}
    triggers = frozenset(str(table[key]) for key in ("nhs_number", "date_of_birth") if key in table)
    fault = values.pop("fault", None)
    rule = Rule(triggers=triggers, fault=None if fault is None else (fault[0], fault[1], fault[2]), **values)
    if rule.how and rule.how not in HOW:
        raise ValueError(f"rule {rule.name}: nothing is called {rule.how}")
    if not rule.code and rule.fault is None:
        raise ValueError(f"rule {rule.name}: neither a code nor a fault")
    return rule


def _patient(name: str, table: Mapping[str, Any]) -> Mapping[str, Any]:
    missing = {"nhs_number", "given", "family", "gender", "date_of_birth"} - set(table)
    if missing:
        raise InvalidScript(f"patient {name}: no {', '.join(sorted(missing))}")
    return {"prefix": "", "date_of_death": "", "practice": "", **table}


def message_id_of(message: Message) -> str:
    """The MessageID of a request; empty where there is not exactly one."""
    found = elements(message.soap, "/soap:Envelope/soap:Header/wsa:MessageID") if message.soap is not None else []
    return (found[0].text or "").strip() if len(found) == 1 else ""


def fault_body(fault: tuple[str, str, str], relates_to: str, url: str) -> bytes:
    """A SOAP fault: faultcode, ErrorCode (empty: no detail), text."""
    faultcode, error_code, text = fault
    template = _TEMPLATES.get_template("fault.xml.j2")
    return template.render(
        faultcode=faultcode, error_code=error_code, text=text, relates_to=relates_to, url=url, uuid=_new_uuid
    ).encode()


def _asked_number(message: Message) -> str:
    found = elements(message.hl7, "//hl7:Person.NHSNumber/hl7:value") if message.hl7 is not None else []
    return found[0].get("extension", "") if found else ""


def _local_identifier(message: Message) -> tuple[str, str] | None:
    found = elements(message.hl7, "//hl7:Person.LocalIdentifier/hl7:value") if message.hl7 is not None else []
    return (found[0].get("root", ""), found[0].get("extension", "")) if found else None


def _spoiled(how: str, answer: ScriptedAnswer) -> ScriptedAnswer:
    spoil = _SPOILERS.get(how)
    return answer if spoil is None else spoil(answer, answer.body or b"")


_SPOILERS: Final[Mapping[str, Callable[[ScriptedAnswer, bytes], ScriptedAnswer]]] = {
    "cut": lambda answer, _body: replace(answer, cut=True),
    "reset": lambda answer, _body: replace(answer, body=None),
    "empty": lambda answer, _body: replace(answer, body=b""),
    "html": lambda _answer, _body: ScriptedAnswer(502, "text/html", _HTML),
    "not-xml": lambda answer, body: replace(answer, body=body[: len(body) * 2 // 3]),
    "wrong-charset": lambda answer, body: replace(answer, body=body.decode().encode("utf-16")),
    "invalid-payload": lambda answer, body: replace(answer, body=_with_child(body, "//itk:payload/*", "remark")),
    "invalid-envelope": lambda answer, body: replace(answer, body=body.replace(b'count="1"', b'count="2"', 1)),
    "status-200": lambda answer, _body: replace(answer, status=200),
    "status-500": lambda answer, _body: replace(answer, status=500),
}
"""What is done to a finished answer; the other ways are done while it is made."""


def _with_child(body: bytes, path: str, child: str) -> bytes:
    """With an element that its schema does not know."""
    root = etree.fromstring(body)
    etree.SubElement(elements(root, path)[0], f"{{urn:hl7-org:v3}}{child}").text = "no schema knows this"
    return etree.tostring(root)


def _new_uuid() -> str:
    return str(uuid.uuid4()).upper()
