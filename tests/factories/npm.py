"""Packages of a folder's lock file, installed once per lock."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.factories.missing import go_without

INSTALL_SECONDS = 150


def install(folder: Path, what: str) -> Path:
    """The folder, with its `node_modules`; without node or npm the test goes without `what`."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        go_without(f"node and npm are not installed, so {what} was not tried")
    assert npm is not None
    stamp = folder / "node_modules" / ".lock-sha256"
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        done = subprocess.run([npm, "ci", "--no-progress"], cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if done.returncode:
            go_without(f"npm could not install {what}, so it was not tried: {done.stderr[-600:]}")
        stamp.write_text(digest)
    return folder
