"""Requests that are HTTP by the letter, or nearly so, and that no client of this service sends.

What a proxy and this server could read differently ends one request and begins another (request smuggling), and what
has several spellings gets past a rule for one of them. So there is one spelling; all else is refused before anything
looks at it, with a bare status (:meth:`smsp_provider.web.worker.BoundWorker.handle_error`).

Source: serving.md section 3.
"""

from typing import Any, Final

from gunicorn.http.errors import InvalidHeader, InvalidRequestLine, UnsupportedTransferCoding

from smsp_provider.web.proxy import ADDRESS_HEADER, CERTIFICATE_HEADER

__all__ = ["check_framing"]

_HTTP_1_1: Final = (1, 1)
_SET_BY_NGINX: Final = (CERTIFICATE_HEADER.upper(), ADDRESS_HEADER.upper())


def check_framing(request: Any, *, behind_proxy: bool) -> None:  # noqa: ANN401 - gunicorn has no types
    """Check what gunicorn lets through of a request that it has read; the exceptions are gunicorn's own.

    Raises:
        InvalidRequestLine: the target is not a plain path (absolute form, ``*``, a fragment), or something in the path
            is percent-encoded, which nothing of ours needs.
        InvalidHeader: there is no Host although it is HTTP/1.1, or a header of nginx comes twice.
        UnsupportedTransferCoding: another coding than ``chunked``; behind nginx, which sends lengths, any.
    """
    path = request.uri.partition("?")[0]
    if not path.startswith("/") or "%" in path or "#" in request.uri:
        raise InvalidRequestLine("target")
    names = [name for name, _ in request.headers]
    if request.version >= _HTTP_1_1 and "HOST" not in names:
        raise InvalidHeader("HOST", req=request)
    if behind_proxy and any(names.count(name) > 1 for name in _SET_BY_NGINX):
        raise InvalidHeader("DUPLICATE", req=request)
    codings = [value.strip().lower() for name, value in request.headers if name == "TRANSFER-ENCODING"]
    if codings and (behind_proxy or codings != ["chunked"]):
        raise UnsupportedTransferCoding("coding")
