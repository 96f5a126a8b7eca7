"""The riskiest real thing: a real scene through real processes: gunicorn, Celery, Valkey, PostgreSQL, the SVM, Blender."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from app.stack.postgres import free_port
from devnet.payer import Payer

ROOT = Path(__file__).parent.parent.parent
NODE_PYTHON = ROOT / ".venv-node" / "bin" / "python"
CUBE = "import bpy, sys; bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1])"


def free_pair() -> int:
    """A port whose neighbour 899 above is free too (the local chain's)."""
    while True:
        port = free_port()
        if port < 60_000:
            return port


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    home = tmp_path_factory.mktemp("stack")
    for parent in (home, home.parent, home.parent.parent):
        parent.chmod(0o755)  # PostgreSQL runs as another user and must reach its folder
    port = free_pair()
    environment = {**os.environ, "LIGHTYARD_HOME": str(home), "PORT": str(port), "RATE_LIMITS": "off"}
    command = [sys.executable, "-m", "app.cli", "up"]
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("lightyard ready"), (home / "up.log").read_text()[-2000:]
    yield {**json.loads((home / "endpoints.json").read_text()), "home": str(home)}
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def wait_for(client: httpx.Client, job_id: str, seconds: float = 120) -> dict:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = client.get(f"/render/{job_id}").json()["data"]
        if job["status"] in ("completed", "failed", "cancelled"):
            return job
        time.sleep(0.2)  # Rayment's clients poll
    raise AssertionError(f"not over after {seconds} s: {job}")


def order(client: httpx.Client, payer: Payer, scene: bytes, settings: dict) -> dict:
    form = {"clientWallet": payer.address, "settings": json.dumps(settings)}
    answer = client.post("/render", data=form, files={"file": ("scene.blend", scene)})
    assert answer.status_code == 402, answer.text
    payment = answer.json()["payment"]
    signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
    answer = client.post("/render/pay", json={"jobId": payment["jobId"], "txSignature": signature})
    assert answer.status_code == 200, answer.text  # not final yet is 200 too: it confirms by itself
    return payment


def test_a_real_blend_is_paid_rendered_and_downloaded(stack: dict[str, str], tmp_path: Path) -> None:
    scene = tmp_path / "scene.blend"
    subprocess.run([NODE_PYTHON, "-c", CUBE, str(scene)], check=True, stdout=subprocess.DEVNULL)
    payer = Payer(stack["solana_rpc_url"])
    payer.airdrop(10**10)
    settings = {"resolution": {"width": 64, "height": 48}, "samples": 2, "frames": {"start": 1, "end": 2}}
    with httpx.Client(base_url=stack["api_url"], timeout=60) as client:
        payment = order(client, payer, scene.read_bytes(), settings)
        job = wait_for(client, payment["jobId"])
        assert job["status"] == "completed", job
        for frame in (1, 2):
            picture = client.get(f"/render/{payment['jobId']}/result", params={"frame": frame})
            image = Image.open(io.BytesIO(picture.content))
            assert image.size == (64, 48)
            assert len(set(image.convert("L").getdata())) > 3, "the picture is of one colour"
