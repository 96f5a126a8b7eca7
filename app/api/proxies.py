"""X-Forwarded-For counts only when it comes from a proxy that the operator named. `Forwarded`, `X-Real-IP` and `X-Forwarded-Host`
never do: what the hub says of its own address is made of PUBLIC_URL."""

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from app.values.networks import Network

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """WSGI middleware: the client is the last hop that is not one of ours; what it claims to forward is not believed."""

    def __init__(self, app: "WSGIApplication", networks: list[Network]) -> None:
        self._app, self._networks = app, networks

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        sender = read_hop(str(environ.get("REMOTE_ADDR", "")))
        if sender is not None and self._is_ours(sender):
            environ.update(self._believed(environ))
        return self._app(environ, start_response)

    def _believed(self, environ: "WSGIEnvironment") -> dict[str, Any]:
        """From the nearest hop on; the first that cannot be read ends it, and the client is then the proxy before."""
        hops = str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")  # several lines are one by now
        believed = {}
        while hops:
            text = hops.pop().strip()
            hop = read_hop(text)
            if hop is None:
                break
            believed["REMOTE_ADDR"] = str(hop)
            if not self._is_ours(hop):
                break
        scheme = str(environ.get("HTTP_X_FORWARDED_PROTO", "")).rpartition(",")[2].strip().lower()  # the nearest proxy's word
        if scheme in ("http", "https"):
            believed["wsgi.url_scheme"] = scheme
        return believed

    def _is_ours(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def read_hop(text: str) -> Address | None:
    """The address of one hop: 192.0.2.1, 192.0.2.1:4711, 2001:db8::1, [2001:db8::1] or [2001:db8::1]:4711. An IPv4 address in
    IPv6's clothes is the IPv4 address: it must not have a second name."""
    host = text
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        if rest and not _is_port(rest):
            return None
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_port(text: str) -> bool:
    return text[0] == ":" and text[1:].isascii() and text[1:].isdigit() and len(text) <= 6
