"""Spyne 2.14 as the Spyne adapter needs it, importable on every supported Python.

Spyne carries a copy of six whose module finder lacks what Python 3.12 asks for, so nothing below
``spyne.util.six.moves`` can be imported there, and Python 3.11 warns whenever it is asked. Here the modules
of the standard library stand in those places, and the finder, then without a job, is taken out again.

Python 3.13 lost ``cgi``; the distribution ``legacy-cgi``, which is required there, brings it back.
"""

import collections.abc
import http.cookies
import sys
import urllib.parse
import warnings

__all__ = [
    "AnyXml",
    "Application",
    "MethodContext",
    "ServiceBase",
    "Soap11",
    "WsgiApplication",
    "srpc",
]

for _name, _module in {
    "collections_abc": collections.abc,
    "http_cookies": http.cookies,
    "urllib.parse": urllib.parse,
}.items():
    sys.modules.setdefault(f"spyne.util.six.moves.{_name}", _module)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ImportWarning)
    from spyne import AnyXml, Application, MethodContext, ServiceBase, srpc
    from spyne.protocol.soap import Soap11
    from spyne.server.wsgi import WsgiApplication

sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "spyne.util.six"]
