"""The XML schemas, compiled once: verdicts for every request and answer, findings for the audit.

Source: SMSP-VAL-001 (requests are validated against the interface schema), WS-VAL-01 (and answers too). By default the
project's own schemas are used; an operator may name the folder of the official ones instead, whose file names are the
same (``docs/reference/schemas.md``).

Two compiled objects stand behind each schema, because libxml2's messages are kept on the object and not on the call:
read while another thread validates, they are that thread's messages, with the content of its document. So the shared
object only ever gives a verdict, and the second one is used under a lock.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from lxml import etree

from smsp_provider.xmlcore.names import XSD
from smsp_provider.xmlcore.parse import MalformedXML, local_name, namespace, parse
from smsp_provider.xmlcore.resources import schemas_directory

__all__ = ["MAX_FINDINGS", "SchemaFinding", "SchemaName", "SchemaPackError", "Schemas"]

MAX_FINDINGS: Final = 20
"""What one refused document may leave in the audit; the first finding is nearly always the cause of the others."""


class SchemaName(Enum):
    """The schemas that a provider validates against; the value is the published file name."""

    # Members are unique, so that they can be told apart as any objects are; Enum's own way is a function in Python.
    __hash__ = object.__hash__

    DISTRIBUTION_ENVELOPE = "distributionEnvelope-v2-0.xsd"
    TOOLKIT_ERROR_INFO = "ITKMessageTypes-2010-05.xsd"
    VERIFY_NHS_NUMBER_REQUEST = "QUPA_MT000001GB01.xsd"
    GET_NHS_NUMBER_REQUEST = "QUPA_MT000002GB01.xsd"
    GET_PATIENT_DETAILS_BY_NHS_NUMBER_REQUEST = "QUPA_MT000003GB01.xsd"
    GET_PATIENT_DETAILS_BY_SEARCH_REQUEST = "QUPA_MT000004GB01.xsd"
    GET_PATIENT_DETAILS_REQUEST = "QUPA_MT000005GB01.xsd"
    VERIFY_NHS_NUMBER_RESPONSE = "COMT_MT000013GB01.xsd"
    GET_NHS_NUMBER_RESPONSE = "COMT_MT000014GB01.xsd"
    GET_PATIENT_DETAILS_RESPONSE = "COMT_MT000016GB01.xsd"


_IN_THE_WSDL: Final = (SchemaName.DISTRIBUTION_ENVELOPE, SchemaName.TOOLKIT_ERROR_INFO)
"""What the WSDL includes; a test holds the two together."""


class SchemaPackError(Exception):
    """A folder of schemas cannot be used: ``file`` names the schema at fault."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


@dataclass(frozen=True, slots=True)
class SchemaFinding:
    """One place where a document breaks its schema, without anything that the sender wrote.

    ``path`` leads from the validated element down by local names and positions; a name that the schemas do not know is
    a ``*``, because a sender could have put a value there. ``rule`` is libxml2's name of the rule.
    """

    path: str
    rule: str


class Schemas:
    """All schemas of a pack, compiled.

    Safe to share between threads. ``directory`` holds the published file names, directly or in a folder ``Schemas``;
    None means the project's own.

    Raises:
        SchemaPackError: a file is missing, unreadable, no schema, or asks for something outside the folder's disk.
    """

    def __init__(self, directory: Path | None = None) -> None:
        folder = _folder_of(schemas_directory() if directory is None else directory)
        documents: dict[Path, etree._Element] = {}
        for name in SchemaName:
            _read_with_includes(folder / name.value, documents)
        self._verdicts: Final = {name: _compile(folder / name.value) for name in SchemaName}
        self._details: Final = {name: _compile(folder / name.value) for name in SchemaName}
        self._details_lock: Final = Lock()
        self._names: Final = frozenset(_declared_names(documents.values()))
        self._files: Final = MappingProxyType(_served_files(folder))

    def is_valid(self, schema: SchemaName, element: etree._Element) -> bool:
        """Whether the element, as the root of a document of its own, is valid; it may stand inside a larger one."""
        return self._verdicts[schema].validate(element)

    def findings(self, schema: SchemaName, element: etree._Element) -> tuple[SchemaFinding, ...]:
        """Where the element breaks the schema, in document order; empty for a valid one.

        Slower than :meth:`is_valid` and one call at a time: for the audit of a refusal. At most ``MAX_FINDINGS``.
        """
        # A copy, because paths are counted from the root of the document, and validation marks identifiers in the tree.
        root = deepcopy(element)
        validator = self._details[schema]
        with self._details_lock:
            if validator.validate(root):
                return ()
            entries = [(entry.path, entry.type_name) for entry in validator.error_log]
        found = dict.fromkeys(SchemaFinding(self._readable(root, path or ""), rule) for path, rule in entries)
        return tuple(found)[:MAX_FINDINGS]

    def files(self) -> Mapping[str, bytes]:
        """The schemas that a reader of the WSDL needs, by bare file name; nothing else of the pack is public."""
        return self._files

    def _readable(self, root: etree._Element, path: str) -> str:
        """libxml2's path to an element, rewritten with known local names only."""
        steps = [self._known(local_name(root))]
        element: etree._Element | None = root
        for step in path.split("/")[2:]:
            element = None if element is None else _child_at(element, step)
            steps.append("*" if element is None else f"{self._known(local_name(element))}[{_position(element)}]")
        return "/" + "/".join(steps)

    def _known(self, name: str) -> str:
        return name if name in self._names else "*"


