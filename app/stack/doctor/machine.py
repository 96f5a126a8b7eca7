"""The machine itself: Python and its packages, the user, disk, files, ports, and what earlier stacks left."""

import os
import re
import resource
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from app.stack import leftovers as processes
from app.stack.doctor.finding import FAIL, OK, WARN, Finding
from app.stack.doctor.place import Place
from app.stack.ports import is_free
from app.stack.stack import CHAIN_PORT_OFFSET, TON_PORT_OFFSET
from devnet.ton import program as ton

DISK_WANTED_BYTES = 5 * 10**9
FILES_WANTED = 20_000  # a relay's ten thousand sockets, and what else a process opens
PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:==([^;\s]+))?[^;]*(;.*)?")


def python(_: Place) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        yield Finding(OK, "python", f"{version} in {sys.prefix}")
    else:
        advice = "apt-get install python3.11 python3.11-venv && make clean install"
        yield Finding(FAIL, "python", f"{version}: Blender's module needs 3.11", advice)


def packages(_: Place) -> Iterator[Finding]:
    wrong = []
    for line in metadata.requires("lightyard") or []:
        found = PINNED.fullmatch(line)
        if found is None or found[3]:  # an extra of developers
            continue
        try:
            version = metadata.version(found[1])
        except metadata.PackageNotFoundError:
            wrong.append(f"{found[1]} is missing")
            continue
        if found[2] and version != found[2]:
            wrong.append(f"{found[1]} is {version}, not {found[2]}")
    if wrong:
        advice = f"{sys.executable} -m pip install --require-hashes -r requirements.lock"
        yield Finding(FAIL, "packages", "; ".join(wrong), advice)
    else:
        yield Finding(OK, "packages", "all that the hub needs are here")


def server_user(place: Place) -> Iterator[Finding]:
    if "database_url" not in place.embedded:
        return
    if os.geteuid() != 0:
        yield Finding(OK, "user", "not root: PostgreSQL runs as yourself")
    elif shutil.which("setpriv"):
        yield Finding(OK, "user", "root: PostgreSQL runs as nobody")
    else:
        yield Finding(FAIL, "user", "root, and no setpriv to run PostgreSQL as somebody else", "apt-get install util-linux")


def home(place: Place) -> Iterator[Finding]:
    wanted = place.settings.home
    folder = next(found for found in (wanted, *wanted.parents) if found.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        advice = f"chown {os.geteuid()} {folder}, or set LIGHTYARD_HOME elsewhere"
        yield Finding(FAIL, "home", f"{folder} can't be written", advice)
        return
    free = shutil.disk_usage(folder).free
    if free < DISK_WANTED_BYTES:
        yield Finding(WARN, "home", f"{free / 1e9:.1f} GB free below {folder}", "make room, or set LIGHTYARD_HOME elsewhere")
    else:
        yield Finding(OK, "home", f"{free / 1e9:.0f} GB free below {folder}")


def open_files(_: Place) -> Iterator[Finding]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most == resource.RLIM_INFINITY or most >= FILES_WANTED:
        yield Finding(OK, "files", f"a process may open {'any number' if most == resource.RLIM_INFINITY else most}")
    else:
        advice = "ulimit -n 65536, or LimitNOFILE=65536 in the service's unit"
        yield Finding(WARN, "files", f"a process may open {most} only: so few nodes and watchers have room on the relay", advice)


def ports(place: Place) -> Iterator[Finding]:
    settings = place.settings
    if place.is_running:
        yield Finding(OK, "ports", f"a stack is running in {settings.home}")
        return
    wanted = [settings.port]
    if "solana_rpc_url" in place.embedded:
        wanted += [settings.port + CHAIN_PORT_OFFSET, settings.port + CHAIN_PORT_OFFSET + 1]
    if not settings.takes_ton and not settings.is_production and ton.command(0, None, 0) is not None:
        wanted.append(settings.port + TON_PORT_OFFSET)
    for port in wanted:
        if port > 65_535:
            yield Finding(FAIL, "ports", f"{port} does not exist", "set PORT to 64600 or less")
        elif is_free(port, settings.bind_host):
            yield Finding(OK, "ports", f"{port} is free")
        else:
            advice = f"`ss -ltnp sport = :{port}` names the program: stop it, or set PORT"
            yield Finding(FAIL, "ports", f"{port} is taken", advice)


def leftovers(place: Place) -> Iterator[Finding]:
    """What a killed stack left: the next `lightyard up` ends it, but nothing else does."""
    if place.is_running:
        return
    folder = place.settings.home
    pids = processes.of_home(folder) if folder.exists() else []
    stale = [path for path in _marks(folder) if path.exists()]
    if pids:
        told = " ".join(map(str, pids))
        yield Finding(WARN, "leftovers", f"no stack runs, but processes of an earlier one do: {told}", f"kill -9 {told}")
    if stale:
        names = " ".join(str(path) for path in stale)
        advice = f"`lightyard up` clears them, or: rm {names}"
        yield Finding(WARN, "leftovers", f"an earlier stack was killed and left {names}", advice)
    if not pids and not stale:
        yield Finding(OK, "leftovers", "nothing of an earlier stack is in the way")


def _marks(folder: Path) -> tuple[Path, ...]:
    return folder / "processes.json", folder / "endpoints.json", folder / "postgres" / "data" / "postmaster.pid"
