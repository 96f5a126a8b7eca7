"""Which registries an engine may be sent to: a stranger names them, and this host's own network is none of his business.

It is the engine that goes there. Where it is sent on from there, by a redirect, by the address of a token's issuer, or by a layer
that says to lie elsewhere (podman follows those), nobody here sees: only a wall around the engine keeps it out of this network.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from gpu_node.failures import FailureCode, WorkFailed

HUB, HTTPS_PORT = "docker.io", "443"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class RegistryRules:
    """`own` are let through wherever they are. Of others: `allowed` alone, or all where it is empty; at public addresses, and
    where it `is_strict` (production) by name at the usual port."""

    own: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    is_strict: bool = False


def check_registry(registry: str, rules: RegistryRules) -> None:
    """`registry` is `host` or `host:port`. Raises WorkFailed for one that this host does not go to.

    A name that is told another address a moment later gets a registry's few GETs there, and only their failure is told.
    """
    if registry in rules.own:
        return
    if rules.allowed and registry not in rules.allowed:
        raise _refused(f"this host pulls from {', '.join(rules.allowed)} alone, not from {registry}")
    if registry == HUB:
        return
    host, _, port = registry.rpartition(":") if registry.rpartition(":")[2].isdigit() else (registry, "", "")
    host = host.strip("[]")
    if rules.is_strict and registry not in rules.allowed:
        _check_name(registry, host, port)
    found = _addresses(host)
    if any(not _is_public(address) for address in found):
        raise _refused(f"the registry {registry} is at no public address: this host pulls nothing there")
    if rules.is_strict and not found and registry not in rules.allowed:
        # An engine with a proxy may know it; whose host that is names it among the allowed.
        raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"this host finds no address of the registry {registry}")


def _check_name(registry: str, host: str, port: str) -> None:
    # Not every writing of an address is one to Python, and the C library reads 0x7f000001 and 127.1 as addresses, too.
    if "." not in host or not host.rpartition(".")[2].strip("-").isalpha():
        raise _refused(f"this host pulls from registries by their whole names alone, not from {registry}")
    if port not in ("", HTTPS_PORT):
        raise _refused(f"this host pulls from registries at port {HTTPS_PORT} alone, not from {registry}")


def _is_public(address: Address) -> bool:
    """Also what an IPv6 address means in IPv4."""
    meant = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and (meant is None or meant.is_global)


def _addresses(host: str) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _refused(said: str) -> WorkFailed:
    return WorkFailed(FailureCode.IMAGE_NOT_FOUND, said)
