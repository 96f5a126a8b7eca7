"""X-Forwarded-For counts only when it comes from a proxy that the operator named."""

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from app.values.networks import Network

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

class TrustedProxies:
    """WSGI middleware: the client is the last hop that is not one of ours; what it claims to forward is not believed."""

    def __init__(self, app: "WSGIApplication", networks: list[Network]) -> None:
        self._app, self._networks = app, networks

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if self._is_ours(str(environ.get("REMOTE_ADDR", ""))):
            environ.update(self._believed(environ))
        return self._app(environ, start_response)

    def _believed(self, environ: "WSGIEnvironment") -> dict[str, Any]:
        hops = [hop.strip() for hop in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",") if hop.strip()]
        believed = {}
        while hops:
            hop = hops.pop()
            if not _is_address(hop):
                break
            believed["REMOTE_ADDR"] = hop
            if not self._is_ours(hop):
                break
        if environ.get("HTTP_X_FORWARDED_PROTO") in ("http", "https"):
            believed["wsgi.url_scheme"] = environ["HTTP_X_FORWARDED_PROTO"]
        return believed

    def _is_ours(self, address: str) -> bool:
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self._networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
