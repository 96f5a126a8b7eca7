"""The hub's door to the signer's socket. The keys are on the other side of it."""

import base64
import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app import trail
from app.db import assert_no_unit_of_work
from app.errors import InvalidInput, Unavailable
from app.values import payouts
from app.values.payouts import Order, Refusal, Refused, SignedPayouts, Terms

ANSWER_SECONDS = 15
ANSWER_BYTES = 65_536


class SignerAway(Unavailable):
    """Nobody answered, or not clearly: whether anything was signed is not known, and asking again tells."""

    code = "SIGNER_AWAY"


class SignerClient:
    """Each call is a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def addresses(self) -> dict[str, str]:
        """The hot wallets' addresses by chain; a chain without a key has none."""
        found = self._call({"do": "addresses"}).get("addresses")
        if not isinstance(found, dict):
            raise SignerAway("the signer told no addresses")
        return {str(chain): str(address) for chain, address in found.items()}

    def fee_payer(self) -> str | None:
        """The address of the wallet that pays fees of strangers' transactions on Solana; None without its key."""
        found = self._call({"do": "addresses"}).get("fee_payer")
        return None if found is None else str(found)

    def cosign(self, raw: bytes) -> bytes | Refused:
        """The transaction with the signature of the wallet that pays its fee; the same one again is the same bytes."""
        answer = self._call({"do": "cosign", "transaction": base64.b64encode(raw).decode()})
        try:
            if "refused" in answer:
                told = answer["refused"]
                return Refused(Refusal(told["reason"]), str(told["message"]))
            return base64.b64decode(answer["cosigned"], validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise SignerAway(f"the signer's answer can't be read: {error}: {str(answer)[:200]}") from error

    def sign(self, chain: str, orders: Sequence[Order], terms: Terms, replaces: Sequence[str]) -> SignedPayouts | Refused:
        """Signed bytes: new ones, or those that were signed before for one of these payouts and are not in `replaces`."""
        body = {
            "do": "sign",
            "chain": chain,
            "orders": [payouts.to_json(order) for order in orders],
            "terms": {name: getattr(terms, name) for name in Terms.__slots__},
            "replaces": list(replaces),
        }
        answer = self._call(body)
        try:
            if "refused" in answer:
                told = answer["refused"]
                found = payouts.read_id(told["payout_id"])
                return Refused(Refusal(told["reason"]), str(told["message"]), found, told["asset"])
            return payouts.read_signed(answer["signed"])
        except (KeyError, TypeError, ValueError, InvalidInput) as error:
            raise SignerAway(f"the signer's answer can't be read: {error}: {str(answer)[:200]}") from error

    def _call(self, body: dict[str, Any]) -> dict[str, Any]:
        assert_no_unit_of_work()
        try:
            with trail.span(f"signer {body['do']}", "client"):
                line = self._exchange(json.dumps(body).encode() + b"\n")
            answer = json.loads(line)
        except (OSError, ValueError) as error:
            raise SignerAway(f"the signer does not answer on {self._path}: {error}") from error
        if not isinstance(answer, dict) or "error" in answer:
            raise SignerAway(f"the signer could not do it: {str(answer)[:200]}")
        return answer

    def _exchange(self, line: bytes) -> bytes:
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.connect(f"/proc/self/fd/{folder}/{self._path.name}")
                connection.sendall(line)
                with connection.makefile("rb") as stream:
                    answer = stream.readline(ANSWER_BYTES)
        finally:
            os.close(folder)
        if not answer.endswith(b"\n"):
            raise ValueError("its answer ended early")
        return answer
