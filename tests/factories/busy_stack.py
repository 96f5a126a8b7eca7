"""A running `lightyard up` with work of every kind in it, for those who watch it: renders, dispatched jobs of which one fails,
payouts, a deposit, a node on the relay, a watcher, Cocoon workers, a GPU.

The GPU (a libnvidia-ml that tests compile) and the Cocoon workers are stand-ins: neither can be here.
"""

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from celery import Celery
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from app.config import Settings
from app.core import accounts, ton_deposits
from app.core.ton_hub import TonHub
from app.db import Database, make_engine
from app.values import ton_address
from app.values.money import Money
from app.values.ton_address import TESTNET
from tests.e2e.artist import Artist
from tests.e2e.conftest import NODE_PYTHON, ROOT, running_stack
from tests.e2e.test_dispatched_jobs import Renter
from tests.e2e.test_relay import provider_id
from tests.factories import cocoon_workers
from tests.factories.payouts import earner
from tests.factories.stacks import FRESH
from tests.gpu_node.test_machine import FAKE_NVML, require_compiler

TINY = {"resolution": {"width": 32, "height": 24}, "samples": 1}
MANY_FRAMES, TON = 150, 10**9


def fake_gpus(folder: Path) -> Path:
    """A folder with a libnvidia-ml that tells of two GPUs, for LD_LIBRARY_PATH."""
    folder.mkdir()
    (folder / "nvml.c").write_text(FAKE_NVML)
    command = [require_compiler(), "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", folder / "nvml.c"]
    subprocess.run(command, check=True)
    return folder


@contextmanager
def busy_stack(folder: Path, scene: bytes) -> Iterator[dict[str, Any]]:
    """Its endpoints, once the work is done; the relay's node, the watcher and the Cocoon workers go on."""
    home = folder / "home"
    home.mkdir()
    gpus = {"LD_LIBRARY_PATH": str(fake_gpus(folder / "nvml"))}
    settings = {"NODES": "1", "ANCHOR_INTERVAL_SECONDS": "5", **gpus}
    with ExitStack() as going_on:
        endpoints = going_on.enter_context(running_stack(home, **settings))
        going_on.enter_context(relay_node(endpoints, folder / "relay", gpus))
        add_cocoon_workers(endpoints, going_on.enter_context(cocoon_workers.farm()))
        watch(endpoints, going_on)
        database = Database(make_engine(Settings(database_url=endpoints["database_url"])))
        going_on.callback(database.engine.dispose)
        earn(database)
        deposit(endpoints, database)
        dispatch(endpoints)
        render(endpoints, scene)
        audit_payouts(endpoints)
        yield {**endpoints, "database": database}


@contextmanager
def relay_node(endpoints: dict[str, Any], home: Path, settings: dict[str, str]) -> Iterator[None]:
    """A node process that needs no broker; it is told of none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BROKER", "REDIS", "DATABASE"))}
    environment = {
        **kept, "PYTHONPATH": str(ROOT), "HUB_URL": endpoints["api_url"], "NODE_HOME": str(home), "NODE_NAME": "on-the-relay",
        "ENROL_KEY": endpoints["operator_api_key"], "ENROL_PROVIDER_ID": provider_id(endpoints), **settings,
    }
    with home.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([NODE_PYTHON, "-m", "gpu_node", "--relay"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def add_cocoon_workers(endpoints: dict[str, Any], farm: cocoon_workers.Farm) -> None:
    """Two that answer, on this very host, and one that hangs up."""
    as_operator = {"X-API-Key": endpoints["operator_api_key"]}
    with httpx.Client(limits=FRESH, base_url=f"{endpoints['api_url']}/api/v1", headers=as_operator) as http:
        wallet = f"0:{uuid.uuid4().hex * 2}"
        made = http.post("/participants", json={"ton_wallet_address": wallet})
        assert made.status_code == 201, made.text
        for number, mode in enumerate(("", "", cocoon_workers.DISCONNECT)):
            port = farm.add(cocoon_workers.FakeWorker(mode=mode))
            body = {"participant_id": made.json()["id"], "worker_name": f"worker-{number}", "instance_number": number,
                    "host": "127.0.0.1", "stats_port": port}
            answer = http.post("/workers", json=body)
            assert answer.status_code == 201, answer.text


def watch(endpoints: dict[str, Any], going_on: ExitStack) -> None:
    """One socket that stays, and one that is sent away for its token."""
    url = endpoints["api_url"].replace("http", "ws", 1)
    going_on.enter_context(connect(f"{url}/ws/metrics?token={endpoints['operator_api_key']}"))
    try:
        with connect(f"{url}/api/v1/relay/ws/{uuid.uuid4()}?token=none") as refused:
            refused.recv(timeout=10)
    except WebSocketException:
        pass  # closed by 4001, as it should be


def earn(database: Database) -> None:
    """Somebody has earned what is paid out by itself."""
    earner(database, Money(50_000_000, "SOL"), Money(12_345_678, "USDC"))


def deposit(endpoints: dict[str, Any], database: Database) -> None:
    """Money that comes in on TON, once with its comment and once without."""
    ton, hub = endpoints["ton_api_url"], ton_address.read(endpoints["ton_wallet"], TESTNET)
    with database.unit_of_work() as session:
        account = accounts.ensure_identity(session, "email", "depositor@example.com")
        memo = ton_deposits.ask(session, TonHub(hub, {}), account, Money(TON, "TON"), "deposit:", 900).memo
    for comment in (memo, "no comment of ours"):
        body = {"address": endpoints["ton_wallet"], "amount": TON, "comment": comment}
        httpx.post(f"{ton.removesuffix('/api/v2')}/dev/faucet", json=body, timeout=20).raise_for_status()


def dispatch(endpoints: dict[str, Any]) -> None:
    """RenderTrust's jobs: two that are completed and one that fails."""
    renter = Renter(endpoints, "renter@example.com")
    for _ in range(2):
        assert renter.dispatch("echo", renter.upload(b"hello", "a.bin"))["status"] == "COMPLETED"
    assert renter.dispatch("cpu_benchmark", renter.upload(b"no JSON", "b.json"))["status"] == "FAILED"


def audit_payouts(endpoints: dict[str, Any]) -> None:
    """Now: beat's first turn comes after five minutes."""
    Celery(broker=endpoints["redis_url"]).send_task("hub.audit_payouts", queue="hub")


def render(endpoints: dict[str, Any], scene: bytes) -> None:
    """A render that is paid and done."""
    artist = Artist(endpoints)
    assert artist.wait(order(artist, scene, 2))["status"] == "completed"


def go_on(endpoints: dict[str, Any], scene: bytes) -> None:
    """More, for whoever has begun to watch: a rate is of a rise, and nobody sees one in the first sample. Payouts, and a render
    of so many frames that some wait."""
    earn(endpoints["database"])
    order(Artist(endpoints), scene, MANY_FRAMES)


def order(artist: Artist, scene: bytes, frames: int) -> str:
    """A paid render; its job's id."""
    payment = artist.quote(scene, {**TINY, "frames": {"start": 1, "end": frames}})
    artist.announce(payment, artist.send_money(payment))
    return str(payment["jobId"])
