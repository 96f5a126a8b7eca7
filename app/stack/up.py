"""`lightyard up`: the whole marketplace on one machine, on embedded parts, until Ctrl-C."""

import fcntl
import json
import os
import secrets
import signal
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import httpx
from alembic import command
from alembic.config import Config
from solders.keypair import Keypair

from app.config import Settings, load
from app.core import accounts, nodes
from app.core.pricing import Tariff
from app.db import Database, make_engine
from app.errors import ConfigError
from app.stack.postgres import Postgres, free_port, server_user
from app.stack.supervisor import Role, Supervisor
from app.stack.valkey import Valkey

ROOT = Path(__file__).resolve().parent.parent.parent
TARIFF = Tariff(Decimal("0.001"), Decimal("0.0001"), Decimal("0.01"), Decimal("0.005"))
SPEC = {
    "gpus": [],
    "gpuCount": 0,
    "totalVram": 0,
    "maxFileSize": 2000,
    "supportedFormats": [".blend", ".obj", ".fbx", ".gltf", ".glb", ".stl"],
    "blenderVersion": "4.5",
    "renderEngines": ["cycles"],
}


def kept(path: Path, make: str) -> str:
    """A secret that is made once and kept readable by its owner only."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(make)
    return path.read_text()


def lock(home: Path) -> object:
    """One stack per home; the lock goes with the process, however it ends."""
    home.mkdir(parents=True, exist_ok=True)
    handle = (home / "lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"a stack is running in {home} already; stop it, or set LIGHTYARD_HOME to another folder") from None
    return handle


def migrate(database: Database, revision: str = "head") -> None:
    """Bring the database to a revision."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["engine"] = database.engine
    command.upgrade(config, revision)


