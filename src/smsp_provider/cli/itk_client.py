"""A client of the mini services on zeep: the WSDL, the TLS identity, one call after the other.

The only module that knows zeep. zeep's own error texts can quote a whole answer, so none of them is passed on.
"""

import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import zeep
import zeep.exceptions
from lxml import etree
from requests import Response, Session
from requests import exceptions as http_errors

from smsp_provider.cli.itk_answer import ServiceAnswer, read_fault, read_payload
from smsp_provider.cli.itk_request import CallerIdentity, OutgoingRequest
from smsp_provider.cli.request_signing import RequestSigner
from smsp_provider.domain.requests import RequestFields
from smsp_provider.domain.service import Service
from smsp_provider.observe.logs import quieten_libraries
from smsp_provider.xmlcore.names import ITK
from smsp_provider.xmlcore.resources import wsdl_file

__all__ = ["ClientTLSFiles", "ITKClient", "NoAnswer"]

# Half of zeep's functions have no types.
_ZEEP: Final[Any] = zeep


class NoAnswer(Exception):
    """Nothing usable came back. The text says what happened, without anything of the answer."""


@dataclass(frozen=True, slots=True)
class ClientTLSFiles:
    """PEM files: ``ca`` is who may have signed the server's certificate, the pair is what this client shows."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class ITKClient:
    """Calls one endpoint in one caller's name. For one thread at a time; connections are kept between calls.

    The description is fetched from ``url`` + ``?wsdl``, or with ``served_wsdl=False`` taken from the WSDL that this
    package carries. Calls go to ``url`` whatever address the description names. ``signer`` signs every request.

    Raises:
        NoAnswer: the description cannot be fetched or is none.
        OSError: a TLS file cannot be read.
    """

    def __init__(
        self,
        url: str,
        identity: CallerIdentity,
        *,
        tls: ClientTLSFiles | None = None,
        timeout_seconds: float = 60.0,
        served_wsdl: bool = True,
        signer: RequestSigner | None = None,
    ) -> None:
        quieten_libraries()
        self._url = url
        self._identity = identity
        self._signed = signer is not None
        self._last = _Exchange()
        self._session = _session(tls or ClientTLSFiles())
        self._session.hooks["response"].append(self._last.record)
        transport = _ZEEP.transports.Transport(
            session=self._session, timeout=timeout_seconds, operation_timeout=timeout_seconds
        )
        settings = _ZEEP.Settings(forbid_dtd=True, force_https=False)
        wsdl = f"{url}?wsdl" if served_wsdl else str(wsdl_file())
        try:
            self._client: Any = _ZEEP.Client(wsdl, wsse=signer, transport=transport, settings=settings)
        except (http_errors.RequestException, OSError) as error:
            self.close()
            raise NoAnswer(f"the description at {url}?wsdl cannot be fetched: {_reason(error)}") from None
        except (zeep.exceptions.Error, ValueError):
            self.close()
            raise NoAnswer(f"what {url}?wsdl gives is no usable WSDL") from None
        self._services: dict[Service, Any] = {}

    def close(self) -> None:
        """Close the connections that are kept."""
        self._session.close()

    def call(self, service: Service, fields: RequestFields) -> ServiceAnswer:
        """Call a service with the fields that are given; a fault is an answer.

        Raises:
            NoAnswer: no connection, no answer in time, or an answer that is not the service's.
            ValueError: a field holds a character that XML cannot carry; nothing was sent.
        """
        request = self._request(service, fields, timedelta(minutes=5))
        envelope, headers = request.envelope(), request.headers()
        began = time.perf_counter()
        code, patient, fault = None, None, None
        try:
            answer = self._operation(service)(**envelope, _soapheaders=headers)
        except zeep.exceptions.Fault as error:
            fault = read_fault(str(error.code or ""), str(error.message or ""), error.detail)
        except http_errors.RequestException as error:
            raise NoAnswer(_reason(error)) from None
        except (zeep.exceptions.Error, ValueError):
            raise NoAnswer(f"HTTP status {self._last.status}, and the answer is not SOAP") from None
        else:
            code, patient = read_payload(_payload_of(answer))
        return ServiceAnswer(
            code,
            patient,
            fault,
            self._last.request,
            self._last.response,
            time.perf_counter() - began,
        )

    def message(self, service: Service, fields: RequestFields, valid_for: timedelta) -> bytes:
        """The whole SOAP request as a file's content, without sending it."""
        request = self._request(service, fields, valid_for)
        message = self._client.create_message(
            self._proxy(service), service.value, **request.envelope(), _soapheaders=request.headers()
        )
        # Indentation is white space in what was signed.
        return etree.tostring(message, encoding="utf-8", xml_declaration=True, pretty_print=not self._signed)

    def _request(self, service: Service, fields: RequestFields, valid_for: timedelta) -> OutgoingRequest:
        return OutgoingRequest(service, fields, self._identity, self._url, datetime.now(UTC), valid_for)

    def _operation(self, service: Service) -> Any:  # noqa: ANN401 - zeep makes the operations at run time
        return self._proxy(service)[service.value]

    def _proxy(self, service: Service) -> Any:  # noqa: ANN401 - the same
        if service not in self._services:
            binding = f"{{{ITK}}}{service.value}_pttBinding"
            self._services[service] = self._client.create_service(binding, self._url)
        return self._services[service]


def _payload_of(answer: Any) -> Any:  # noqa: ANN401 - zeep's values have no static types
    payloads = answer.payloads.payload if answer is not None and answer.payloads is not None else []
    if len(payloads) != 1 or payloads[0]["_value_1"] is None:
        raise NoAnswer("the answer has no payload")
    return payloads[0]["_value_1"]


@dataclass(slots=True)
class _Exchange:
    """The last HTTP exchange, byte by byte, for ``--raw``."""

    request: bytes = b""
    response: bytes = b""
    status: int = 0

    def record(self, response: Response, **_options: object) -> None:
        """A hook of the session: called with every answer that came."""
        sent = response.request.body
        self.request = sent if isinstance(sent, bytes) else b""
        self.response, self.status = response.content, response.status_code


def _session(tls: ClientTLSFiles) -> Session:
    for file in (tls.ca, tls.certificate, tls.key):
        if file is not None:
            with file.open("rb"):
                pass  # requests would find it missing only at the first call, and say so in its own words
    session = Session()
    # The environment must not decide whom this client trusts (REQUESTS_CA_BUNDLE), where it goes, or who it is.
    session.trust_env = False
    session.verify = True if tls.ca is None else str(tls.ca)
    if tls.certificate is not None:
        session.cert = str(tls.certificate) if tls.key is None else (str(tls.certificate), str(tls.key))
    return session


def _reason(error: BaseException) -> str:
    """What kind of failure it was, in words of our own."""
    match error:
        case http_errors.SSLError():
            return f"TLS failed ({_ssl_reason(error)})"
        case http_errors.Timeout():
            return "no answer in time"
        case http_errors.HTTPError() if error.response is not None:
            return f"HTTP status {error.response.status_code}"
        case http_errors.InvalidURL() | http_errors.MissingSchema() | http_errors.InvalidSchema():
            return "the URL is not an http(s) URL"
        case http_errors.ConnectionError():
            return _connection_reason(error)
        case _:
            return type(error).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and everything it wraps; requests and urllib3 hand causes on as arguments and ``reason``."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            waiting += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    return found


def _ssl_reason(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return cause.reason.lower().replace("_", " ")
    return "reason unknown"


def _connection_reason(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, http_errors.RequestException):
            return f"no answer ({cause.strerror.lower()})"
    return "no answer (the connection was closed)"
