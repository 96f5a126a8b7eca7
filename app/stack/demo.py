"""`lightyard demo`: a stranger's first render: quoted, paid on the local chain, rendered in Blender, downloaded."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx
import simplejson
from PIL import Image
from tqdm import tqdm

from app.config import Settings
from app.errors import ConfigError, LightyardError
from app.stack import endpoints, interrupts
from app.stack.ports import free_port
from app.stack.stack import CHAIN_PORT_OFFSET, NODE_PYTHON, ROOT, TON_PORT_OFFSET
from app.stack.supervisor import die_with_parent
from devnet.payer import Payer

SCENE = "studio"
RENDER = {"resolution": {"width": 640, "height": 360}, "samples": 16, "engine": "cycles", "outputFormat": "PNG"}
OVER = ("completed", "failed", "cancelled")
NOT_EMBEDDED = tuple("DATABASE_URL REDIS_URL BROKER_URL STORAGE_URL SOLANA_RPC_URL PUBLIC_URL SECRET_KEY BIND_HOST".split())
QUOTE_LIMIT_SECONDS, RENDER_LIMIT_SECONDS = 60, 1200
POLL_SECONDS, SLOW_POLL_SECONDS = 0.25, 1.0  # Rayment's clients poll; a log file wants fewer lines


class DemoFailed(LightyardError):
    code = "DEMO_FAILED"


@dataclass
class Stopwatch:
    """Seconds per chapter of the story."""

    laps: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.laps[name] = time.monotonic() - begun


def demo(settings: Settings) -> Path:
    """The whole story in a home of its own, beside a stack that may be running; returns the picture's path."""
    home = settings.home.with_name(f"{settings.home.name}-demo")
    watch = Stopwatch()
    with watch.lap("scene"):
        scene = make_scene(home / "scenes")
    with running_stack(home, watch) as stack:
        picture = tell(stack, scene, home, watch)
    click.echo(f"stopped everything in {watch.laps['stop']:.1f} s; `make up` keeps a marketplace running")
    return picture


