"""Which registries an engine may be sent to: a stranger names them, and this host's own network is none of his business."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from gpu_node.failures import FailureCode, WorkFailed


def check_public(registry: str, own: Iterable[str]) -> None:
    """`registry` is `host` or `host:port`; those of `own` are let through. Raises WorkFailed for an address that is not public.

    A name that this host can't resolve is left to the engine, which may have a proxy. One that is told another address a moment
    later gets a registry's few GETs there, and only their failure is told.
    """
    if registry in own or registry == "docker.io":
        return
    host = registry.rpartition(":")[0] if registry.rpartition(":")[2].isdigit() else registry
    if any(not address.is_global for address in _addresses(host.strip("[]"))):
        said = f"the registry {registry} is at no public address: this host pulls nothing there"
        raise WorkFailed(FailureCode.IMAGE_NOT_FOUND, said)


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
