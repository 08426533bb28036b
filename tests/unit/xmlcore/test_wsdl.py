"""The WSDL as it stands and as it is served, read by zeep as a client's developer would."""

from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import zeep
from lxml import etree

from smsp_provider.xmlcore.names import HL7, ITK, SOAP11, WSDL, XSD
from smsp_provider.xmlcore.resources import wsdl_file
from smsp_provider.xmlcore.schemas import SchemaName, Schemas
from smsp_provider.xmlcore.wsdl import render_wsdl, render_xsd

OPERATIONS = {
    "verifyNHSNumber-v1-0": "verifyNHSNumberResponse-v1-0",
    "getNHSNumber-v1-0": "getNHSNumberResponse-v1-0",
    "getPatientDetailsByNHSNumber-v1-0": "getPatientDetailsResponse-v1-0",
    "getPatientDetailsBySearch-v1-0": "getPatientDetailsResponse-v1-0",
    "getPatientDetails-v1-0": "getPatientDetailsResponse-v1-0",
}
PATHS = {name: f"/interoperability.toolkit/HL7v3/{name}" for name in OPERATIONS}
SOAP_WSDL = "http://schemas.xmlsoap.org/wsdl/soap/"
ZEEP: Any = zeep  # half of its functions have no types
UUID = "3E25ACE2-23F8-4A37-B446-6A37F31BF77B"


def wsdl_root(document: bytes | None = None) -> etree._Element:
    return etree.fromstring(wsdl_file().read_bytes() if document is None else document)


def envelope_of(operation: str) -> dict[str, Any]:
    """The arguments of a call, as docs/reference/schemas.md shows them."""
    payload = etree.fromstring(f'<{operation} xmlns="{HL7}"><id root="{UUID}"/></{operation}>')
    return {
        "header": {
            "service": f"urn:nhs-itk:services:201005:{operation}",
            "trackingid": UUID,
            "auditIdentity": {"id": [{"uri": "urn:nhs-uk:identity:ods:rht"}]},
            "manifest": {"count": 1, "manifestitem": [{"id": f"uuid_{UUID}", "mimetype": "text/xml"}]},
        },
        "payloads": {"count": 1, "payload": [{"id": f"uuid_{UUID}", "_value_1": payload}]},
    }


class TestTheFile:
    def test_it_names_the_five_services_as_published(self) -> None:
        root = wsdl_root()
        assert root.get("targetNamespace") == ITK
        for name, response in OPERATIONS.items():
            request = name.replace("-v1-0", "Request-v1-0")
            operation = root.find(f"{{{WSDL}}}portType[@name='{name}_ptt']/{{{WSDL}}}operation[@name='{name}']")
            assert operation is not None
            assert [(etree.QName(part).localname, part.get("message")) for part in operation] == [
                ("input", f"itk:{request}"),
                ("output", f"itk:{response}"),
                ("fault", "itk:faultResponse"),
            ]
            binding = root.find(f"{{{WSDL}}}binding[@name='{name}_pttBinding']")
            assert binding is not None
            assert binding.get("type") == f"itk:{name}_ptt"
            style = binding.find(f"{{{SOAP_WSDL}}}binding")
            action = binding.find(f"{{{WSDL}}}operation[@name='{name}']/{{{SOAP_WSDL}}}operation")
            assert style is not None
            assert action is not None
            assert style.get("style") == action.get("style") == "document"
            assert action.get("soapAction") == f"urn:nhs-itk:services:201005:{name}"
            port = root.find(f"{{{WSDL}}}service[@name='{name}']/{{{WSDL}}}port[@name='{name}_pttPort']")
            assert port is not None
            assert port.get("binding") == f"itk:{name}_pttBinding"

    def test_every_message_is_an_envelope_but_the_fault(self) -> None:
        parts = {part.get("name"): part.get("element") for part in wsdl_root().iter(f"{{{WSDL}}}part")}
        assert parts.pop("faultResponse") == "itk:ToolkitErrorInfo"
        requests = {name.replace("-v1-0", "Request-v1-0") for name in OPERATIONS}
        assert set(parts) == requests | set(OPERATIONS.values())
        assert set(parts.values()) == {"itk:DistributionEnvelope"}

    def test_its_schemas_are_files_of_the_pack(self) -> None:
        included = [one.get("schemaLocation", "") for one in wsdl_root().iter(f"{{{XSD}}}include")]
        assert all((wsdl_file().parent / location).is_file() for location in included)
        assert {location.rpartition("/")[2] for location in included} == set(Schemas().files())

    def test_zeep_reads_it_from_its_folder(self) -> None:
        check_operations(ZEEP.Client(str(wsdl_file())))


def check_operations(client: Any) -> None:
    """All five operations can be written, and what is written is a valid envelope."""
    schemas = Schemas()
    assert set(client.wsdl.services) == set(OPERATIONS)
    for name in OPERATIONS:
        proxy = client.bind(name, f"{name}_pttPort")
        message = client.create_message(proxy, name, **envelope_of(name))
        envelope = message.find(f"{{{SOAP11}}}Body/{{{ITK}}}DistributionEnvelope")
        assert envelope is not None
        assert schemas.findings(SchemaName.DISTRIBUTION_ENVELOPE, envelope) == ()
        assert envelope.findtext(f".//{{{ITK}}}payload/{{{HL7}}}{name}/{{{HL7}}}id") is not None


