"""A podman of the tests' own: its service, store and images below one folder, nothing of this machine's is touched.

All of it is in one mount namespace, in which /etc/subuid and /etc/subgid have the line that user namespaces need: the same one
when the service is restarted, as on a host, for podman counts what it has mounted.
"""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.factories.stacks import wait_until

SUBORDINATE = "containers:2147483647:2147483648\n"
COMMANDS = ("podman", "runc", "busybox", "unshare", "mkfs.ext4")
APPLETS = ("sh", "dd", "cat", "sleep", "nc", "ls", "id", "tail", "mkdir", "ln", "chmod", "head", "true", "yes", "mount", "touch",
           "grep", "wc", "usleep")


def missing() -> list[str]:
    return [name for name in COMMANDS if shutil.which(name) is None]


class Podman:
    """`start`, then `address`; `stop` leaves nothing running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "podman.sock"
        self.log, self._registries, names = folder / "podman.log", folder / "registries.conf", folder / "subordinate"
        names.write_text(SUBORDINATE)
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        subprocess.run(["mount", "--make-shared", str(folder)], check=True)
        box = f"mount --bind {names} /etc/subuid && mount --bind {names} /etc/subgid && echo ready && exec sleep infinity"
        self._holder = subprocess.Popen(["unshare", "--mount", "--propagation", "slave", "sh", "-c", box], stdout=subprocess.PIPE)
        assert self._holder.stdout is not None and self._holder.stdout.readline() == b"ready\n"
        self._service: subprocess.Popen[bytes] | None = None
        enter = ["nsenter", "--mount", "--target", str(self._holder.pid), "podman"]
        self._inside = [*enter, "--root", str(folder / "store"), "--runroot", str(folder / "run"), "--runtime", "runc",
                        "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--tmpdir", str(folder / "tmp")]

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """What is mounted below the folder shows in there, and none of its own mounts show here."""
        self._registries.touch()
        environment = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(self._registries)}
        command = [*self._inside, "system", "service", "--time", "0", self.address]
        with self.log.open("ab") as log:
            self._service = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        wait_until(self.socket.exists, f"podman's service: {self.log.read_text()[-500:]}")

    def trust_registry(self, location: str) -> None:
        """Have it asked without TLS."""
        self._registries.write_text(f'[[registry]]\nlocation = "{location}"\ninsecure = true\n')
        self.stop()
        self.start()

    def stop(self) -> None:
        """The service alone: its containers go on, as when an engine is restarted."""
        if self._service is not None:
            self._service.terminate()
            self._service.wait(30)
            self._service = None
        self.socket.unlink(missing_ok=True)

    def close(self) -> None:
        """With everything that is left of it."""
        self.stop()
        self.command("rm", "--all", "--force", "--time", "0")
        self._holder.kill()
        self._holder.communicate()
        subprocess.run(["umount", "--recursive", "--lazy", str(self.folder)], check=True)

    def command(self, *arguments: str) -> str:
        done = subprocess.run([*self._inside, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make_image(self, name: str, *changes: str) -> None:
        """An image of busybox alone, this machine's own."""
        options = [option for change in changes for option in ("--change", change)]
        self.command("import", *options, str(busybox_archive(self.folder / f"root-{name}")), f"localhost/{name}:latest")


def busybox_archive(root: Path) -> Path:
    """A root of busybox alone, made in a folder of that name, as a .tar beside it."""
    for folder in ("bin", "tmp", "results", "var", "etc", "dev", "proc", "sys", "run"):
        (root / folder).mkdir(parents=True)
    for program in (shutil.which("busybox") or "", *_libraries("busybox")):
        inside = root / ("bin/busybox" if program.endswith("busybox") else program.lstrip("/"))
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(program, inside)
    for applet in APPLETS:
        os.symlink("busybox", root / "bin" / applet)
    (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
    archive = root.with_suffix(".tar")
    with tarfile.open(archive, "w") as file:
        file.add(root, ".", filter=_as_root)
    return archive


def _libraries(program: str) -> list[str]:
    """None of a static busybox."""
    told = subprocess.run(["ldd", shutil.which(program) or ""], capture_output=True, text=True).stdout
    return [word for line in told.splitlines() for word in line.split() if word.startswith("/")]


def _as_root(item: tarfile.TarInfo) -> tarfile.TarInfo:
    item.uid = item.gid = 0
    return item
