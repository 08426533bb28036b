"""The requests that the load generator sends: light to import, since it is a process anew for every load."""

from dataclasses import replace
from datetime import UTC, datetime

from lxml import etree

from itk_messages import NHS_NUMBER, Fields, request_for
from smsp_provider.domain.service import Service
from smsp_provider.engine.system import RandomIds

__all__ = ["DATE_OF_BIRTH", "PATH", "Requests", "indented"]

PATH = "/smsp/pds"
DATE_OF_BIRTH = "19710523"
_ADDRESS = "urn:nhs-uk:addressing:ods"
_HANDLING = (
    '<itk:handlingSpecification><itk:spec key="urn:nhs-itk:ns:201005:interaction"'
    ' value="urn:nhs-itk:interaction:verifyNHSNumberRequest-v1-0"/></itk:handlingSpecification>'
)


class Requests:
    """Verifications of one patient as clients send them (indented, with address list and handling specification).

    ``body()`` is fresh at the time it is asked for and has a MessageID of its own, as real requests do.
    """

    def __init__(self) -> None:
        request = replace(
            request_for(
                Service.VERIFY_NHS_NUMBER,
                Fields(nhs_number=NHS_NUMBER, date_of_birth=DATE_OF_BIRTH, family="Quillfeather", given="Orla"),
                now=datetime.now(UTC),
            ),
            wsa_from=f"{_ADDRESS}:X26:clinic",
            reply_to="http://www.w3.org/2005/08/addressing/anonymous",
            addresses=(f"{_ADDRESS}:YEA:smsp",),
            audit_ids=((None, "urn:nhs-uk:identity:ods:X26:clinic:9047"),),
            sender_address=f"{_ADDRESS}:X26:clinic",
            extra_envelope_header_markup=_HANDLING,
        )
        assert request.message_id is not None
        self.soap_action = request.soap_action
        self._old = request.message_id.encode()
        self._template = indented(request.body(), "  ")
        self._ids = RandomIds()

    def body(self) -> bytes:
        """One request, about 3.3 kB."""
        return self._template.replace(self._old, self._ids.new_uuid().encode(), 1)


def indented(document: bytes, space: str) -> bytes:
    """The document with every level further in by ``space``."""
    root = etree.fromstring(document)
    etree.indent(root, space)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