def _folder_of(directory: Path) -> Path:
    """The folder with the published file names: the one given, or its ``Schemas``, as in the official pack."""
    marker = SchemaName.DISTRIBUTION_ENVELOPE.value
    for folder in (directory, directory / "Schemas"):
        if (folder / marker).is_file():
            return folder.resolve()
    raise SchemaPackError(marker, f"not found in {directory}, nor in a folder Schemas below it")


def _read_with_includes(path: Path, documents: dict[Path, etree._Element]) -> None:
    """Read a schema and, one level after the other, all that it asks for, so that a fault names its file."""
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in documents:
            continue
        try:
            root = parse(current.read_bytes())
        except OSError:
            raise SchemaPackError(current.name, f"cannot be read from {current.parent}") from None
        except MalformedXML as error:
            raise SchemaPackError(current.name, error.reason) from None
        if root.tag != f"{{{XSD}}}schema":
            raise SchemaPackError(current.name, "is not an XML schema")
        documents[current] = root
        waiting.extend((current.parent / location).resolve() for location in _locations(current.name, root))


def _locations(name: str, root: etree._Element) -> Iterator[str]:
    """What a schema includes, imports or redefines by location; only files beside it may be asked for."""
    for reference in root.iterchildren(f"{{{XSD}}}include", f"{{{XSD}}}import", f"{{{XSD}}}redefine"):
        location = reference.get("schemaLocation")
        if location is None:
            continue
        if urlsplit(location).scheme or location.startswith(("/", "\\")):
            raise SchemaPackError(name, "asks for a schema that is not a file of the pack")
        yield location


def _compile(path: Path) -> etree.XMLSchema:
    """Compile one schema file with its includes."""
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
    try:
        return etree.XMLSchema(etree.parse(path, parser))
    except etree.XMLSchemaParseError as error:
        raise SchemaPackError(path.name, str(error)) from None


def _served_files(folder: Path) -> dict[str, bytes]:
    """The files that the WSDL leads to, by bare name."""
    documents: dict[Path, etree._Element] = {}
    for name in _IN_THE_WSDL:
        _read_with_includes(folder / name.value, documents)
    served: dict[str, bytes] = {}
    for path in documents:
        if path.name in served:
            raise SchemaPackError(path.name, "stands twice in the pack, and is served by its bare name")
        served[path.name] = path.read_bytes()
    return served


def _declared_names(documents: Iterable[etree._Element]) -> Iterator[str]:
    """The names of all elements that the schemas declare."""
    for document in documents:
        for declaration in document.iter(f"{{{XSD}}}element"):
            name = declaration.get("name")
            if name is not None:
                yield name


def _child_at(parent: etree._Element, step: str) -> etree._Element | None:
    """The child that one step of a libxml2 path means.

    ``*[n]`` counts all elements (libxml2 writes it for an element in a default namespace), any other name those that
    are written alike; the position is left out where it would be the only one.
    """
    name, _, position = step.rstrip("]").partition("[")
    alike = [child for child in parent.iterchildren("*") if name in ("*", _as_written(child))]
    index = int(position) - 1 if position else 0
    return alike[index] if index < len(alike) else None


def _as_written(element: etree._Element) -> str:
    """The name with the prefix that the document uses; nothing for a name in a default namespace."""
    if element.prefix is not None:
        return f"{element.prefix}:{local_name(element)}"
    return "" if namespace(element) else local_name(element)


def _position(element: etree._Element) -> int:
    """Which one of its name it is among its siblings, from 1."""
    return 1 + sum(1 for _ in element.itersiblings(str(element.tag), preceding=True))
