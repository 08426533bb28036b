"""The WSDL and its schemas as they are served: with this endpoint's addresses instead of relative files.

On disk the WSDL leads to its schemas by relative file names, so that tools can read it from a folder. Served, the same
documents lead to ``?xsd=NAME`` at the URL they were asked from, with bare names only: a name with a path in it never
leaves. What they describe is not changed.
"""

from collections.abc import Mapping
from posixpath import basename
from typing import Final
from urllib.parse import quote, urlsplit

from lxml import etree

from smsp_provider.xmlcore.names import WSDL, XSD
from smsp_provider.xmlcore.parse import parse

__all__ = ["render_wsdl", "render_xsd"]

_SOAP_BINDING: Final = "http://schemas.xmlsoap.org/wsdl/soap/"
_REFERENCES: Final = (f"{{{XSD}}}include", f"{{{XSD}}}import", f"{{{XSD}}}redefine")


def render_wsdl(wsdl: bytes, *, request_url: str, service_paths: Mapping[str, str] | None = None) -> bytes:
    """The WSDL for a client that asked at ``request_url`` (its query does not matter).

    Asked on a path of one service, every service gets its own path of ``service_paths`` (service name to path, absolute
    on this server); asked anywhere else, all services get the path that was asked on.

    Raises:
        KeyError: ``service_paths`` names some of the WSDL's services, but not all.
    """
    here = urlsplit(request_url)._replace(query="", fragment="")
    paths = service_paths or {}
    root = parse(wsdl)
    for service in root.iter(f"{{{WSDL}}}service"):
        path = paths[service.get("name", "")] if here.path in paths.values() else here.path
        for address in service.iter(f"{{{_SOAP_BINDING}}}address"):
            address.set("location", here._replace(path=path).geturl())
    return _rendered(root, here.geturl())


def render_xsd(xsd: bytes, *, request_url: str) -> bytes:
    """A schema for a client that asked at ``request_url``: what it includes is found there too."""
    return _rendered(parse(xsd), urlsplit(request_url)._replace(query="", fragment="").geturl())


def _rendered(root: etree._Element, url: str) -> bytes:
    """The document with its schema locations below ``url``."""
    for reference in root.iter(*_REFERENCES):
        location = reference.get("schemaLocation")
        if location is not None:
            reference.set("schemaLocation", f"{url}?xsd={quote(basename(location))}")
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)
