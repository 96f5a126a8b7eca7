"""The processes of one home, and what they need to know of each other."""

import fcntl
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import httpx
from alembic import command
from alembic.config import Config
from solders.keypair import Keypair

from app.config import DEVELOPMENT_ANCHOR_KEY, DEVELOPMENT_SECRET, Settings
from app.config_checks import check
from app.core import accounts, nodes
from app.core.pricing import Tariff
from app.db import Database, make_engine
from app.errors import ConfigError
from app.stack import endpoints, hot_wallets, leftovers
from app.stack.ports import free_port, is_free
from app.stack.postgres import Postgres
from app.stack.supervisor import HUB, NODES, SERVERS, Role, Supervisor
from app.stack.valkey import Valkey
from devnet.evm import program as evm
from devnet.genesis import MINTS
from devnet.ton import program as ton

ROOT = Path(__file__).resolve().parent.parent.parent
NODE_CAPABILITIES = "render,compute"  # what every host can do; a model's server is the host's own
NODE_PYTHON = ROOT / ".venv-node" / "bin" / "python"
CHAIN_PORT_OFFSET = 899
EVM_PORT_OFFSET = 901
TON_PORT_OFFSET = 902
TON_BLOCK_MS = 400
LEDGER_ROLE = "lightyard_app"  # made by the migrations
HIGHEST_PORT = 65_535
SOLANA_DEVNET = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
SLOT_MS = "25"  # a local payment is final in under a second instead of 13
BLOCKHASH_BLOCKS = "2400"  # a transaction may be sent for a minute, as on the mainnet
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
_SECRETS = (
    "SECRET_KEY", "SECRET_KEY_PREVIOUS", "DATABASE_URL", "METRICS_TOKEN", "STRIPE_WEBHOOK_SECRET", "EVM_ANCHOR_KEY",
    "TON_API_KEY", "RABBITMQ_API_URL", "S3_SECRET_ACCESS_KEY", "OTEL_EXPORTER_OTLP_HEADERS",
)  # fmt: skip
HUB_SECRETS = frozenset((*_SECRETS, *(f"{name}_FILE" for name in _SECRETS)))


def kept(path: Path, make: Callable[[], str]) -> str:
    """A secret that is made once and kept readable by its owner only."""
    if not path.exists():
        part = path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(make())
        part.replace(path)
    return path.read_text()


def lock(home: Path) -> IO[str]:
    """One stack per home; the lock goes with the process, however it ends."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = (home / "lock").open("w")
    except OSError as error:
        raise ConfigError(f"LIGHTYARD_HOME={home} can't be used: {error.strerror}; choose a folder that can be written") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise ConfigError(f"a stack is running in {home} already; stop it, or set LIGHTYARD_HOME to another folder") from None
    return handle


def is_stack_running(home: Path) -> bool:
    """Whether somebody holds this home now."""
    try:
        with (home / "lock").open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def migrate(database: Database, revision: str = "head") -> None:
    """Bring the database to a revision."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["engine"] = database.engine
    command.upgrade(config, revision)


