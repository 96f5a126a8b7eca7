"""The container engine on this host, Docker's or podman's, over its socket: whether it is there, and what it can do."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException

from gpu_node.failures import NodeError

log = logging.getLogger(__name__)

CALL_SECONDS = 60.0
PROBE_SECONDS = 60.0
NVIDIA = "nvidia"
TROUBLES = (DockerException, requests.RequestException, OSError)
CONTAINERS_USER = "containers"
PODMANS_OWN = "auto:size=65536"
SUBORDINATE = (Path("/etc/subuid"), Path("/etc/subgid"))


class EngineMissing(NodeError):
    """There is no engine that this node may use; the message says what to do."""


@dataclass(frozen=True)
class Engine:
    """`user_namespace` is the mode to ask for, or None where the engine does it by itself or can't (`has_user_namespace`)."""

    address: str
    name: str
    version: str
    cpu_count: int
    memory_bytes: int
    has_user_namespace: bool
    user_namespace: str | None
    is_rootless: bool
    gives_gpus: bool
    store: Path

    def open(self, timeout_seconds: float | None = CALL_SECONDS) -> docker.APIClient:
        """A client; use it from one thread. `timeout_seconds` None: wait for as long as it takes."""
        return docker.APIClient(base_url=self.address, version="auto", timeout=timeout_seconds)  # type: ignore[arg-type]

    def answers(self) -> bool:
        """Whether it is there now."""
        try:
            with self.open(PROBE_SECONDS) as client:
                return bool(client.ping())
        except TROUBLES as trouble:
            log.warning("the container engine does not answer", extra={"engine": self.address, "reason": str(trouble)})
            return False


def find_engine(address: str, is_production: bool) -> Engine:
    """The engine at `address`, or the first usual one that answers where it is `auto`. Raises EngineMissing."""
    if address == "off":
        raise EngineMissing("NODE_CONTAINER_ENGINE is off: no containers are run")
    tried = [address] if address != "auto" else usual_addresses()
    for one in tried:
        try:
            engine = _ask(one)
        except TROUBLES as trouble:
            log.debug("no engine answers", extra={"engine": one, "reason": str(trouble)})
            continue
        check(engine, is_production)
        return engine
    raise EngineMissing(f"no container engine answers at {', '.join(tried) or 'any usual place'}: install Docker, or podman and "
                        "start its service (systemctl enable --now podman.socket), or set NODE_CONTAINER_ENGINE")


def usual_addresses() -> list[str]:
    """Sockets that are here, this user's own first."""
    folder = os.environ.get("XDG_RUNTIME_DIR")
    own = [f"{folder}/docker.sock", f"{folder}/podman/podman.sock"] if folder else []
    return [f"unix://{path}" for path in (*own, "/var/run/docker.sock", "/run/podman/podman.sock") if _is_socket(path)]


def _is_socket(path: str) -> bool:
    """A folder that this user may not look into holds no engine of his."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def check(engine: Engine, is_production: bool) -> None:
    """Raises EngineMissing where strangers' containers can't be run safely, or not cleaned up."""
    if os.geteuid() != 0 and not engine.is_rootless:
        raise EngineMissing(f"{engine.name} runs as root and this node does not: it could not remove what containers leave; "
                            "use a rootless engine of this user's, or run the node as root")
    if not engine.has_user_namespace:
        said = f"{engine.name} gives containers no user namespace: root in one is root of this host; {advice(engine.name)}"
        if is_production:
            raise EngineMissing(said)
        log.warning(said)


def advice(name: str) -> str:
    """What gives an engine's containers a user namespace."""
    if name == "podman":
        return f"add a line `{CONTAINERS_USER}:2147483647:2147483648` to /etc/subuid and /etc/subgid"
    return 'set "userns-remap": "default" in /etc/docker/daemon.json'


def _ask(address: str) -> Engine:
    client = docker.APIClient(base_url=address, version="auto", timeout=PROBE_SECONDS)  # type: ignore[arg-type]
    try:
        version, about = client.version(), client.info()
    finally:
        client.close()
    return describe(address, version, about)


def describe(address: str, version: dict[str, Any], about: dict[str, Any]) -> Engine:
    """What `/version` and `/info` say."""
    parts = [str(part.get("Name", "")) for part in version.get("Components") or []]
    is_podman = any("podman" in part.lower() for part in parts)
    options = " ".join(about.get("SecurityOptions") or [])
    is_rootless = "name=rootless" in options or about.get("Rootless") is True
    can_ask = is_podman and not is_rootless and _has_subordinate_ids()
    return Engine(
        address=address, name="podman" if is_podman else "docker", version=str(version.get("Version")),
        cpu_count=int(about.get("NCPU") or os.cpu_count() or 1), memory_bytes=int(about.get("MemTotal") or 0),
        has_user_namespace=is_rootless or "name=userns" in options or can_ask,
        user_namespace=PODMANS_OWN if can_ask else None, is_rootless=is_rootless,
        # podman's Docker API takes device requests and passes over them without a word.
        gives_gpus=not is_podman and NVIDIA in (about.get("Runtimes") or {}),
        store=Path(about.get("DockerRootDir") or "/nonexistent"),
    )


def _has_subordinate_ids() -> bool:
    """Whether podman may make up a user namespace for each container by itself."""
    def named(path: Path) -> bool:
        try:
            return any(line.startswith(f"{CONTAINERS_USER}:") for line in path.read_text().splitlines())
        except OSError:
            return False

    return all(map(named, SUBORDINATE))
