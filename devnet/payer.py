"""A client's wallet on the local chain, for demo, tests and bench."""

import base64
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_ID
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from websockets.sync.client import connect

from devnet.genesis import DECIMALS
from devnet.tokens import ASSOCIATED_PROGRAM, TOKEN_PROGRAM, associated_address

MEMO_PROGRAM = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
CREATE_IDEMPOTENT, TRANSFER_CHECKED = b"\x01", b"\x0c"
DIGITS_LIMIT = 20


def memo(text: str) -> Instruction:
    return Instruction(MEMO_PROGRAM, text.encode(), list[AccountMeta]())


class Payer:
    """Pays `lamports` or tokens with memos; `sign` gives base58 signatures over texts."""

    def __init__(self, rpc_url: str, keypair: Keypair | None = None) -> None:
        self.keypair = keypair or Keypair()
        self.address = str(self.keypair.pubkey())
        self._http = httpx.Client(base_url=rpc_url, timeout=10)
        parts = urlsplit(rpc_url)
        self._socket_url = f"ws://{parts.hostname}:{(parts.port or 8899) + 1}"

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

    def mint(self, amount: Decimal | str, asset: str) -> str:
        """Test tokens (`amount` in whole units, as people write it) from the chain's faucet; the mint's address."""
        return str(fund(self._http, self.address, Decimal(amount), asset)["mint"])

    def transfer(self, to: str, lamports: int, source: Keypair | None = None) -> Instruction:
        payer = (source or self.keypair).pubkey()
        return transfer(TransferParams(from_pubkey=payer, to_pubkey=Pubkey.from_string(to), lamports=lamports))

    def transfer_token(self, to: str, minor: int, mint: str, decimals: int) -> list[Instruction]:
        """The payee's token account is made when it is not there."""
        owner, payee, token = self.keypair.pubkey(), Pubkey.from_string(to), Pubkey.from_string(mint)
        source, target = associated_address(owner, token), associated_address(payee, token)
        rest = ((key, False, False) for key in (payee, token, SYSTEM_ID, TOKEN_PROGRAM))
        shape = [(owner, True, True), (target, False, True), *rest]
        make = Instruction(ASSOCIATED_PROGRAM, CREATE_IDEMPOTENT, [AccountMeta(*item) for item in shape])
        shape = [(source, False, True), (token, False, False), (target, False, True), (owner, True, False)]
        data = TRANSFER_CHECKED + minor.to_bytes(8, "little") + bytes([decimals])
        return [make, Instruction(TOKEN_PROGRAM, data, [AccountMeta(*item) for item in shape])]

    def sign_payment(self, to: str, lamports: int, *memos: str) -> str:
        """A transfer with memos, signed and in base64, not sent yet."""
        return self.sign_transaction([self.transfer(to, lamports), *map(memo, memos)])

    def sign_transaction(self, instructions: list[Instruction], signers: tuple[Keypair, ...] = ()) -> str:
        """On the newest block hash, in base64, not sent yet."""
        latest = self.rpc("getLatestBlockhash", {"commitment": "processed"})["value"]["blockhash"]
        message = MessageV0.try_compile(self.keypair.pubkey(), instructions, [], Hash.from_string(latest))
        return base64.b64encode(bytes(VersionedTransaction(message, [self.keypair, *signers]))).decode()

    def send_signed(self, transaction: str, skip_preflight: bool = False) -> str:
        """Send signed bytes; sending the same bytes again is the same transaction. Returns its signature."""
        return str(self.rpc("sendTransaction", transaction, {"encoding": "base64", "skipPreflight": skip_preflight}))

    def send(self, instructions: list[Instruction], signers: tuple[Keypair, ...] = (), skip_preflight: bool = False) -> str:
        return self.send_signed(self.sign_transaction(instructions, signers), skip_preflight)

    def pay(self, to: str, lamports: int, *memos: str) -> str:
        return self.send([self.transfer(to, lamports), *map(memo, memos)])

    def pay_token(self, to: str, minor: int, mint: str, decimals: int, *memos: str) -> str:
        return self.send([*self.transfer_token(to, minor, mint, decimals), *map(memo, memos)])

    def wait_final(self, signature: str, timeout_seconds: float = 60) -> None:
        """Wait until the chain says `finalized`, whether the transaction failed or not; TimeoutError when it does not."""
        with connect(self._socket_url) as socket:
            options = {"commitment": "finalized"}
            asked = {"jsonrpc": "2.0", "id": 1, "method": "signatureSubscribe", "params": [signature, options]}
            socket.send(json.dumps(asked))
            while json.loads(socket.recv(timeout_seconds)).get("method") != "signatureNotification":
                pass  # the answer to the subscription comes first


def fund(http: httpx.Client, wallet: str, amount: Decimal, asset: str) -> dict[str, str]:
    """Mint `amount` whole units of USDC, USDT or RENDER to a wallet; ValueError says what is wrong with the request.

    Returns `{"signature", "tokenAccount", "mint", "amount"}`, the amount in minor units. `http` has the node as its base.
    """
    if asset not in DECIMALS:
        raise ValueError(f"the local chain mints {', '.join(DECIMALS)}, not {asset}")
    if not amount.is_finite() or amount <= 0 or amount.adjusted() > DIGITS_LIMIT:
        raise ValueError(f"{amount} is no amount to mint")
    minor = amount.scaleb(DECIMALS[asset])
    if minor != int(minor):
        raise ValueError(f"{asset} has {DECIMALS[asset]} decimals; {amount} has more")
    found: dict[str, str] = _ask(http, "lightyardFaucet", wallet, str(int(minor)), asset)
    return found


def _ask(http: httpx.Client, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    answer = http.post("/", json=body).raise_for_status().json()
    if "error" in answer:
        raise ValueError(answer["error"]["message"])
    return answer["result"]
