"""@solana/web3.js 1.x with @solana/spl-token, and web3.js 2.x, as they come from npm, talk to the local chain."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.factories.chain_nodes import Node
from tests.factories.missing import go_without

FOLDER = Path(__file__).parent / "web3"
INSTALL_SECONDS, RUN_SECONDS = 150, 120


@pytest.fixture(scope="module")
def modules() -> Path:
    """The packages of the lock file, installed once per lock."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        go_without("node and npm are not installed, so web3.js was not tried against the local chain")
    lock = (FOLDER / "package-lock.json").read_bytes()
    stamp = FOLDER / "node_modules" / ".lock-sha256"
    digest = hashlib.sha256(lock).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        assert npm is not None
        done = subprocess.run([npm, "ci", "--no-progress"], cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if done.returncode:
            go_without(f"npm could not install web3.js, so it was not tried against the local chain: {done.stderr[-600:]}")
        stamp.write_text(digest)
    return FOLDER


def test_the_lock_file_names_no_registry() -> None:
    text = (FOLDER / "package-lock.json").read_text()
    assert '"integrity"' in text
    assert not [word for word in ('"resolved"', ".tgz", "registry") if word in text]


@pytest.mark.system
@pytest.mark.parametrize("script", ["v1.mjs", "v2.mjs"])
@pytest.mark.timeout(INSTALL_SECONDS + RUN_SECONDS + 30)
def test_an_unmodified_client_pays_confirms_and_reads_back(modules: Path, quick_node: Node, script: str) -> None:
    command = ["node", script, quick_node.url, quick_node.socket_url]
    done = subprocess.run(command, cwd=modules, capture_output=True, text=True, timeout=RUN_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "ok"
