"""JSON-RPC over eth-tester, for machines without npm: `python tester.py --port 8901`. The chain is gone when it ends.

It runs in an environment of its own (`.venv-evm`) and imports nothing of the project. What web3 translates is served, one call at
a time; each transaction is mined at once. The funded accounts are those of the mnemonic that anvil uses too.
"""

import argparse
import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from eth_tester import EthereumTester, PyEVMBackend
from hexbytes import HexBytes
from web3 import Web3
from web3.providers.eth_tester import EthereumTesterProvider

MNEMONIC = "test test test test test test test test test test test junk"
LARGEST_BODY_BYTES = 1_048_576
ACCOUNTS = "m/44'/60'/0'/0"  # where anvil, as wallets do, finds a mnemonic's accounts


def plain(value: object) -> object:
    """What JSON-RPC writes: numbers and bytes in hex."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, bytes | HexBytes):
        return "0x" + bytes(value).hex()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {str(name): plain(item) for name, item in dict(value).items()}  # type: ignore[call-overload]


class Handler(BaseHTTPRequestHandler):
    web3: Web3

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_BODY_BYTES:
            self.send_error(413)
            return
        body = json.dumps(self.answer(self.rfile.read(length))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, data: bytes) -> dict[str, object]:
        try:
            call = json.loads(data)
            number, method, params = call.get("id"), call["method"], call.get("params") or []
        except (ValueError, KeyError, AttributeError):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "not a JSON-RPC call"}}
        try:
            request = self.web3.provider.request_func(self.web3, self.web3.middleware_onion)
            found = dict(request(method, params))
        except Exception as refusal:  # noqa: BLE001  whatever eth-tester refuses with is the caller's answer
            found = {"error": {"code": -32000, "message": f"{type(refusal).__name__}: {refusal}"}}
        if "error" in found:
            problem = found["error"]
            error = problem if isinstance(problem, dict) else {"code": -32000, "message": str(problem)}
            return {"jsonrpc": "2.0", "id": number, "error": error}
        return {"jsonrpc": "2.0", "id": number, "result": plain(found["result"])}

    def log_message(self, format: str, *args: object) -> None:
        """Calls are not news."""


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--port", type=int, required=True)
    port = reader.parse_args().port
    backend = PyEVMBackend.from_mnemonic(MNEMONIC, hd_path=ACCOUNTS)
    Handler.web3 = Web3(EthereumTesterProvider(EthereumTester(backend)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
