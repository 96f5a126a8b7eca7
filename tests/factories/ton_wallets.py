"""TON wallets of tests: their states are @ton/ton's (tests/values/ton_proofs.js), and they sign with PyNaCl."""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

MADE: dict[str, Any] = json.loads((Path(__file__).parent.parent / "values" / "ton_proofs.json").read_text())


@dataclass(frozen=True)
class TonWallet:
    """A wallet whose seed everybody knows. `workchain` and `hash_part` are its address's."""

    version: str
    address: str
    friendly: str
    public_key: str
    seed: str
    proof: dict[str, Any]

    @property
    def state_init(self) -> Any:
        return self.proof["state_init"]

    def prove(self, payload: str, host: str, timestamp: int, **changes: Any) -> dict[str, Any]:
        """What the wallet answers to ton_proof; `changes` overwrite members of the proof after it was signed."""
        workchain, _, hash_part = self.address.partition(":")
        data = host.encode()
        item = (
            b"ton-proof-item-v2/" + int(workchain).to_bytes(4, "big", signed=True) + bytes.fromhex(hash_part)
            + len(data).to_bytes(4, "little") + data + timestamp.to_bytes(8, "little") + payload.encode()
        )
        digest = hashlib.sha256(b"\xff\xffton-connect" + hashlib.sha256(item).digest()).digest()
        signature = base64.b64encode(SigningKey(bytes.fromhex(self.seed)).sign(digest).signature).decode()
        return {
            "timestamp": timestamp,
            "domain": {"lengthBytes": len(data), "value": host},
            "signature": signature,
            "payload": payload,
            "state_init": self.state_init,
            **changes,
        }


WALLETS = [TonWallet(**item) for item in MADE["made_by_ton_js"]]
V3R2, V4R2, V5R1 = (next(wallet for wallet in WALLETS if wallet.version == version) for version in ("v3r2", "v4r2", "v5r1"))
