"""A provider whom the operator does not know: a wallet, a registration by the public API, and hosts of its own."""

import base64
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
import httpx
from nacl.signing import SigningKey

from devnet.payer import Payer
from tests.api.conftest import PRICING, SPEC
from tests.e2e.conftest import NODE_PYTHON, ROOT
from tests.factories.rabbitmq import RabbitMQ
from tests.factories.stacks import FRESH

NODE_LIKE = ("BROKER", "REDIS", "DATABASE", "RABBITMQ", "NODE", "ENROL")


class Stranger:
    """Registered and online. `access` is the broker's address out of a real registration, enrolled by the wallet's signature."""

    def __init__(self, endpoints: dict[str, str], folder: Path, name: str = "farm") -> None:
        self.folder, self.endpoints, self.wallet = folder, endpoints, Payer(endpoints["solana_rpc_url"])
        self.http = httpx.Client(limits=FRESH, base_url=endpoints["api_url"], timeout=30)
        signature = self.wallet.sign(f"register:{self.wallet.address}:{name}")
        body = {"name": name, "wallet": self.wallet.address, "endpoint": "http://127.0.0.1:4402", "spec": SPEC}
        answer = self.http.post("/provider/register", json={**body, "pricing": PRICING, "signature": signature})
        assert answer.status_code == 200, answer.text
        self.provider_id: str = answer.json()["data"]["providerId"]
        signature = self.wallet.sign(f"status:{self.provider_id}:online")
        body = {"providerId": self.provider_id, "status": "online", "signature": signature}
        assert self.http.put("/provider/status", json=body).status_code == 200
        (folder / "wallet.json").write_text(str(list(bytes(self.wallet.keypair))))

    def queue(self, capability: str) -> str:
        return f"{capability}.{self.provider_id}"

    def register(self, key: SigningKey, is_enrolment: bool = True, **more: Any) -> dict[str, Any]:
        """The hub's answer to a host's registration."""
        public_key, now = bytes(key.verify_key), int(time.time())
        message = f"enrol:{self.provider_id}:{hashlib.sha256(public_key).hexdigest()}:{now}"
        enrolment = {"provider_id": self.provider_id, "timestamp": now, "signature": self.wallet.sign(message)}
        known = {"name": "host", "public_key": base64.b64encode(public_key).decode(), "capabilities": ["render", "compute"]}
        body = known | more
        answer = self.http.post("/node/v1/nodes", json=body | ({"enrolment": enrolment} if is_enrolment else {}))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def environment(self, **settings: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NODE_LIKE)}
        own = {"PYTHONPATH": str(ROOT), "HUB_URL": self.endpoints["api_url"], "NODE_HOME": str(self.folder / "host"),
               "NODE_NAME": "stranger", "NODE_CAPABILITIES": "render,compute", "NODE_POLL_SECONDS": "3600",
               "NODE_CONTAINER_ENGINE": "off",  # so it offers, and listens for, what needs none: echo and cpu_benchmark
               "NODE_SPARE_CHILD": "off", "NODE_PROGRESS_SECONDS": "0.2", "SSL_CERT_FILE": self.endpoints["broker_certificate"]}
        return {**kept, **own, **settings}

    def enrol(self) -> None:
        """As its owner does, once, on the host itself."""
        options = ["--provider", self.provider_id, "--keypair", self.folder / "wallet.json"]
        command = [NODE_PYTHON, "-m", "gpu_node", "enrol", *options]
        subprocess.run(command, cwd=ROOT, env=self.environment(), check=True, capture_output=True, timeout=60)

    def start_host(self, queues: str = "render,compute", **settings: str) -> "subprocess.Popen[bytes]":
        """`celery -A gpu_node worker -Q …`, with no broker named to it."""
        with (self.folder / "host.log").open("ab") as log:
            command = [NODE_PYTHON, "-m", "celery", "-A", "gpu_node", "worker", "-Q", queues]
            return subprocess.Popen(command, cwd=ROOT, env=self.environment(**settings), stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return (self.folder / "host.log").read_text()


def revoke(stranger: Stranger, rabbit: RabbitMQ) -> None:
    """The operator's command."""
    home = Path(stranger.endpoints["home"])
    environment = {"LIGHTYARD_HOME": str(home), "PATH": "/usr/bin:/bin", "BROKER_URL": rabbit.url,
                   "RABBITMQ_API_URL": rabbit.api_url, "SECRET_KEY": (home / "secret.key").read_text()}
    command = [sys.executable, "-m", "app.cli", "nodes", "revoke-broker", stranger.provider_id]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60)


def dial(url: str, vhost: str | None = None) -> amqp.Connection:
    """A connection with the credential of this address, as anybody's own program makes it, whoever answers there."""
    parts = urlsplit(url)
    security = {"cert_reqs": ssl.CERT_NONE} if parts.scheme == "amqps" else False
    found = amqp.Connection(
        f"{parts.hostname}:{parts.port}", userid=unquote(parts.username or ""), password=unquote(parts.password or ""),
        virtual_host=unquote(parts.path[1:]) if vhost is None else vhost, connect_timeout=10, confirm_publish=True, ssl=security,
    )
    found.connect()
    return found


class HeldHandshake:
    """A connection to RabbitMQ whose password was good when it began, and which opens when it likes."""

    def __init__(self, port: int, url: str) -> None:
        """`url` names user and password; `port` is that without TLS."""
        parts = urlsplit(url)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._reader = self._socket.makefile("rb")
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        assert self._read() == (10, 10)  # start
        secret = f"\0{unquote(parts.username or '')}\0{unquote(parts.password or '')}".encode()
        self._send(10, 11, struct.pack(">I", 0) + b"\x05PLAIN" + struct.pack(">I", len(secret)) + secret + b"\x05en_US")
        assert self._read() == (10, 30)  # tune: the password is good
        self._send(10, 31, struct.pack(">HIH", 20, 131072, 0))

    def __enter__(self) -> "HeldHandshake":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()

    def open(self, vhost: str) -> None:
        """Goes on with the handshake, to its end."""
        self._send(10, 40, bytes([len(vhost)]) + vhost.encode() + b"\0\0")
        assert self._read() == (10, 41)

    def is_closed(self) -> bool:
        """Waits for the broker to say so, or to hang up."""
        return self._read() in ((10, 50), None)

    def _send(self, kind: int, method: int, arguments: bytes) -> None:
        body = struct.pack(">HH", kind, method) + arguments
        self._socket.sendall(struct.pack(">BHI", 1, 0, len(body)) + body + b"\xce")

    def _read(self) -> tuple[int, int] | None:
        """The next frame's class and method; None when the broker hung up."""
        try:
            head = self._reader.read(7)
        except ConnectionResetError:
            return None
        if len(head) < 7:
            return None
        body = self._reader.read(struct.unpack(">BHI", head)[2] + 1)
        return struct.unpack(">HH", body[:4])
