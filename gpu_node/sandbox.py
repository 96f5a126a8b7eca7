"""The box a stranger's scene is opened in: no network, no files but its own, no second chance to get out.

bubblewrap where it is there; without it the child runs with limits only, which a warning says and production refuses.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gpu_node.failures import NodeError

log = logging.getLogger(__name__)

NOBODY = "65534"
TMPFS_BYTES = 256 * 1024**2
RUNNER_FOLDER = "/runner"
INPUT_FOLDER = "/in"
OUTPUT_FOLDER = "/out"
LIBRARY_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/OpenCL",
                 "/etc/vulkan", "/etc/glvnd", "/etc/fonts")
GPU_PATHS = ("/dev/dri", "/dev/kfd", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools",
             "/dev/nvidia-modeset")
GPU_CACHES = (".nv", ".cache")


class SandboxMissing(NodeError):
    """A sandbox is demanded and there is none."""


@dataclass(frozen=True)
class Box:
    """One child's view of the world. `kind` is the word in PROTOCOL.md section 6."""

    kind: str
    input_folder: Path
    output_folder: Path
    runner_folder: Path
    gpu_cache: Path | None

    def command(self, python: str, arguments: list[str]) -> list[str]:
        """The command line that runs `python runner_folder/arguments[0] …` in here."""
        if self.kind == "none":
            return [python, "-u", str(self.runner_folder / arguments[0]), *arguments[1:]]
        return [*self._walls(python), "--", python, "-u", f"{RUNNER_FOLDER}/{arguments[0]}", *arguments[1:]]

    def inside(self, path: Path) -> str:
        """The child's name for a path of this host."""
        if self.kind == "none":
            return str(path)
        for folder, name in ((self.input_folder, INPUT_FOLDER), (self.output_folder, OUTPUT_FOLDER)):
            if path.is_relative_to(folder):
                return str(Path(name) / path.relative_to(folder))
        raise ValueError(f"{path} is not visible inside the sandbox")

    @property
    def output_name(self) -> str:
        """The child's name for its output folder."""
        return self.inside(self.output_folder)

    def environment(self) -> dict[str, str]:
        """For the child: nothing of this process's secrets."""
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES") if name in os.environ}
        home = str(self.output_folder) if self.kind == "none" else "/home/render"
        return {"PATH": "/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **kept}

    def _walls(self, python: str) -> list[str]:
        walls = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
                 "--uid", NOBODY, "--gid", NOBODY, "--hostname", "render",
                 "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev",
                 "--size", str(TMPFS_BYTES), "--tmpfs", "/tmp", "--size", str(TMPFS_BYTES), "--tmpfs", "/home",
                 "--size", str(TMPFS_BYTES), "--tmpfs", "/dev/shm"]
        if can_forbid_namespaces():
            walls += ["--unshare-user", "--disable-userns"]
        for name in ("/lib", "/lib64", "/bin", "/sbin", "/lib32"):
            walls += _top_level(name)
        for folder in python_folders(python):
            walls += ["--ro-bind", folder, folder]
        for path in LIBRARY_FILES:
            walls += ["--ro-bind-try", path, path]
        walls += self._gpu_walls()
        walls += ["--ro-bind", str(self.runner_folder), RUNNER_FOLDER, "--ro-bind", str(self.input_folder), INPUT_FOLDER,
                  "--bind", str(self.output_folder), OUTPUT_FOLDER, "--chdir", OUTPUT_FOLDER]
        # bubblewrap's own root and /dev lie in memory without a limit, where no reading of the child's memory sees them.
        return [*walls, "--remount-ro", "/dev", "--remount-ro", "/"]

    def _gpu_walls(self) -> list[str]:
        """Devices and the driver's kernel caches, only where this host has a GPU to share.

        The caches outlive the job, so they are all of the home that does: Blender's start-up scripts lie there, too.
        """
        if self.gpu_cache is None:
            return ["--dir", "/home/render"]
        walls = ["--ro-bind-try", "/sys", "/sys"]
        for name in GPU_CACHES:
            (self.gpu_cache / name).mkdir(parents=True, exist_ok=True)
            walls += ["--bind", str(self.gpu_cache / name), f"/home/render/{name}"]
        numbered = [str(path) for path in Path("/dev").glob("nvidia[0-9]*")]
        for path in (*GPU_PATHS, *numbered):
            walls += ["--dev-bind-try", path, path]
        return walls


def _top_level(name: str) -> list[str]:
    path = Path(name)
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), name]
    return ["--ro-bind", name, name] if path.exists() else []


@cache
def python_folders(python: str) -> tuple[str, ...]:
    """The folders that this interpreter needs to start: its environment and the base installation it links to."""
    asked = subprocess.run([python, "-c", "import sys; print(sys.prefix); print(sys.base_prefix)"],
                           capture_output=True, text=True, timeout=30, check=True)
    named = set(asked.stdout.splitlines())
    folders = {os.path.realpath(line) for line in named} | named
    return tuple(sorted(folder for folder in folders if folder != "/usr" and not folder.startswith("/usr/")))


@cache
def bubblewrap_works() -> bool:
    """Whether an unprivileged box can really be made here, not only whether the program is installed."""
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        return False
    tried = subprocess.run(
        ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
         "--uid", NOBODY, "--gid", NOBODY, "true"],
        capture_output=True, text=True, timeout=30, check=False)
    if tried.returncode:
        log.warning("bubblewrap is installed but can't make a box here", extra={"stderr": tried.stderr[-300:]})
    return tried.returncode == 0


@cache
def can_forbid_namespaces() -> bool:
    """Whether this bubblewrap (0.8 or newer) can keep the child from boxes of its own, with file systems of its own in memory."""
    tried = subprocess.run(
        ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--ro-bind", "/", "/", "--dev", "/dev",
         "--proc", "/proc", "--uid", NOBODY, "--gid", NOBODY, "true"],
        capture_output=True, text=True, timeout=30, check=False)
    if tried.returncode:
        log.warning("this bubblewrap can't forbid namespaces inside the box: 0.8 or newer can",
                    extra={"stderr": tried.stderr[-300:]})
    return tried.returncode == 0


def choose_sandbox(asked: str, production: bool) -> str:
    """'bubblewrap' or 'none'. Raises SandboxMissing when it is demanded, or in production, and does not work."""
    if asked == "none" and not production:
        log.warning("NODE_SANDBOX=none: scenes run with limits only; a hostile scene can read this user's files")
        return "none"
    if bubblewrap_works():
        return "bubblewrap"
    advice = "install it (apt-get install bubblewrap) and allow unprivileged user namespaces"
    if production or asked == "bubblewrap":
        raise SandboxMissing(f"bubblewrap does not work on this host: {advice}")
    log.warning("no sandbox: scenes run with limits only; a hostile scene can read this user's files. %s", advice)
    return "none"
