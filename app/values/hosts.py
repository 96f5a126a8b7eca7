"""Whose network a URL's host is in, as far as its spelling says."""

import ipaddress
import socket
from enum import Enum
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Names that no public name server answers for.
_OWN_SUFFIXES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".svc", ".test")


class Reach(Enum):
    """PRIVATE: this machine or a network of one's own. PUBLIC: an address on the internet. NAMED: a name that may be either."""

    PRIVATE, NAMED, PUBLIC = range(3)


def is_here(url: str) -> bool:
    """Whether a URL is of this machine."""
    host = _host(url)
    address = read_address(host)
    if address is None:
        return host == "" or host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def reach_of(url: str) -> Reach:
    """A URL without a host is a unix socket; a name of one word is a container's or a neighbour's."""
    host = _host(url)
    address = read_address(host)
    if address is not None:
        return Reach.PUBLIC if address.is_global else Reach.PRIVATE
    return Reach.PRIVATE if "." not in host or host.endswith(_OWN_SUFFIXES) else Reach.NAMED


def read_address(host: str) -> Address | None:
    """The address that a host is, in any spelling that the system reads as one (127.1, 0x7f000001, ::ffff:127.0.0.1)."""
    try:
        if ":" in host:
            address = ipaddress.IPv6Address(host)
            return address.ipv4_mapped or address
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