class Stack:
    """The processes of one home, and what they need to know of each other."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.home = settings, settings.home
        self.home_lock = lock(self.home)
        self.supervisor = Supervisor(self.home)
        ports = json.loads(kept(self.home / "ports.json", json.dumps({"postgres": free_port(), "valkey": free_port()})))
        self.postgres = Postgres(self.home / "postgres", ports["postgres"])
        self.valkey = Valkey(self.home / "valkey", ports["valkey"])
        self.database_url = settings.database_url or self.postgres.url
        self.redis_url = settings.redis_url or self.valkey.url
        self.solana_url = settings.solana_rpc_urls[0]
        self.environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "LIGHTYARD_HOME": str(self.home),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "BROKER_URL": settings.broker_url or self.redis_url,
            "SOLANA_RPC_URL": self.solana_url,
            "ALLOW_PRIVATE_ENDPOINTS": "true",
            "OPEN_NODES": "true",
            "TEST_MINTS": "true",
            "PORT": str(settings.port),
            "SECRET_KEY": kept(self.home / "secret.key", secrets.token_urlsafe(48)),
            "PROMETHEUS_MULTIPROC_DIR": str(self.home / "metrics"),
        }

    def start(self) -> None:
        """Start everything in order, and return once the API answers."""
        self._start_servers()
        database = Database(make_engine(replace(self.settings, database_url=self.database_url)))
        migrate(database)
        operator_key, provider_id = self._ensure_owners(database)
        database.engine.dispose()
        self._start_hub()
        self._wait_healthy()
        for number in range(self.settings.nodes):
            self._start_node(number, operator_key, provider_id)
        self._write_endpoints(operator_key)

    def _start_servers(self) -> None:
        if not self.settings.database_url:
            self.postgres.prepare()
            pid_file = self.postgres.folder / "data" / "postmaster.pid"
            role = Role("postgres", self.postgres.command(), self.environment, server_user(), stop_signal=signal.SIGINT)
            role.prepare = lambda: pid_file.unlink(missing_ok=True)
            self.supervisor.start(role)
            self.postgres.wait_ready()
        if not self.settings.redis_url:
            self.valkey.folder.mkdir(parents=True, exist_ok=True)
            self.supervisor.start(Role("valkey", self.valkey.command(), self.environment))
        if not self.settings.solana_rpc_url:
            options = ["--port", str(self.settings.port + 899), "--home", str(self.home / "devnet"), "--slot-ms", "25"]
            self.supervisor.start(Role("devnet", [sys.executable, "-m", "devnet", *options], self.environment))

    def _ensure_owners(self, database: Database) -> tuple[str, str]:
        """The operator's key, and the local provider whose wallet is paid for the local nodes' work."""
        key_file = self.home / "operator.key"
        with database.unit_of_work() as session:
            key = accounts.ensure_operator(session, key_file.read_text() if key_file.exists() else None)
            wallet = Keypair.from_json(kept(self.home / "provider.json", Keypair().to_json()))
            endpoint = f"http://127.0.0.1:{self.settings.port}"
            offer = {"name": "Local GPU", "wallet": str(wallet.pubkey()), "endpoint": endpoint, "spec": SPEC}
            provider_id = nodes.register_provider(session, offer, TARIFF)
            nodes.get_provider(session, provider_id).status = "online"
        key_file.touch(mode=0o600)
        key_file.write_text(key)
        return key, str(provider_id)

    def _start_hub(self) -> None:
        metrics = self.home / "metrics"
        metrics.mkdir(exist_ok=True)
        for stale in metrics.glob("*.db"):
            stale.unlink()
        python = [sys.executable, "-m"]
        bind = f"127.0.0.1:{self.settings.port}"
        gunicorn = [*python, "gunicorn", "-k", "gevent", "-w", "2", "-b", bind, "--timeout", "120", "wsgi:app"]
        celery = [*python, "celery", "-A", "celery_app", "--quiet"]
        schedule = str(self.home / "beat-schedule")
        self.supervisor.start(Role("api", gunicorn, self.environment))
        self.supervisor.start(Role("worker", [*celery, "worker", "-P", "threads", "-c", "4", "-Q", "hub"], self.environment))
        self.supervisor.start(Role("beat", [*celery, "beat", "-s", schedule], self.environment))

    def _start_node(self, number: int, operator_key: str, provider_id: str) -> None:
        environment = {
            **self.environment,
            "HUB_URL": f"http://127.0.0.1:{self.settings.port}",
            "NODE_HOME": str(self.home / f"node-{number}"),
            "NODE_NAME": f"local-{number}",
            "ENROL_KEY": operator_key,
            "ENROL_PROVIDER_ID": provider_id,
        }
        for secret in ("SECRET_KEY", "DATABASE_URL"):
            environment.pop(secret)
        python = str(ROOT / ".venv-node" / "bin" / "python")
        command = [python, "-m", "celery", "-A", "gpu_node", "worker", "-Q", "render", "-n", f"node{number}@%h"]
        self.supervisor.start(Role(f"node-{number}", command, environment))

    def _wait_healthy(self, timeout_seconds: float = 60) -> None:
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{self.settings.port}/health", timeout=2).raise_for_status()
                return
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)  # a server that boots tells nobody: ask again

    def _write_endpoints(self, operator_key: str) -> None:
        url = f"http://127.0.0.1:{self.settings.port}"
        body: dict[str, object] = {
            "api_url": url,
            "solana_rpc_url": self.solana_url,
            "evm_rpc_url": None,
            "ton_api_url": None,
            "operator_api_key": operator_key,
            "metrics_url": f"{url}/metrics",
            "hub_wallet": None,
            "mints": {},
        }
        path = self.home / "endpoints.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(body, indent=1))


def up() -> None:
    """Everything in the foreground until Ctrl-C or SIGTERM, which stops it all cleanly."""
    stack = Stack(load())
    stop = stack.supervisor.stopping
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        stack.start()
        print(f"lightyard ready http://127.0.0.1:{stack.settings.port}", flush=True)
        stack.supervisor.watch()
    finally:
        stack.supervisor.stop()