def make_scene(folder: Path) -> Path:
    """The example scene, made once with the node's own Blender."""
    path = folder / f"{SCENE}.blend"
    if path.exists():
        return path
    if not NODE_PYTHON.exists():
        raise ConfigError(f"{NODE_PYTHON} is missing: run `make install` first, or just `make demo`")
    click.echo(f"making the scene {SCENE}.blend with Blender ...")
    script = ROOT / "gpu_node" / "examples" / "make_scenes.py"
    made = subprocess.run([NODE_PYTHON, script, folder, SCENE], capture_output=True, text=True)
    if made.returncode != 0 or not path.exists():
        reason = (made.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigError(f"Blender could not make the scene: {reason}\nrun `lightyard doctor` to see what is missing")
    return path


@contextmanager
def running_stack(home: Path, watch: Stopwatch) -> Iterator[Mapping[str, Any]]:
    """`lightyard up` as a process of its own; it is stopped, with all of its children, however the story ends."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_EMBEDDED}
    port = free_port(CHAIN_PORT_OFFSET, CHAIN_PORT_OFFSET + 1, TON_PORT_OFFSET)
    environment |= {"LIGHTYARD_HOME": str(home), "PORT": str(port), "RATE_LIMITS": "off", "NODES": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    click.echo("starting PostgreSQL, Valkey, a local Solana, the API, workers and one GPU node ...")
    process = None
    try:
        with watch.lap("start"):
            with interrupts.held():
                process = _start(environment)
            _wait_until_ready(process)
        yield endpoints.read(home)
    finally:
        if process is not None:
            with watch.lap("stop"):
                _stop(process)


def _start(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    def before_exec() -> None:
        interrupts.let_through()
        die_with_parent(signal.SIGTERM)

    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", "up"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=before_exec,
    )


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("lightyard ready"):
        process.wait()
        raise ConfigError("the stack did not start; its own message is above")
    click.echo(line.strip())


def _stop(process: subprocess.Popen[str]) -> None:
    """A second Ctrl-C while we wait ends everything at once."""
    process.terminate()
    while True:
        try:
            process.wait()
            break
        except KeyboardInterrupt:
            process.terminate()
    if process.stdout is not None:
        process.stdout.close()


def tell(stack: Mapping[str, Any], scene: Path, home: Path, watch: Stopwatch) -> Path:
    """Quote, payment, render, download; prints each as it happens. DemoFailed says what went wrong."""
    payer = Payer(stack["solana_rpc_url"])
    with httpx.Client(base_url=stack["api_url"], timeout=60) as client:
        with watch.lap("quote"):
            payment = quote(client, payer.address, scene)
        with watch.lap("payment"):
            signature = pay(client, payer, payment)
        with watch.lap("render"):
            job = follow(client, payment["jobId"])
        with watch.lap("download"):
            path = download(client, payment["jobId"], home / "renders")
    size = Image.open(path).size
    click.echo(f"\nprice        {job['finalPrice']} SOL")
    click.echo(f"transaction  {signature}")
    click.echo(f"rendered in  {job['renderTime']:.1f} s by Blender, {RENDER['samples']} samples")
    click.echo("times        " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in watch.laps.items()))
    click.echo(f"picture      {path}  ({size[0]}x{size[1]} PNG, {path.stat().st_size // 1000} kB)")
    return path


def quote(client: httpx.Client, wallet: str, scene: Path) -> dict[str, Any]:
    """POST /render; the answer is the 402 that is printed. The local node may need some seconds to come on line."""
    click.echo(f"\nPOST /render   {scene.name}, {scene.stat().st_size // 1000} kB, {json.dumps(RENDER)}")
    deadline = time.monotonic() + QUOTE_LIMIT_SECONDS
    while True:
        form = {"clientWallet": wallet, "settings": json.dumps(RENDER)}
        answer = client.post("/render", data=form, files={"file": (scene.name, scene.read_bytes())})
        if answer.status_code != 503 or time.monotonic() > deadline:
            break
        time.sleep(1)
    shown = simplejson.loads(answer.text, parse_float=simplejson.RawJSON)  # numbers as they were sent
    click.echo(f"HTTP {answer.status_code}\n{simplejson.dumps(shown, indent=2)}")
    body = answer.json()
    if answer.status_code != 402:
        raise DemoFailed(f"expected a quote (402), got {answer.status_code}: {body.get('error')}")
    return dict(body["payment"])


def pay(client: httpx.Client, payer: Payer, payment: Mapping[str, Any]) -> str:
    """Test SOL from the local chain's faucet, a transfer with the memo, and its signature shown to the hub."""
    lamports = round(payment["price"] * 10**9)
    payer.airdrop(10**9)
    signature = payer.pay(payment["payTo"], lamports, payment["memo"])
    click.echo(f"\npaid {payment['price']} SOL to {payment['payTo']} with memo {payment['memo']}\nsignature {signature}")
    answer = client.post("/render/pay", json={"jobId": payment["jobId"], "txSignature": signature})
    if answer.status_code != 200:
        raise DemoFailed(f"the payment was refused: {answer.text}")
    click.echo(f"POST /render/pay   {answer.json()['data']['message']}\n")
    return signature


def follow(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Draw GET /render/:jobId as a bar until the job is over; DemoFailed unless it completed."""
    deadline = time.monotonic() + RENDER_LIMIT_SECONDS
    shape = "{desc:<16}{percentage:3.0f}% |{bar}| {elapsed}"
    with tqdm(total=100, bar_format=shape, file=sys.stdout) as bar:
        while True:
            job: dict[str, Any] = client.get(f"/render/{job_id}").raise_for_status().json()["data"]
            bar.set_description_str(job["status"], refresh=False)
            bar.n = 100 if job["status"] == "completed" else round(100 * job["progress"], 1)
            bar.refresh()
            if job["status"] in OVER or time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS if sys.stdout.isatty() else SLOW_POLL_SECONDS)
    if job["status"] != "completed":
        raise DemoFailed(f"the job is {job['status']}: {job.get('error') or 'not finished in time'}")
    return job


def download(client: httpx.Client, job_id: str, folder: Path) -> Path:
    """GET /render/:jobId/result into a file that is a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{SCENE}-{job_id[:8]}.png"
    path.write_bytes(client.get(f"/render/{job_id}/result").raise_for_status().content)
    with Image.open(path) as picture:
        picture.verify()
    return path
