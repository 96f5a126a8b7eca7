"""A client's wallet on the local chain, for demo, tests and bench."""

import base64
import time
from typing import Any

import httpx
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

MEMO_PROGRAM = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")


def memo(text: str) -> Instruction:
    return Instruction(MEMO_PROGRAM, text.encode(), list[AccountMeta]())


class Payer:
    """Pays `lamports` with memos; `sign` gives base58 signatures over texts."""

    def __init__(self, rpc_url: str, keypair: Keypair | None = None) -> None:
        self.keypair = keypair or Keypair()
        self.address = str(self.keypair.pubkey())
        self._http = httpx.Client(base_url=rpc_url, timeout=10)

    def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self._http.post("/", json=body).raise_for_status().json()
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer["result"]

    def sign(self, message: str) -> str:
        return str(self.keypair.sign_message(message.encode()))

    def airdrop(self, lamports: int) -> None:
        self.rpc("requestAirdrop", self.address, lamports)

    def transfer(self, to: str, lamports: int, source: Keypair | None = None) -> Instruction:
        payer = (source or self.keypair).pubkey()
        return transfer(TransferParams(from_pubkey=payer, to_pubkey=Pubkey.from_string(to), lamports=lamports))

    def send(self, instructions: list[Instruction], signers: tuple[Keypair, ...] = (), skip_preflight: bool = False) -> str:
        block_hash = Hash.from_string(self.rpc("getLatestBlockhash")["value"]["blockhash"])
        message = MessageV0.try_compile(self.keypair.pubkey(), instructions, [], block_hash)
        raw = bytes(VersionedTransaction(message, [self.keypair, *signers]))
        options = {"encoding": "base64", "skipPreflight": skip_preflight}
        return str(self.rpc("sendTransaction", base64.b64encode(raw).decode(), options))

    def pay(self, to: str, lamports: int, *memos: str) -> str:
        return self.send([self.transfer(to, lamports), *map(memo, memos)])

    def wait_final(self, signature: str, timeout_seconds: float = 60) -> None:
        """Wait until the chain says `finalized`."""
        deadline = time.monotonic() + timeout_seconds
        while self.rpc("getTransaction", signature, {"commitment": "finalized"}) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{signature} is not final after {timeout_seconds} s")
            time.sleep(0.05)  # this RPC node has no subscription; ask again
