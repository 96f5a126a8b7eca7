"""A pocket container engine for docker-compose.yml: no daemon, no images, but the same commands in the same confinement.

Each service runs in namespaces of its own (network, mounts, processes, host name) with a root that can only be read, its tmpfs,
volumes and secrets where the file says, its user and groups, no capability, no new privileges, its networks by its names, and
its health check run inside. What an image would bring comes from this machine: `images.py` says which programs stand for
which image. Not imitated: limits (no control groups are made), published ports, restarts, logs' rotation, the images' own layers.
"""

import ctypes
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.factories import compose as composing
from tests.system.images import Image

CLONE_NEWNET = 0x40000000
SHADOWED = ("hosts", "passwd", "group", "resolv.conf", "mtab")
BOXED = ["--unshare-ipc", "--unshare-uts", "--die-with-parent"]
SUBNET = "10.213"


@dataclass
class Container:
    """One service, and what is needed to look into it."""

    name: str
    service: dict[str, Any]
    image: Image
    holder: subprocess.Popen[bytes]  # keeps the network namespace, from before the service until after it
    addresses: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    inside: int = 0  # a process in its namespaces
    status: IO[str] | None = None

    @property
    def user(self) -> str:
        return str(self.service.get("user", self.image.user))

    @property
    def environment(self) -> dict[str, str]:
        told = composing.files_of_environment(self.service)
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", **self.image.environment, **told}

    def as_user(self, command: list[str]) -> list[str]:
        uid, gid = self.user.split(":")
        groups = ",".join([gid, *map(str, self.service.get("group_add", []))])
        rights = ["--no-new-privs", "--bounding-set", "-all", "--inh-caps", "-all"]
        return ["setpriv", "--reuid", uid, "--regid", gid, "--groups", groups, *rights, "--", *command]


class EndedEarly(Exception):
    """A service that should run does not; the end of its log says why."""


