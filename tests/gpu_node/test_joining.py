"""Joining a real hub: a wallet enrols a host by one signature, and the node's package stands alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from solders.keypair import Keypair
from werkzeug.serving import make_server

from app.config import Settings
from app.factory import create_app
from gpu_node.config import SettingError
from gpu_node.keys import load_or_create_key
from gpu_node.registration import enrolment_message, sign_with_wallet
from tests.factories.scenes import ROOT

PRICING = {"pricePerFrame": 0.001, "pricePerSecond": 0.0001, "pricePerGb": 0.01, "minimumPrice": 0.005, "currency": "SOL"}
SPEC = {"supportedFormats": [".blend"], "renderEngines": ["cycles"], "maxFileSize": 2000}


@pytest.fixture
def real_hub(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[str]:
    """The hub's API on a port of its own, with a real database."""
    app = create_app(Settings(lightyard_home=str(tmp_path / "hub"), database_url=database_url, redis_url=redis_url,
                              allow_private_endpoints=True, rate_limits=False, port=80))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions["lightyard"].database.engine.dispose()


@pytest.fixture
def wallet(tmp_path: Path) -> tuple[Keypair, Path]:
    """A provider's wallet, and its file as Solana's command line keeps it."""
    keypair = Keypair()
    path = tmp_path / "wallet.json"
    path.write_text(keypair.to_json())
    return keypair, path


@pytest.fixture
def provider_id(real_hub: str, wallet: tuple[Keypair, Path]) -> str:
    address = str(wallet[0].pubkey())
    body = {"name": "Farm", "wallet": address, "endpoint": "http://127.0.0.1:4402", "spec": SPEC, "pricing": PRICING,
            "signature": str(wallet[0].sign_message(f"register:{address}:Farm".encode()))}
    answer = httpx.post(f"{real_hub}/provider/register", json=body)
    assert answer.is_success, answer.text
    return str(answer.json()["data"]["providerId"])


@pytest.fixture
def environment(real_hub: str, blender_python: str, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NODE_", "ENROL_", "LIGHTYARD_"))}
    return {**kept, "HUB_URL": real_hub, "NODE_HOME": str(tmp_path / "node"), "NODE_NAME": "bare",
            "BLENDER_PYTHON": blender_python}


def enrol(environment: dict[str, str], *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "gpu_node", "enrol", *arguments], env=environment, cwd=ROOT, input=typed,
                          capture_output=True, text=True, timeout=90, check=False)


def owner_of_the_node(database_url: str) -> str | None:
    with psycopg.connect(database_url.replace("postgresql+psycopg", "postgresql")) as connection:
        row = connection.execute("SELECT provider_id FROM nodes WHERE name = 'bare'").fetchone()
    return str(row[0]) if row and row[0] else None


def test_a_wallets_file_enrols_this_host(
    environment: dict[str, str], provider_id: str, wallet: tuple[Keypair, Path], database_url: str
) -> None:
    done = enrol(environment, "--provider", provider_id, "--keypair", str(wallet[1]))
    assert done.returncode == 0, done.stderr
    assert f"listens to render.{provider_id}" in done.stdout
    assert owner_of_the_node(database_url) == provider_id


def test_a_signature_made_elsewhere_enrols_this_host(
    environment: dict[str, str], provider_id: str, wallet: tuple[Keypair, Path], database_url: str
) -> None:
    """The message is printed, signed by whatever holds the wallet, and the signature typed in (base58, as wallets give it)."""
    key, now = load_or_create_key(Path(environment["NODE_HOME"])), int(time.time())
    message = enrolment_message(provider_id, key, now)
    signature = str(wallet[0].sign_message(message.encode()))
    done = enrol(environment, "--provider", provider_id, "--timestamp", str(now), typed=signature + "\n")
    assert done.returncode == 0, done.stderr
    assert message in done.stdout
    assert owner_of_the_node(database_url) == provider_id


@pytest.mark.parametrize("case", ["another wallet", "too old", "used twice", "unknown provider"])
def test_an_enrolment_that_does_not_hold_is_refused_in_plain_words(
    environment: dict[str, str], provider_id: str, wallet: tuple[Keypair, Path], database_url: str, tmp_path: Path, case: str
) -> None:
    keypair, provider, now = wallet[1], provider_id, int(time.time())
    if case == "another wallet":
        keypair = tmp_path / "other.json"
        keypair.write_text(Keypair().to_json())
    elif case == "too old":
        now -= 1000
    elif case == "unknown provider":
        provider = str(uuid.uuid4())
    elif enrol(environment, "--provider", provider, "--keypair", str(keypair), "--timestamp", str(now)).returncode:
        pytest.fail("the first use of an enrolment was refused")
    done = enrol(environment, "--provider", provider, "--keypair", str(keypair), "--timestamp", str(now))
    assert done.returncode == 1
    assert "the hub refused the enrolment" in done.stderr and "Traceback" not in done.stderr
    assert (owner_of_the_node(database_url) is None) == (case != "used twice")


@pytest.mark.parametrize("content", ["nothing", "[1, 2]", json.dumps([7] * 64), json.dumps([900] * 64)])
def test_a_file_that_is_no_keypair_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "wallet.json").write_text(content)
    with pytest.raises(SettingError, match=r"wallet\.json"):
        sign_with_wallet(tmp_path / "wallet.json", "x")


@pytest.fixture
def alone(tmp_path: Path, blender_python: str) -> tuple[str, Path]:
    """The node's package by itself, and the Python of its own environment."""
    shutil.copytree(ROOT / "gpu_node", tmp_path / "alone" / "gpu_node", ignore=shutil.ignore_patterns("__pycache__"))
    return blender_python, tmp_path / "alone"


EVERY_MODULE = """
import importlib, pkgutil, sys, gpu_node
inside = ("child", "make_scenes")
for module in pkgutil.walk_packages(gpu_node.__path__, "gpu_node."):
    if not module.name.rsplit(".", 1)[1].startswith(inside) and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert not {"app", "workers", "flask", "sqlalchemy", "bpy"} & {name.split(".")[0] for name in sys.modules}
print(gpu_node.__file__)
"""


def test_the_package_alone_has_all_it_imports(alone: tuple[str, Path]) -> None:
    python, folder = alone
    done = subprocess.run([python, "-c", EVERY_MODULE], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "gpu_node" / "__init__.py")


def test_the_package_alone_renders(alone: tuple[str, Path], scenes: dict[str, Path], tmp_path: Path) -> None:
    python, folder = alone
    done = subprocess.run([python, "-m", "gpu_node", "render", str(scenes["turntable"]), "--width", "64", "--height", "36",
                           "--samples", "1", "--output", str(tmp_path / "picture.png")],
                          cwd=folder, env={**os.environ, "NODE_HOME": str(tmp_path / "home")}, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "picture.png").stat().st_size > 100


def test_the_doctor_says_that_this_host_can_work(alone: tuple[str, Path], tmp_path: Path) -> None:
    python, folder = alone
    done = subprocess.run([python, "-m", "gpu_node", "doctor"], cwd=folder, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "NODE_HOME": str(tmp_path / "home"), "HUB_URL": "http://127.0.0.1:9"}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK    blender: bpy 4.5" in done.stdout and "does not answer" in done.stdout
