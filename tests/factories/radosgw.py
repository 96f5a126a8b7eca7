"""A real S3 server: Ceph's object gateway on a cluster of one monitor and one store in memory, in a folder of its own.

It checks every signature, expiry and signed header, which imitations do not.
"""

import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import httpx

from app.stack.ports import free_port

COMMANDS = ("ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool")
ACCESS_KEY, SECRET_KEY = "lightyard-test", "a secret of the test alone"
READY_SECONDS = 90
CONFIGURATION = """
[global]
fsid = {fsid}
mon host = {monitors}
public addr = 127.0.0.1
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
keyring = {folder}/keyring
pid file =
mon data = {folder}/mon
osd data = {folder}/osd
mon data avail crit = 1
mon data avail warn = 2
mon allow pool size one = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd crush chooseleaf type = 0
osd class update on start = false
osd objectstore = memstore
memstore device bytes = 2147483648
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
"""
KEYS = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "osd.0": ("mon", "allow profile osd", "osd", "allow *"),
}


def missing_commands() -> list[str]:
    return [name for name in COMMANDS if shutil.which(name) is None]


class RadosGateway:
    """`url` answers once `start` is back; `stop` leaves no process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._children = folder, list[subprocess.Popen[bytes]]()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> "RadosGateway":
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        monitors = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
        for name in ("mon", "osd"):
            (self.folder / name).mkdir()
        values = {"fsid": fsid, "folder": self.folder, "monitors": monitors, "port": self.port}
        (self.folder / "ceph.conf").write_text(CONFIGURATION.format(**values))
        self._make_keys()
        self._run("monmaptool", "--create", "--addv", "a", monitors, "--fsid", fsid, "monmap")
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", "monmap", "--keyring", "keyring")
        self._spawn("ceph-mon", "-i", "a", "-f")
        self._run("ceph", "osd", "new", osd)
        self._run("ceph", "auth", "add", "osd.0", "-i", "keyring")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._spawn("ceph-osd", "-i", "0", "-f")
        user = ["--uid", "test", "--display-name", "test", "--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]
        self._run("radosgw-admin", "user", "create", *user)
        self._spawn("radosgw", "-n", "client.admin", "-f")
        self._wait_ready()
        return self

    def stop(self) -> None:
        for child in reversed(self._children):
            child.kill()
            child.wait(10)

    def _make_keys(self) -> None:
        for name, caps in KEYS.items():
            options = [item for kind, right in zip(caps[::2], caps[1::2], strict=True) for item in ("--cap", kind, right)]
            create = [] if (self.folder / "keyring").exists() else ["--create-keyring"]
            self._run("ceph-authtool", *create, "keyring", "--gen-key", "-n", name, *options)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.folder, env=self._environment, capture_output=True, timeout=READY_SECONDS)
        assert done.returncode == 0, (command[0], done.stderr[-2000:])

    def _spawn(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("wb") as log:
            child = subprocess.Popen(command, cwd=self.folder, env=self._environment, stdout=log, stderr=log)
        self._children.append(child)

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "CEPH_CONF": str(self.folder / "ceph.conf")}

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                if httpx.get(self.url, timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, (self.folder / "radosgw.out").read_text()[-2000:]
            time.sleep(0.1)  # another process's start, of which nobody tells