def addresses(document: bytes) -> dict[str, str]:
    """Service name to address."""
    root = wsdl_root(document)
    return {
        service.get("name", ""): address.get("location", "")
        for service in root.iter(f"{{{WSDL}}}service")
        for address in service.iter(f"{{{SOAP_WSDL}}}address")
    }


def locations(document: bytes) -> list[str]:
    references = etree.fromstring(document).iter(f"{{{XSD}}}include", f"{{{XSD}}}import")
    return [reference.get("schemaLocation", "") for reference in references]


class TestRendering:
    def test_all_services_stand_where_it_was_asked(self) -> None:
        served = render_wsdl(
            wsdl_file().read_bytes(), request_url="https://smsp.example:8443/smsp/pds?wsdl", service_paths=PATHS
        )
        assert addresses(served) == dict.fromkeys(OPERATIONS, "https://smsp.example:8443/smsp/pds")

    def test_or_each_on_its_own_path(self) -> None:
        url = f"https://smsp.example{PATHS['getNHSNumber-v1-0']}?WSDL#x"
        served = render_wsdl(wsdl_file().read_bytes(), request_url=url, service_paths=PATHS)
        assert addresses(served) == {name: f"https://smsp.example{path}" for name, path in PATHS.items()}

    def test_paths_must_be_given_for_all_services(self) -> None:
        with pytest.raises(KeyError):
            render_wsdl(wsdl_file().read_bytes(), request_url="http://a/b", service_paths={"getNHSNumber-v1-0": "/b"})

    def test_schemas_are_found_by_bare_name(self) -> None:
        served = render_wsdl(wsdl_file().read_bytes(), request_url="http://a/smsp/pds?wsdl=1")
        assert locations(served) == [f"http://a/smsp/pds?xsd={name}" for name in Schemas().files()]

    def test_what_a_schema_includes_is_found_by_bare_name(self) -> None:
        schema = (
            f'<schema xmlns="{XSD}"><include schemaLocation="../dt/a b.xsd"/><import namespace="urn:x"/>'
            '<import namespace="urn:y" schemaLocation="c&amp;d.xsd"/></schema>'
        )
        served = render_xsd(schema.encode(), request_url="http://h/p?xsd=x.xsd")
        assert locations(served) == ["http://h/p?xsd=a%20b.xsd", "", "http://h/p?xsd=c%26d.xsd"]

    def test_nothing_else_changes(self) -> None:
        original, served = wsdl_root(), wsdl_root(render_wsdl(wsdl_file().read_bytes(), request_url="http://a/b"))
        for root in (original, served):
            for element in root.iter(f"{{{XSD}}}include", f"{{{SOAP_WSDL}}}address"):
                element.attrib.clear()
        assert etree.tostring(original, method="c14n") == etree.tostring(served, method="c14n")


class _Provider(BaseHTTPRequestHandler):
    """Serves the WSDL and its schemas as the provider does, and answers every call with its own envelope or a fault."""

    files: Mapping[str, bytes] = Schemas().files()

    def do_GET(self) -> None:
        url = f"http://{self.headers['Host']}{self.path}"
        query = parse_qs(urlsplit(url).query, keep_blank_values=True)
        if "wsdl" in query:
            self._answer(200, render_wsdl(wsdl_file().read_bytes(), request_url=url, service_paths=PATHS))
        elif query.get("xsd", [""])[0] in self.files:
            self._answer(200, render_xsd(self.files[query["xsd"][0]], request_url=url))
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        if "getNHSNumber-v1-0" in self.headers["SOAPAction"]:
            self._answer(500, FAULT)
        else:
            self._answer(200, request)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


FAULT = (
    f'<s:Envelope xmlns:s="{SOAP11}"><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>Refused</faultstring>'
    f'<detail><ToolkitErrorInfo xmlns="{ITK}"><ErrorID>{UUID}</ErrorID><ErrorCode>1000</ErrorCode>'
    "<ErrorText>Refused</ErrorText></ToolkitErrorInfo></detail></s:Fault></s:Body></s:Envelope>"
).encode()


@pytest.fixture
def provider() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class TestServed:
    @pytest.mark.parametrize("path", ["/smsp/pds", PATHS["getPatientDetails-v1-0"]], ids=["one-path", "own-path"])
    def test_zeep_builds_a_client_and_calls_all_five(self, provider: str, path: str) -> None:
        transport = ZEEP.Transport()
        with transport.session:
            client = ZEEP.Client(f"{provider}{path}?wsdl", transport=transport)
            check_operations(client)
            for name in OPERATIONS:
                call = client.bind(name, f"{name}_pttPort")[name]
                if name == "getNHSNumber-v1-0":
                    with pytest.raises(zeep.exceptions.Fault) as caught:
                        call(**envelope_of(name))
                    assert caught.value.message == "Refused"
                    assert caught.value.detail.findtext(f"{{{ITK}}}ToolkitErrorInfo/{{{ITK}}}ErrorCode") == "1000"
                else:
                    answer = call(**envelope_of(name))
                    payload = answer.payloads.payload[0]
                    assert answer.header.trackingid == UUID
                    assert payload.id == f"uuid_{UUID}"
                    assert payload._value_1.tag == f"{{{HL7}}}{name}"
