"""A Docker of the tests' own: its daemon and its store below one folder, with user namespaces and without a network. Others must
be able to pass through the folders above it: root of a container is another user."""

import shutil
import subprocess
from pathlib import Path

from tests.factories.stacks import wait_until
from tests.system.containers.podman import busybox_archive

COMMANDS = ("dockerd", "containerd", "runc", "busybox", "unshare")
OWNER, SUBORDINATE = "games", "games:200000:65536\n"  # a user with a group of his name, as Debian has it


def missing() -> list[str]:
    return [name for name in COMMANDS if shutil.which(name) is None]


class Docker:
    """As `Podman` is: the daemon in a mount namespace of its own, where the user has subordinate ids."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket, self.log = folder, folder / "docker.sock", folder / "docker.log"
        (folder / "subordinate").write_text(SUBORDINATE)
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        subprocess.run(["mount", "--make-shared", str(folder)], check=True)
        options = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--host", self.address, "--pidfile",
                   f"{folder}/pid", "--iptables=false", "--ip6tables=false", "--bridge=none", f"--userns-remap={OWNER}"]
        names = folder / "subordinate"
        inside = f"mount --bind {names} /etc/subuid && mount --bind {names} /etc/subgid && exec dockerd {' '.join(options)}"
        box = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", inside]
        with self.log.open("wb") as log:
            self._daemon = subprocess.Popen(box, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: self._daemon.poll() is not None or "API listen on" in self.log.read_text(), "Docker's daemon", 90)
        assert self._daemon.poll() is None, self.log.read_text()[-2000:]

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    def close(self) -> None:
        self._daemon.terminate()
        try:
            self._daemon.wait(60)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        subprocess.run(["umount", "--recursive", "--lazy", str(self.folder)], check=True)


def image_archive(folder: Path) -> bytes:
    """The same tiny image as podman's."""
    return busybox_archive(folder / "tiny").read_bytes()
