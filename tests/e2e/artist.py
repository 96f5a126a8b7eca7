"""A client as clients are: it retries what did not answer, pays on the chain, polls, and looks at its pictures."""

import io
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
from PIL import Image

from devnet.payer import Payer
from tests.factories.stacks import FRESH

AWAY = {502, 503, 504}
T = TypeVar("T")


class PatientClient:
    """Asks again while nobody answers."""

    def __init__(self, endpoints: dict[str, str], patience_seconds: float = 60) -> None:
        self.patience_seconds = patience_seconds
        self.http = httpx.Client(limits=FRESH, base_url=endpoints["api_url"], timeout=60)

    def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        """Ask until somebody answers: a server that was just killed is back in a moment."""
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                answer = self.http.request(method, path, **body)
                if answer.status_code not in AWAY or time.monotonic() > deadline:
                    return answer
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)  # the client's back-off


class Artist(PatientClient):
    def __init__(self, endpoints: dict[str, str], patience_seconds: float = 60) -> None:
        super().__init__(endpoints, patience_seconds)
        self.wallet = Payer(endpoints["solana_rpc_url"])
        self.wallet.airdrop(10**11)

    def quote(self, scene: bytes, settings: dict[str, Any], name: str = "scene.blend") -> dict[str, Any]:
        form = {"clientWallet": self.wallet.address, "settings": json.dumps(settings)}
        answer = self.call("POST", "/render", data=form, files={"file": (name, scene)})
        assert answer.status_code == 402, answer.text
        return answer.json()["payment"]  # type: ignore[no-any-return]

    def send_money(self, payment: dict[str, Any]) -> str:
        """Pay on the chain. One signed transaction is sent until the chain answers, so that it cannot pay twice."""
        lamports = round(payment["price"] * 10**9)
        signed = self._until_answered(lambda: self.wallet.sign_payment(payment["payTo"], lamports, payment["memo"]))
        return self._until_answered(lambda: self.wallet.send_signed(signed))

    def _until_answered(self, ask: Callable[[], T]) -> T:
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                return ask()
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)  # the client's back-off

    def announce(self, payment: dict[str, Any], signature: str) -> dict[str, Any]:
        """Tell the hub. Not final yet is an answer of 200 too: it confirms by itself."""
        answer = self.call("POST", "/render/pay", json={"jobId": payment["jobId"], "txSignature": signature})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]  # type: ignore[no-any-return]

    def wait(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        job: dict[str, Any] = {}
        while time.monotonic() < deadline:
            job = self.call("GET", f"/render/{job_id}").json()["data"]
            if job["status"] in ("completed", "failed", "cancelled"):
                return job
            time.sleep(0.2)  # Rayment's clients poll
        raise AssertionError(f"not over after {seconds} s: {job}")

    def picture(self, job_id: str, frame: int) -> Image.Image:
        answer = self.call("GET", f"/render/{job_id}/result", params={"frame": frame})
        assert answer.status_code == 200, answer.text
        return Image.open(io.BytesIO(answer.content))