class Stack:
    """Everything that `lightyard up` runs over one home. Holding the object is holding the home."""

    def __init__(self, settings: Settings) -> None:
        check(replace(settings, allow_private_endpoints=True, test_mints=not settings.solana_rpc_url))
        self.settings, self.home = settings, settings.home
        self.home_lock = lock(self.home)
        self.supervisor = Supervisor(self.home)
        self.postgres = Postgres(self.home / "postgres")
        self.valkey = Valkey(self.home / "valkey")
        self.database_url = settings.database_url or self.postgres.url
        self.redis_url = settings.redis_url or self.valkey.url
        self.solana_url = settings.solana_rpc_urls[0]
        self.evm_command = self._evm_command()
        self.ton_command = self._ton_command()
        self.url = f"http://127.0.0.1:{settings.port}"
        self.environment = self._environment()

    def _evm_command(self) -> list[str] | None:
        """The local EVM chain, where none is configured and a program for it is installed. Nobody counts on its port."""
        if self.settings.evm_rpc_url or self.settings.is_production:
            return None
        wanted = self.settings.port + EVM_PORT_OFFSET
        self.evm_port = wanted if wanted <= HIGHEST_PORT and is_free(wanted) else free_port()
        return evm.command(self.evm_port, self.home / "evm")

    def _ton_command(self) -> list[str] | None:
        """The local TON, where none is configured and it is installed."""
        if self.settings.ton_api_urls or self.settings.ton_config or self.settings.is_production:
            return None
        return ton.command(self.settings.port + TON_PORT_OFFSET, self.home / "ton", TON_BLOCK_MS)

    @property
    def ton_url(self) -> str | None:
        if self.ton_command is not None:
            return ton.api_url(self.settings.port + TON_PORT_OFFSET)
        return next(iter(self.settings.ton_api_urls), None)

    @property
    def evm_url(self) -> str | None:
        if self.evm_command is not None:
            return f"http://127.0.0.1:{self.evm_port}"
        return next(iter(self.settings.evm_rpc_urls), None)

    def _environment(self) -> dict[str, str]:
        secret = kept(self.home / "secret.key", lambda: secrets.token_urlsafe(48))
        friendly = {name: "true" for name in ("ALLOW_PRIVATE_ENDPOINTS", "OPEN_NODES", "TEST_MINTS")}
        friendly |= {"ANCHOR_INTERVAL_SECONDS": "30", "PAYOUT_COOL_OFF_HOURS": "0", "SIGNER_QUIET_SECONDS": "0"}
        friendly |= {"PAYOUT_OPENS_ACCOUNT_FROM": "0", "UNSTAKE_DELAY_HOURS": "0"}
        if not self.settings.is_production:
            friendly["SOLANA_WALLET"] = self._wallet("hub")
        if not self.settings.solana_rpc_url:
            friendly["SOLANA_MINTS"] = ",".join(f"{asset}={mint}" for asset, mint in MINTS.items())
            friendly["X402_NETWORK"] = SOLANA_DEVNET  # clients know three clusters and no others
        if not self.settings.database_url:
            friendly["DATABASE_ROLE"] = LEDGER_ROLE
        if self.evm_command is not None:
            local = {"EVM_RPC_URL": str(self.evm_url), "EVM_ANCHOR_KEY": DEVELOPMENT_ANCHOR_KEY, "ANCHOR_CONFIRMATIONS": "1"}
            friendly |= local
        if self.ton_command is not None:
            masters = ",".join(f"{address}:{asset}" for asset, address in ton.MASTERS.items())
            friendly |= {"TON_API_URL": str(self.ton_url), "TON_JETTON_MASTERS": masters, "TON_WALLET": ton.HUB_WALLET}
        made = self._made_environment(secret)
        given = {name: value for name, value in os.environ.items() if value or name not in friendly}
        friendly = {name: value for name, value in friendly.items() if not given.get(f"{name}_FILE")}
        kept_elsewhere = {f"{name}_FILE" for name in made}  # read already, and told in clear
        return {**friendly, **{name: value for name, value in given.items() if name not in kept_elsewhere}, **made}

    def _made_environment(self, secret: str) -> dict[str, str]:
        """What the stack decides, whatever its own environment says."""
        return {
            leftovers.MARK: str(self.home),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
            "LIGHTYARD_HOME": str(self.home),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "BROKER_URL": self.settings.broker_url or self.redis_url,
            "SOLANA_RPC_URL": ",".join(self.settings.solana_rpc_urls),
            "PORT": str(self.settings.port),
            "SECRET_KEY": secret if self.settings.secret_key == DEVELOPMENT_SECRET else self.settings.secret_key,
            "PROMETHEUS_MULTIPROC_DIR": str(self.home / "metrics"),
        }

    def start(self) -> None:
        """Start everything in order, and return once the API answers. ConfigError says what stands in the way."""
        endpoints.forget(self.home)
        leftovers.take_down(leftovers.of_home(self.home))  # of a supervisor that was killed
        self._check_ground()
        self._start_servers()
        database = Database(make_engine(replace(self.settings, database_url=self.database_url, database_role="")))
        migrate(database)
        operator_key, provider_id = self._ensure_owners(database)
        database.engine.dispose()
        self._start_hub()
        self._wait_for("api", f"{self.url}/health")
        if not self.settings.solana_rpc_url:
            self._wait_for("devnet", self.solana_url, {"jsonrpc": "2.0", "id": 1, "method": "getHealth", "params": []})
        self._wait_for_evm()
        self._wait_for_ton()
        self._fund_hot_wallets()
        for number in range(self.settings.nodes):
            self._start_node(number, operator_key, provider_id)
        self._tell(operator_key)

    def stop(self) -> None:
        """End everything, whatever state it is in, and leave no process behind."""
        self.supervisor.stop()
        endpoints.forget(self.home)
        leftovers.take_down(leftovers.of_home(self.home))

    def _check_ground(self) -> None:
        """What would otherwise show as a child that dies again and again."""
        wanted = {"PORT": self.settings.port}
        if not self.settings.solana_rpc_url:
            wanted["PORT + 899, for the local chain"] = self.settings.port + CHAIN_PORT_OFFSET
            wanted["PORT + 900, for the local chain's websocket"] = self.settings.port + CHAIN_PORT_OFFSET + 1
        if self.ton_command is not None:
            wanted["PORT + 902, for the local TON"] = self.settings.port + TON_PORT_OFFSET
        for name, port in wanted.items():
            if port > HIGHEST_PORT:
                most = HIGHEST_PORT - (max(wanted.values()) - self.settings.port)
                raise ConfigError(f"port {port} ({name}) does not exist: set PORT to {most} or less")
            if not is_free(port, self.settings.bind_host):
                raise ConfigError(f"port {port} ({name}) is taken: stop the program that listens there, or set PORT to another")
        if self.settings.nodes and not NODE_PYTHON.exists():
            raise ConfigError(f"{NODE_PYTHON} is missing: run `make install`, or set NODES=0 to go without a local GPU node")

    def _start_servers(self) -> None:
        if not self.settings.redis_url:
            self.valkey.folder.mkdir(parents=True, exist_ok=True)
            self.supervisor.start(Role("valkey", self.valkey.command(), self.environment, SERVERS))
        if not self.settings.solana_rpc_url:
            where = ["--port", str(self.settings.port + CHAIN_PORT_OFFSET), "--home", str(self.home / "devnet")]
            devnet = [sys.executable, "-m", "devnet", *where, "--slot-ms", SLOT_MS, "--blockhash-blocks", BLOCKHASH_BLOCKS]
            self.supervisor.start(Role("devnet", devnet, self.environment, SERVERS))
        if self.evm_command is not None:
            home = self.home / "evm"
            self.supervisor.start(Role("evm", self.evm_command, self.environment, SERVERS, lambda: evm.prepare(home)))
        if self.ton_command is not None:
            self.supervisor.start(Role("ton", self.ton_command, self.environment, SERVERS))
        if not self.settings.database_url:
            self.postgres.prepare()
            role = Role("postgres", self.postgres.command(), self.environment, SERVERS, self.postgres.clear, signal.SIGINT)
            self.supervisor.start(role)
            self.postgres.wait_ready()

    def _ensure_owners(self, database: Database) -> tuple[str, str]:
        """The operator's key, and the local provider whose wallet is paid for the local nodes' work."""
        key_file = self.home / "operator.key"
        with database.unit_of_work() as session:
            key = accounts.ensure_operator(session, key_file.read_text() if key_file.exists() else None)
            offer = {"name": "Local GPU", "wallet": self._wallet("provider"), "endpoint": self.url, "spec": SPEC}
            provider_id = nodes.register_provider(session, offer, TARIFF)
            nodes.get_provider(session, provider_id).status = "online"
        key_file.touch(mode=0o600)
        key_file.write_text(key)
        return key, str(provider_id)

    def _wallet(self, name: str) -> str:
        """The address of a local wallet; its key stays in the home."""
        return str(Keypair.from_json(kept(self.home / f"{name}.json", lambda: Keypair().to_json())).pubkey())

    def _start_hub(self) -> None:
        metrics = self.home / "metrics"
        metrics.mkdir(exist_ok=True)
        for stale in metrics.glob("*.db"):
            stale.unlink()
        python = [sys.executable, "-m"]
        celery = [*python, "celery", "-A", "celery_app", "--quiet"]
        worker = [*celery, "worker", "-P", "threads", "-c", "12", "-Q", "hub", "-n"]
        beat = [*celery, "beat", "-s", str(self.home / "beat-schedule"), "--pidfile="]
        self.supervisor.start(Role("api", [*python, "gunicorn", "-c", "python:app.serving", "wsgi:app"], self.environment, HUB))
        for number in range(self.settings.hub_workers):
            name = f"worker-{number + 1}" if number else "worker"
            self.supervisor.start(Role(name, [*worker, f"{name}@%h"], self.environment, HUB))
        own = {name: value for name, value in self.environment.items() if name not in HUB_SECRETS}
        self.supervisor.start(Role("signer", [*python, "app.signer", *self._signer_options()], own, HUB))
        self.supervisor.start(Role("beat", beat, self.environment, NODES))
        self.supervisor.start(Role("poller", [*python, "app.cli", "poller"], self.environment, NODES))

    def _signer_options(self) -> list[str]:
        """Keys are made for local money only; an operator makes those of a real wallet (`lightyard signer make-keys`)."""
        return [] if self.settings.is_production else ["--make-keys"]

    def _start_node(self, number: int, operator_key: str, provider_id: str) -> None:
        capabilities = self.environment.get("NODE_CAPABILITIES") or NODE_CAPABILITIES
        # Where the hub gives hosts a broker of their own, its own address is not theirs.
        kept_back = (*HUB_SECRETS, "BROKER_URL") if self.settings.rabbitmq_api_url else HUB_SECRETS
        environment = {
            **{name: value for name, value in self.environment.items() if name not in kept_back},
            "HUB_URL": self.url,
            "NODE_HOME": str(self.home / f"node-{number}"),
            "NODE_NAME": f"local-{number}",
            "NODE_CAPABILITIES": capabilities,
            "ENROL_KEY": operator_key,
            "ENROL_PROVIDER_ID": provider_id,
        }
        celery = [str(NODE_PYTHON), "-m", "celery", "-A", "gpu_node", "worker"]
        command = [*celery, "-Q", capabilities, "-n", f"node{number}@%h"]
        self.supervisor.start(Role(f"node-{number}", command, environment, NODES))

    def _wait_for(self, role: str, url: str, call: dict[str, Any] | None = None, timeout_seconds: float = 90) -> None:
        """Until `url` answers. ConfigError with the end of the log when the process ends or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                (httpx.post(url, json=call, timeout=2) if call else httpx.get(url, timeout=2)).raise_for_status()
                return
            except httpx.HTTPError:
                if time.monotonic() > deadline or any(ended.name == role for ended in self.supervisor.ended()):
                    log = self.supervisor.log_of(role)
                    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                    raise ConfigError(f"{role} did not start; the end of {log}:\n{tail}") from None
                time.sleep(0.1)  # a server that boots tells nobody: ask again

    def _wait_for_evm(self) -> None:
        """The marketplace works without a chain for its roots: they are anchored when it is there."""
        if self.evm_command is None:
            if not self.settings.evm_rpc_url:
                advice = "`make evm-chain` installs one, or set EVM_RPC_URL"
                self.supervisor.say(f"no EVM chain, so the ledger's roots are not anchored: {advice}")
            return
        try:
            self._wait_for("evm", str(self.evm_url), {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}, 15)
        except ConfigError as error:
            self.supervisor.say(f"{error.message}\nthe ledger's roots are not anchored until it answers")

    def _wait_for_ton(self) -> None:
        """The marketplace works without TON."""
        if self.ton_command is not None:
            self._wait_for("ton", f"{self.ton_url}/getMasterchainInfo")
        elif not (self.settings.ton_api_urls or self.settings.ton_config):
            self.supervisor.say("no TON, so nothing is paid in it: `make ton-chain` installs one, or set TON_API_URL")

    def _fund_hot_wallets(self) -> None:
        solana_url = None if self.settings.solana_rpc_url else self.solana_url
        ton_url = self.ton_url if self.ton_command is not None else None
        hub_wallet = self.environment.get("SOLANA_WALLET") or None
        hot_wallets.fund(self.settings.signer_socket_path, solana_url, ton_url, self.supervisor.say, hub_wallet)

    def _tell(self, operator_key: str) -> None:
        body: dict[str, Any] = {
            "api_url": self.url,
            "solana_rpc_url": self.solana_url,
            "evm_rpc_url": self.evm_url,
            "ton_api_url": self.ton_url,
            "ton_wallet": self.environment.get("TON_WALLET") or None,
            "ton_jetton_masters": self.environment.get("TON_JETTON_MASTERS") or None,
            "operator_api_key": operator_key,
            "metrics_url": f"{self.url}/metrics",
            "hub_wallet": self.environment.get("SOLANA_WALLET") or None,
            "mints": self._mints(),
            "database_url": self.database_url,
            "redis_url": self.redis_url,
        }
        endpoints.write(self.home, body)

    def _mints(self) -> dict[str, str]:
        """The local chain's test mints; none on another chain."""
        if self.settings.solana_rpc_url:
            return {}
        request = {"jsonrpc": "2.0", "id": 1, "method": "lightyardMints", "params": []}
        answer = json.loads(httpx.post(self.solana_url, json=request, timeout=10).raise_for_status().text)
        return dict(answer.get("result") or {})
