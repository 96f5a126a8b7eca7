"""Which addresses a URL given by a stranger may lead to: the public internet only, unless the operator
allows private ones."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from app.errors import InvalidInput, Unavailable

Resolver = Callable[[str, int], list[str]]
"""Host name and port to IP addresses in text; OSError where there are none."""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_LIMIT_CHARS = 2048
MAX_ADDRESSES = 16
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_HIDING_V4_IN_V6 = [ipaddress.ip_network(text) for text in ("2002::/16", "2001::/32", "3fff::/20")]
_SPECIAL_V4 = [
    ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "0.0.0.0/8", "240.0.0.0/4")
]
_PRIVATE_V4 = [
    ipaddress.ip_network(text) for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
]
_PRIVATE_V6 = [ipaddress.ip_network(text) for text in ("::1/128", "fc00::/7")]
_LOW_PORTS = {80, 443}
_SERVICE_PORTS = {
    1433,
    1521,
    2049,
    2375,
    2376,
    2379,
    3306,
    3389,
    4369,
    5432,
    5672,
    5900,
    6379,
    6443,
    6666,
    6667,
    9042,
    9200,
    9300,
    10250,
    11211,
    15672,
    25672,
    27017,
}
_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_NUMBER_AT_THE_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_LOCAL_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa")


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL that may be asked, and every address its name had at the one time it was looked up."""

    url: httpx.URL
    host: str
    port: int
    addresses: tuple[str, ...]


def validate_public_url(url: str, allow_private: bool = False) -> str:
    """What can be told about a URL without asking anybody: shape, port, literal address. Returns it
    normalised.

    For registration. The name itself is looked up and checked each time it is used (`resolve`), since it may
    change.
    """
    parsed = _parse(url)
    host = _host_of(parsed)
    literal = _literal(host)
    if literal is not None:
        _check_address(literal, allow_private)
    elif not allow_private and (
        host in _LOCAL_NAMES or host.endswith(tuple(f".{name}" for name in _LOCAL_NAMES))
    ):
        raise _refuse("it names a host on a private network")
    return str(parsed)


def resolve(url: str, allow_private: bool, resolver: Resolver) -> CheckedUrl:
    """Look the name up once; every address it has must be allowed, or none is used."""
    parsed = httpx.URL(validate_public_url(url, allow_private))
    host, port = _host_of(parsed), _port_of(parsed)
    literal = _literal(host)
    texts = [str(literal)] if literal is not None else _look_up(host, port, resolver)
    for text in texts:
        _check_address(_read_address(text), allow_private)
    return CheckedUrl(parsed, host, port, tuple(dict.fromkeys(texts)))


def is_literal(host: str) -> bool:
    """Whether a host is written as its address, so that nobody need be asked for it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def system_resolver(host: str, port: int) -> list[str]:
    """The machine's own resolver."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _parse(url: str) -> httpx.URL:
    if not isinstance(url, str) or not 8 <= len(url) <= URL_LIMIT_CHARS:
        raise _refuse(f"it must be a text of 8 to {URL_LIMIT_CHARS} characters")
    if not url.isprintable() or any(char in url for char in " \\"):
        raise _refuse("it holds spaces, backslashes or characters that cannot be seen")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise _refuse("it cannot be read") from error
    if parsed.scheme not in ("http", "https"):
        raise _refuse("it must begin with https:// or http://")
    if parsed.userinfo or "@" in parsed.netloc.decode("ascii", "replace") or "@" in url.split("/")[2]:
        raise _refuse("it must not hold a user name or password")
    _check_port(_port_of(parsed))
    return parsed.copy_with(fragment=None)


def _port_of(url: httpx.URL) -> int:
    return url.port if url.port is not None else (443 if url.scheme == "https" else 80)


def _check_port(port: int) -> None:
    if not 1 <= port <= 65535 or (port < 1024 and port not in _LOW_PORTS) or port in _SERVICE_PORTS:
        raise _refuse(f"port {port} is not one of a web server (80, 443 or from 1024 on)")


def _host_of(url: httpx.URL) -> str:
    host = url.raw_host.decode("ascii").lower().strip("[]").removesuffix(".")
    if ":" in host or _literal(host) is not None:
        return host
    if _NUMBER_AT_THE_END.fullmatch(host):
        raise _refuse("its host is an address in an unusual spelling; write it as a.b.c.d")
    if not _NAME.fullmatch(host):
        raise _refuse("its host name is not valid")
    return host


def _literal(host: str) -> IpAddress | None:
    if ":" in host:
        return _read_address(host)
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


def _read_address(text: str) -> IpAddress:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise _refuse("its host has an address that cannot be read") from error


def _look_up(host: str, port: int, resolver: Resolver) -> list[str]:
    try:
        texts = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise Unavailable(
            f"The host {host} cannot be found. Check its name.", code="ENDPOINT_UNKNOWN_HOST"
        ) from error
    if not texts or len(texts) > MAX_ADDRESSES:
        raise Unavailable(f"The host {host} has {len(texts)} addresses.", code="ENDPOINT_UNKNOWN_HOST")
    return texts


def _check_address(address: IpAddress, allow_private: bool) -> None:
    if _is_public(address) or (allow_private and _is_private(address)):
        return
    raise _refuse("it leads to an address that is not on the public internet")


def _is_public(address: IpAddress) -> bool:
    """IPv6 counts only within 2000::/3, which leaves out mapped and NAT64 addresses; tunnels that hide
    an IPv4 one do too."""
    if isinstance(address, ipaddress.IPv4Address):
        return (
            address.is_global and not address.is_multicast and not any(address in net for net in _SPECIAL_V4)
        )
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return False
    return (
        address.is_global and not address.is_multicast and not any(address in net for net in _HIDING_V4_IN_V6)
    )


def _is_private(address: IpAddress) -> bool:
    """Loopback and private networks; link-local stays closed, as clouds keep their credentials there."""
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _PRIVATE_V4)
    return address.scope_id is None and any(address in network for network in _PRIVATE_V6)


def _refuse(reason: str) -> InvalidInput:
    return InvalidInput(f"The URL is refused: {reason}.", code="URL_REFUSED")
