"""A third party's node that knows nothing but the seed: a plain websocket client, with what the tests ask it to do."""

import base64
import io
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from nacl.signing import SigningKey
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection, connect

from app.core import accounts
from devnet.payer import Payer
from tests.api.conftest import Market
from tests.relay.conftest import Api

OURS = "lightyard.relay.v1"


class RelayNode:
    """Registers over HTTP; `connect` opens its socket. `is_proven=False` leaves the challenge unanswered."""

    def __init__(self, market: Market, name: str = "edge", is_proven: bool = True, capabilities: tuple[str, ...] = ("render",)):
        self.client, self.key = market.client, SigningKey.generate()
        with market.hub.database.unit_of_work() as session:
            self._secret = accounts.ensure_operator(session)
        self.body = {
            "name": name,
            "public_key": base64.b64encode(bytes(self.key.verify_key)).decode(),
            "capabilities": list(capabilities),
            "provider_id": market.provider_id,
        }
        self.register(is_proven)

    def register(self, is_proven: bool = True) -> None:
        made = self.client.post("/node/v1/nodes", json=self.body, headers={"Authorization": f"Bearer {self._secret}"})
        assert made.status_code == 201, made.json
        self.id, self.challenge, self.token = made.json["node_id"], made.json["challenge"], made.json["token"]
        if is_proven:
            headers = {"Authorization": f"Bearer {self.token}"}
            assert self.client.post("/node/v1/proof", json={"signature": self.proof()}, headers=headers).status_code == 200

    def proof(self) -> str:
        return base64.b64encode(self.key.sign(self.challenge.encode()).signature).decode()

    def connect(self, api: Api, token: str | None = None, node_id: str | None = None, **options: Any) -> "RelaySocket":
        url = f"ws://127.0.0.1:{api.port}/api/v1/relay/ws/{node_id or self.id}?token={token or self.token}"
        return RelaySocket.open(url, api, **options)

    @contextmanager
    def silent(self, api: Api) -> Iterator["RelaySocket"]:
        """A socket that answers no ping: the client's own protocol is kept from it."""
        with self.connect(api) as socket:
            protocol = socket.socket.protocol
            send_frame = protocol.send_frame
            protocol.send_frame = lambda frame: None if frame.opcode is Opcode.PONG else send_frame(frame)  # type: ignore[method-assign]
            yield socket


class RelaySocket:
    def __init__(self, socket: ClientConnection, api: Api) -> None:
        self.socket, self.api = socket, api
        self._unread: list[dict[str, Any]] = []

    @classmethod
    def open(cls, url: str, api: Api, **options: Any) -> "RelaySocket":
        return cls(connect(url, legacy=True, max_size=2**24, ping_interval=None, **options), api)

    def __enter__(self) -> "RelaySocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, message: Any) -> None:
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def hear(self, kind: str | None = None, seconds: float = 30) -> dict[str, Any]:
        """The next message (of a kind, if one is named: others are kept for later)."""
        for position, found in enumerate(self._unread):
            if kind in (None, found["type"]):
                return self._unread.pop(position)
        while True:
            found = json.loads(self.socket.recv(timeout=seconds))
            if kind in (None, found["type"]):
                return found  # type: ignore[no-any-return]
            self._unread.append(found)

    def unread(self, text: Any) -> None:
        """Put back what was heard."""
        self._unread.append(json.loads(text))

    def ask(self, message: Any) -> dict[str, Any]:
        self.send(message)
        return self.hear()

    def closed(self, seconds: float = 30) -> tuple[int, str]:
        """Read until the other side closes: (code, reason)."""
        try:
            while True:
                self.socket.recv(timeout=seconds)
        except ConnectionClosed as error:
            return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")

    def upload_to(self, api: Api, dispatch: dict[str, Any]) -> None:
        """Upload through another process: the one that signed the address does not answer."""
        elsewhere = {**dispatch, "upload_url": dispatch["upload_url"].replace(f":{self.api.port}/", f":{api.port}/")}
        self.upload(elsewhere)

    def upload(self, dispatch: dict[str, Any], size: tuple[int, int] = (8, 6)) -> None:
        picture = io.BytesIO()
        Image.new("RGB", size, (dispatch["settings"]["frame"], 0, 0)).save(picture, "PNG")
        assert httpx.put(dispatch["upload_url"], content=picture.getvalue()).status_code == 201

    def result(self, dispatch: dict[str, Any], **changes: Any) -> dict[str, Any]:
        body = {"type": "job_result", "job_id": dispatch["job_id"], "status": "completed", "result_ref": dispatch["result_ref"]}
        return {**body, **changes}

    def finish(self, dispatch: dict[str, Any]) -> dict[str, Any]:
        self.upload(dispatch)
        return self.ask(self.result(dispatch))


def bought(market: Market, payer: Payer) -> dict[str, Any]:
    """A paid job of one frame; a node that listens may have it before the payer hears that it is queued."""
    payment = market.quote(payer)
    signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
    payer.wait_final(signature)
    assert market.pay(payment, signature).status_code == 200
    return payment


UNKNOWN = str(uuid.UUID(int=1))
