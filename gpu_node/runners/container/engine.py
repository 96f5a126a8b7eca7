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
MEMORY, PROCESSORS, PROCESSES, SECCOMP = "limits on memory", "limits on processors", "limits on processes", "seccomp"
_CONTROL_GROUPS = ("give it control groups: cgroup v2 with the memory, cpu and pids controllers; where it runs without root, "
                   "have systemd delegate them (Delegate=cpu cpuset io memory pids for user@.service)")
MENDING = {
    MEMORY: _CONTROL_GROUPS, PROCESSORS: _CONTROL_GROUPS, PROCESSES: _CONTROL_GROUPS,
    SECCOMP: "use an engine that is built with seccomp, without seccomp=unconfined among its defaults",
}


def words_of(trouble: BaseException) -> str:
    """What the engine itself said: for this host's log alone, as it may name files and addresses."""
    return str(getattr(trouble, "explanation", None) or trouble)


class EngineMissing(NodeError):
    """There is no engine that this node may use; the message says what to do."""


@dataclass(frozen=True)
class Engine:
    """`user_namespace` is the mode to ask for, or None where the engine does it by itself or can't (`has_user_namespace`).
    `ignores`: what it is told of a container and takes no notice of; each a key of `MENDING`."""

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
    ignores: tuple[str, ...] = ()

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
        _refuse(said, is_production)
    if engine.ignores:
        _refuse(f"{engine.name} takes no notice of {', '.join(engine.ignores)}: one container can take this whole host; "
                f"{mending(engine)}", is_production)


def _refuse(said: str, is_production: bool) -> None:
    """Development goes on, with a word for whoever reads its log."""
    if is_production:
        raise EngineMissing(said)
    log.warning(f"NOT SAFE FOR STRANGERS' PROGRAMS, and refused in production: {said}")


def mending(engine: Engine) -> str:
    """What makes an engine keep what it ignores."""
    return "; ".join(dict.fromkeys(MENDING[name] for name in engine.ignores))


def ignored(about: dict[str, Any], is_rootless: bool) -> tuple[str, ...]:
    """Of what confines a container, what the engine's `/info` does not say that it keeps: silence is a no."""
    has_cgroups = about.get("CgroupDriver") not in (None, "", "none")
    # Without root nobody may write limits to the old control groups, and podman only warns of it.
    has_cgroups = has_cgroups and not (is_rootless and str(about.get("CgroupVersion")) == "1")
    keeps = {
        MEMORY: has_cgroups and about.get("MemoryLimit") is True,
        PROCESSORS: has_cgroups and (about.get("CpuCfsQuota") is True or about.get("CPUCfsQuota") is True),
        PROCESSES: has_cgroups and about.get("PidsLimit") is True,
        SECCOMP: any(said.startswith("name=seccomp") and "unconfined" not in said for said in about.get("SecurityOptions") or ()),
    }
    return tuple(name for name, is_kept in keeps.items() if not is_kept)


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
        store=Path(about.get("DockerRootDir") or "/nonexistent"), ignores=ignored(about, is_rootless),
    )


def _has_subordinate_ids() -> bool:
    """Whether podman may make up a user namespace for each container by itself."""
    def named(path: Path) -> bool:
        try:
            return any(line.startswith(f"{CONTAINERS_USER}:") for line in path.read_text().splitlines())
        except OSError:
            return False

    return all(map(named, SUBORDINATE))
