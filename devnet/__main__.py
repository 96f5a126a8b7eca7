"""`python -m devnet --port 8899 [--home DIR] [--slot-ms 400]`: the local Solana's JSON-RPC."""

import argparse
import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from devnet import parsed
from devnet.chain import Chain, Refused

BODY_LIMIT_BYTES = 1_048_576
BLOCK_HASH_SLOTS = 150
RANK = {"processed": 0, "confirmed": 1, "finalized": 2}


class Rpc:
    """One method of Solana's JSON-RPC per method here, by the same name."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def call(self, method: str, params: list[Any]) -> Any:
        verb = getattr(self, f"rpc_{method}", None)
        if verb is None:
            raise LookupError(f"Method not found: {method}")
        return verb(*params)

    def _value(self, value: Any) -> dict[str, Any]:
        return {"context": {"slot": self.chain.slot, "apiVersion": "2.0.0"}, "value": value}

    def rpc_getHealth(self) -> str:
        return "ok"

    def rpc_getVersion(self) -> dict[str, Any]:
        return {"solana-core": "2.0.0", "feature-set": 0}

    def rpc_getSlot(self, _: Any = None) -> int:
        return self.chain.slot

    def rpc_getBlockHeight(self, _: Any = None) -> int:
        return self.chain.slot

    def rpc_getLatestBlockhash(self, _: Any = None) -> dict[str, Any]:
        height = self.chain.slot + BLOCK_HASH_SLOTS
        return self._value({"blockhash": str(self.chain.svm.latest_blockhash()), "lastValidBlockHeight": height})

    def rpc_getBalance(self, address: str, _: Any = None) -> dict[str, Any]:
        return self._value(self.chain.svm.get_balance(Pubkey.from_string(address)) or 0)

    def rpc_getMinimumBalanceForRentExemption(self, size: int, _: Any = None) -> int:
        return int(self.chain.svm.minimum_balance_for_rent_exemption(size))

    def rpc_requestAirdrop(self, address: str, lamports: int, _: Any = None) -> str:
        self.chain.airdrop(Pubkey.from_string(address), int(lamports))
        return str(Keypair().sign_message(b"airdrop"))

    def rpc_sendTransaction(self, text: str, options: dict[str, Any] | None = None) -> str:
        options = options or {}
        if options.get("encoding") != "base64":
            raise ValueError("send transactions in base64")
        return self.chain.send(base64.b64decode(text), bool(options.get("skipPreflight")))

    def rpc_getTransaction(self, signature: str, options: Any = None) -> Any:
        options = options if isinstance(options, dict) else {}
        landed = self.chain.landed.get(signature)
        wanted = RANK[options.get("commitment", "finalized")]
        if landed is None or RANK[self.chain.commitment(landed)] < wanted:
            return None
        return parsed.show(landed, options.get("encoding", "jsonParsed"))

    def rpc_getSignatureStatuses(self, signatures: list[str], _: Any = None) -> dict[str, Any]:
        return self._value([self._status(signature) for signature in signatures])

    def _status(self, signature: str) -> dict[str, Any] | None:
        landed = self.chain.landed.get(signature)
        if landed is None:
            return None
        word = self.chain.commitment(landed)
        confirmations = None if word == "finalized" else self.chain.slot - landed.slot
        status = {"Err": landed.error} if landed.error else {"Ok": None}
        return {
            "slot": landed.slot,
            "confirmations": confirmations,
            "err": landed.error,
            "status": status,
            "confirmationStatus": word,
        }

    def rpc_getSignaturesForAddress(self, address: str, options: Any = None) -> list[dict[str, Any]]:
        options = options or {}
        wanted = RANK[options.get("commitment", "finalized")]
        rows = []
        for signature, landed in reversed(self.chain.landed.items()):
            word = self.chain.commitment(landed)
            if RANK[word] < wanted or address not in map(str, landed.keys):
                continue
            memos = "; ".join(f"[{len(text.encode())}] {text}" for text in parsed.memos(landed)) or None
            row = {"signature": signature, "slot": landed.slot, "err": landed.error, "memo": memos}
            rows.append(row | {"blockTime": landed.block_time, "confirmationStatus": word})
        return rows[: options.get("limit", 1000)]

    def rpc_svm_advanceSlots(self, slots: int) -> int:
        return self.chain.advance(slots)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rpc: Rpc

    def do_POST(self) -> None:
        size = min(int(self.headers.get("Content-Length") or 0), BODY_LIMIT_BYTES)
        try:
            request = json.loads(self.rfile.read(size))
        except ValueError:
            self._reply({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
            return
        many = isinstance(request, list)
        answers = [self._answer(item) for item in (request if many else [request])]
        self._reply(answers if many else answers[0])

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {"jsonrpc": "2.0", "id": request.get("id")}
        try:
            return body | {"result": self.rpc.call(request["method"], request.get("params") or [])}
        except Refused as error:
            data = {"err": str(error), "logs": error.logs}
            return body | {"error": {"code": -32002, "message": f"Transaction simulation failed: {error}", "data": data}}
        except LookupError as error:
            return body | {"error": {"code": -32601, "message": str(error)}}
        except (ValueError, TypeError) as error:
            return body | {"error": {"code": -32602, "message": f"Invalid params: {error}"}}

    def _reply(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Requests are not logged."""


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m devnet")
    options.add_argument("--port", type=int, default=8899)
    options.add_argument("--home", type=Path)
    options.add_argument("--slot-ms", type=int, default=400)
    chosen = options.parse_args()
    if chosen.home:
        chosen.home.mkdir(parents=True, exist_ok=True)
    Handler.rpc = Rpc(Chain(chosen.slot_ms, chosen.home / "journal.jsonl" if chosen.home else None))
    server = ThreadingHTTPServer(("127.0.0.1", chosen.port), Handler)
    print(f"devnet ready http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