@dataclass
class Engine:
    """The services of one filled-in compose file, run below `folder`. `entered` puts the caller into the host's network."""

    compose: dict[str, Any]
    folder: Path
    images: Mapping[str, Image]
    aliases: Mapping[str, str] = field(default_factory=dict)  # further names of a service, as a DNS would know them
    containers: dict[str, Container] = field(default_factory=dict)
    last_run: str = ""

    def open(self) -> None:
        """The host: a network namespace with one bridge for each network."""
        self.host = _hold_network()
        lines = ["link set lo up"]
        for number, name in enumerate(self.compose["networks"]):
            lines += [f"link add {name} type bridge", f"addr add {SUBNET}.{number}.1/24 dev {name}", f"link set {name} up"]
        self._ip(self.host, lines)

    def close(self) -> None:
        for container in reversed(self.containers.values()):
            self.stop(container.name)
        for holder in [*(container.holder for container in self.containers.values()), self.host]:
            holder.kill()
            holder.wait()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is on the host of the engine."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _join_network(f"/proc/{self.host.pid}/ns/net")
            yield
        finally:
            _join_network(f"/proc/self/fd/{before}")
            os.close(before)

    def create(self, *names: str, **services: dict[str, Any]) -> None:
        """Networks and addresses of services, so that all know each other's names before the first of them starts."""
        for name in (*names, *services):
            service = services.get(name) or self.compose["services"][name]
            holder, addresses = _hold_network(), {}
            lines = ["link set lo up"]
            networks = [] if service.get("network_mode") == "none" else service["networks"]
            for index, network in enumerate(networks):
                order = list(self.compose["networks"]).index(network)
                addresses[network] = f"{SUBNET}.{order}.{len(self.containers) + 10}"
                cable = f"v{len(self.containers)}n{index}"
                self._ip(self.host, [f"link add {cable} type veth peer name eth{index} netns {holder.pid}",
                                     f"link set {cable} master {network} up"])
                lines += [f"addr add {addresses[network]}/24 dev eth{index}", f"link set eth{index} up"]
            self._ip(holder, lines)
            log = self.folder / f"{name}.log"
            self.containers[name] = Container(name, service, self.images[service["image"]], holder, addresses, log)

    def address(self, name: str, network: str = "outside") -> str:
        return self.containers[name].addresses[network]

    def start(self, name: str) -> None:
        container = self.containers[name]
        command = container.as_user([*container.image.entrypoint, *container.service.get("command", [])])
        if "systempaths=unconfined" in container.service.get("security_opt", []):
            # bwrap masks parts of /proc, as engines do: nobody could mount one in a box of his own
            command = ["sh", "-c", 'mount -t proc proc /proc && exec "$@"', "sh", *command]
        status_out, status_in = os.pipe()
        box = [*self._box(container), "--json-status-fd", str(status_in), "--chdir", container.image.folder]
        with container.log.open("ab") as log:
            container.process = subprocess.Popen(
                [*_in_network(container.holder), *box, "--", *command],
                env=container.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, pass_fds=(status_in,), cwd="/",
            )
        os.close(status_in)
        container.status = os.fdopen(status_out)  # open to the end: bwrap tells there how it went
        line = container.status.readline()
        if not line:
            raise EndedEarly(f"{name}: {self.tail(name)}")
        container.inside = json.loads(line)["child-pid"]

    def run(self, name: str, *command: str, timeout_seconds: float = 120) -> int:
        """`docker compose run`: a service that ends, its own command or another; its exit status."""
        if command:
            once = f"{name}-run-{len(self.containers)}"
            self.create(**{once: {**self.containers[name].service, "command": list(command)}})
            name = once
        self.last_run = name
        self.start(name)
        process = self.containers[name].process
        assert process is not None
        return process.wait(timeout_seconds)

    def stop(self, name: str, timeout_seconds: float = 30) -> int | None:
        """SIGTERM to the service's own process, SIGKILL to all of it when it does not end; its exit status."""
        container = self.containers[name]
        process = container.process
        if process is None or process.poll() is not None:
            return process and process.returncode
        os.kill(self._main_process(container), signal.SIGTERM)
        try:
            return process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    @staticmethod
    def _main_process(container: Container) -> int:
        """The service's command: with `init` the first one is a reaper, and the command is its child."""
        is_reaped = container.service.get("init") and container.service.get("pid") != "host"
        children = Path(f"/proc/{container.inside}/task/{container.inside}/children").read_text().split()
        return int(children[0]) if is_reaped and children else container.inside

    def execute(self, name: str, *command: str, timeout_seconds: float = 60, **more: str) -> subprocess.CompletedProcess[str]:
        """`docker compose exec`: a command beside the service, as its user, in everything that confines it."""
        container = self.containers[name]
        inside = ["nsenter", "--target", str(container.inside), "--mount", "--net", "--ipc", "--uts"]
        inside += [] if container.service.get("pid") == "host" else ["--pid"]
        inside += [f"--root=/proc/{container.inside}/root", f"--wdns={container.image.folder}"]
        return subprocess.run(
            [*inside, "--", *container.as_user(list(command))],
            env={**container.environment, **more}, capture_output=True, text=True, timeout=timeout_seconds, cwd="/",
        )

    def is_healthy(self, name: str) -> tuple[bool, str]:
        """What the service's own health check says, and its words."""
        test = self.containers[name].service["healthcheck"]["test"]
        command = ["/bin/sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]
        done = self.execute(name, *command)
        return done.returncode == 0, f"{done.stdout}{done.stderr}".strip()

    def wait_healthy(self, name: str, timeout_seconds: float = 90) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not (found := self.is_healthy(name))[0]:
            process = self.containers[name].process
            if time.monotonic() > deadline or process is None or process.poll() is not None:
                raise EndedEarly(f"{name} is not healthy: {found[1]}\n{self.tail(name)}")
            time.sleep(0.5)  # engines ask again and again, too

    def tail(self, name: str) -> str:
        return self.containers[name].log.read_text(errors="replace")[-3000:]

    def _box(self, container: Container) -> list[str]:
        """bwrap's options for everything that a container of this service would see."""
        service, image = container.service, container.image
        options = ["bwrap", *BOXED, "--hostname", str(service.get("hostname", container.name)), *_system_folders()]
        is_host = service.get("pid") == "host"
        options += ["--dev-bind", "/proc", "/proc"] if is_host else ["--unshare-pid", "--proc", "/proc"]
        options += [] if is_host or service.get("init") else ["--as-pid-1"]
        options += ["--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm", "--ro-bind", "/sys", "/sys"]
        mounts = [*composing.mounts(service), *composing.secret_mounts(self.compose, service)]
        targets = {mount.target for mount in mounts} | {target for _, target in image.files}
        options += _open_folders({"/etc/hosts", "/run/lock", *targets, *image.folders, *service.get("tmpfs", [])})
        options += self._etc(container, targets)
        for target in image.folders:
            options += ["--dir", target]
        for target in service.get("tmpfs", []):
            options += ["--perms", "1777", "--tmpfs", target.replace("/var/run/", "/run/")]
        options += _open_folders({target for _, target in image.files})  # a checkout may lie below /tmp, which is fresh now
        for source, target in image.files:
            options += ["--ro-bind", str(source), target]
        options += ["--symlink", "../run", "/var/run"]
        for mount in mounts:
            options += ["--ro-bind" if mount.is_read_only else "--bind", str(self._source(mount, container)), mount.target]
        return [*options, "--remount-ro", "/"] if service.get("read_only") else options

    def _source(self, mount: composing.Mount, container: Container) -> Path:
        """A named volume is made when it is first used, and belongs to whom the image gave its folder."""
        if not mount.is_volume:
            return (composing.ROOT / mount.source).resolve()
        folder = self.folder / "volumes" / mount.source
        if not folder.exists():
            folder.mkdir(parents=True)
            for name in container.image.volume_folders.get(mount.target, ()):
                (folder / name).mkdir()
                os.chown(folder / name, *map(int, container.user.split(":")))
            os.chown(folder, *map(int, container.user.split(":")))
        return folder

    def _etc(self, container: Container, targets: set[str]) -> list[str]:
        """This machine's /etc, but for names, users, and what is mounted there."""
        own = self.folder / "etc" / container.name
        own.mkdir(parents=True, exist_ok=True)
        uid, gid = container.user.split(":")
        account = "root:x:0:0::/root:/bin/sh\n"
        (own / "hosts").write_text(self._hosts(container))
        (own / "passwd").write_text(f"{account}service:x:{uid}:{gid}::{container.environment['HOME']}:/bin/sh\n")
        (own / "group").write_text(f"root:x:0:\nservice:x:{gid}:\n")
        options = [part for name in ("hosts", "passwd", "group") for part in ("--ro-bind", str(own / name), f"/etc/{name}")]
        taken = {Path(target).parts[2] for target in targets if target.startswith("/etc/")}
        for entry in sorted(Path("/etc").iterdir()):
            if entry.name not in SHADOWED and entry.name not in taken and entry.exists():
                options += ["--ro-bind", str(entry), str(entry)]
        return options

    def _hosts(self, container: Container) -> str:
        lines = [f"127.0.0.1 localhost {container.service.get('hostname', container.name)}"]
        for other in self.containers.values():
            shared = [network for network in container.addresses if network in other.addresses]
            if shared and other is not container:
                names = [other.name, *(alias for alias, name in self.aliases.items() if name == other.name)]
                lines.append(f"{other.addresses[shared[0]]} {' '.join(names)}")
        for alias, name in self.aliases.items():
            if name == "host" and container.addresses:
                network = next(iter(container.addresses))
                lines.append(f"{SUBNET}.{list(self.compose['networks']).index(network)}.1 {alias}")
        return "\n".join(lines) + "\n"

    def _ip(self, holder: subprocess.Popen[bytes], lines: list[str]) -> None:
        command = [*_in_network(holder), "ip", "-batch", "-"]
        done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"


def _system_folders() -> list[str]:
    """/usr, and the old names that point into it."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "lib", "lib64", "sbin"):
        options += ["--symlink", f"usr/{name}", f"/{name}"]
    return options


def _open_folders(targets: set[str]) -> list[str]:
    """Every folder above what is mounted: bwrap would make them for root alone."""
    above = {str(folder) for target in targets for folder in Path(target.replace("/var/run/", "/run/")).parents}
    return [part for folder in sorted(above - {"/", "/usr"}) for part in ("--dir", folder)]


def _in_network(holder: subprocess.Popen[bytes]) -> list[str]:
    return ["nsenter", f"--net=/proc/{holder.pid}/ns/net", "--"]


def _hold_network() -> subprocess.Popen[bytes]:
    """A process that keeps a network namespace of its own, and ends with us."""
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "echo; exec sleep infinity"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()  # it is there
    holder.stdout.close()
    return holder


def _join_network(path: str) -> None:
    namespace = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(namespace)
