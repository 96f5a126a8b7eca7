"""What only a test chain has, under /dev/: money from nowhere, test wallets, time, forks, faults."""

from collections.abc import Callable
from typing import Any

from pytoniq_core import Address

from devnet.ton import addresses, jettons, views
from devnet.ton.chain import Chain, NotAccepted, message_hash
from devnet.ton.errors import ApiError, invalid
from devnet.ton.faults import Faults
from devnet.ton.ledger import Entry
from devnet.ton.messages import COMMENT_BYTES_LIMIT, GIVER, comment_body, internal
from devnet.ton.methods import Params, text, whole
from devnet.ton.wallets import Outgoing, WalletV4

NANO_LIMIT = 2**63
VALID_SECONDS = 3600


class DevMethods:
    def __init__(self, chain: Chain, faults: Faults) -> None:
        self.chain, self.faults = chain, faults

    def table(self) -> dict[str, Callable[[Params], Any]]:
        return {
            "faucet": self.faucet,
            "wallet": self.wallet,
            "pay": self.pay,
            "jettons": self.jettons,
            "mint": self.mint,
            "jetton_wallet": self.jetton_wallet,
            "pay_jetton": self.pay_jetton,
            "advance": self.advance,
            "fork": self.fork,
            "delivery": self.delivery,
            "faults": lambda params: self.faults.switch(params) if params else self.faults.state(),
            "clear_faults": lambda _: self.faults.clear(),
        }

    def faucet(self, params: Params) -> dict[str, Any]:
        """Give `address` `amount` nanotons with a `comment`, in the next block: a message from the masterchain's zero address."""
        address, amount = addresses.read(params.get("address")), self._amount(params)
        body = comment_body(self._comment(params))
        head = self.chain.head()
        now = self.chain.blocks.unix_time(head)
        message = internal(address, amount, body, source=GIVER, bounce=False, created_lt=self._next_lt(), created_at=now)
        self.chain.put(message)
        return {"address": addresses.friendly(address), "amount": str(amount), "message_hash": message_hash(message)}

    def _next_lt(self) -> int:
        """No two gifts are the same message."""
        return self.chain.head() * 1_000_000 + len(self.chain.ledger.waiting)

    @staticmethod
    def _amount(params: Params) -> int:
        amount = whole(params, "amount", None, 1, NANO_LIMIT)
        if amount is None:
            raise invalid("amount is required, in the smallest units")
        return amount

    @staticmethod
    def _comment(params: Params) -> str:
        comment = params.get("comment") or ""
        if not isinstance(comment, str) or len(comment.encode()) > COMMENT_BYTES_LIMIT:
            raise invalid(f"comment must be text of at most {COMMENT_BYTES_LIMIT} bytes")
        return comment

    def wallet(self, params: Params) -> dict[str, Any]:
        """The test wallet of a name: its address, balance and sequence number."""
        wallet = WalletV4.named(text(params, "name"))
        entry = self._last(wallet.address)
        seqno = views.wallet_fields(entry).get("seqno", 0)
        raw = wallet.address.to_str(False)
        friendly = addresses.friendly(wallet.address)
        return {"address": friendly, "raw_address": raw, "balance": str(views.balance_of(entry)), "seqno": seqno}

    def _last(self, address: Address) -> Entry | None:
        return self.chain.last(address, self.chain.head())

    def pay(self, params: Params) -> dict[str, Any]:
        """A real transfer of the test wallet `from` to `to`: `amount` nanotons, `comment`, `bounce` (true unless given)."""
        destination, amount = addresses.read(params.get("to")), self._amount(params)
        message = internal(destination, amount, comment_body(self._comment(params)), bounce=bool(params.get("bounce", True)))
        return self._send_from(text(params, "from"), [Outgoing(message)])

    def _send_from(self, name: str, outgoing: list[Outgoing]) -> dict[str, Any]:
        wallet = WalletV4.named(name)
        entry = self._last(wallet.address)
        seqno = views.wallet_fields(entry).get("seqno", 0)
        valid_until = int(self.chain.blocks.clock()) + VALID_SECONDS
        message = wallet.transfer(outgoing, seqno, valid_until)
        try:
            self.chain.send(message)
        except NotAccepted as refusal:
            advice = "has the wallet money, and has its last transfer landed?"
            raise ApiError(409, f"the wallet {name!r} can't pay: {refusal} ({advice})") from None
        return {"from": addresses.friendly(wallet.address), "seqno": seqno, "message_hash": message_hash(message)}

    def jettons(self, _: Params) -> dict[str, Any]:
        """The test jettons' masters."""
        return {
            asset: {"master": addresses.friendly(jettons.master(asset)), "decimals": decimals}
            for asset, decimals in jettons.DECIMALS.items()
        }

    @staticmethod
    def _asset(params: Params) -> str:
        asset = params.get("asset", "USDT")
        if asset not in jettons.DECIMALS:
            raise invalid(f"asset must be one of {', '.join(jettons.DECIMALS)}")
        return str(asset)

    def mint(self, params: Params) -> dict[str, Any]:
        """Give `address` `amount` minor units of `asset` (USDT) with a `comment`: the master is ordered to in the next block."""
        owner, amount, asset = addresses.read(params.get("address")), self._amount(params), self._asset(params)
        now = self.chain.blocks.unix_time(self.chain.head())
        message = jettons.minting(asset, owner, amount, self._comment(params), self._next_lt(), now)
        self.chain.put(message)
        return self.jetton_wallet(params) | {"message_hash": message_hash(message)}

    def jetton_wallet(self, params: Params) -> dict[str, Any]:
        """Where `address` has its `asset`, and how much, in minor units."""
        owner, asset = addresses.read(params.get("address")), self._asset(params)
        address = jettons.wallet_address(asset, owner)
        _, data = views.code_and_data(self._last(address))
        balance = data.begin_parse().load_coins() if data else 0
        master = addresses.friendly(jettons.master(asset))
        return {"wallet": addresses.friendly(address), "balance": str(balance), "master": master, "asset": asset}

    def pay_jetton(self, params: Params) -> dict[str, Any]:
        """A jetton transfer by the wallet `from`: `amount` to `to`, told the `comment` by `forward_amount` nanotons."""
        to, amount, asset = addresses.read(params.get("to")), self._amount(params), self._asset(params)
        forward = whole(params, "forward_amount", jettons.FORWARD_NANO, 0, 10**12) or 0
        name = text(params, "from")
        owner = WalletV4.named(name).address
        message = jettons.transfer(asset, owner, to, amount, self._comment(params), self._next_lt(), forward)
        return self._send_from(name, [Outgoing(message)])

    def advance(self, params: Params) -> dict[str, Any]:
        """Let `blocks` (1) and `seconds` (0) pass at once."""
        blocks, seconds = whole(params, "blocks", 1, 0, 10**6) or 0, whole(params, "seconds", 0, 0, 10**9) or 0
        head = self.chain.advance(blocks, seconds)
        return {"seqno": head, "unix_time": self.chain.blocks.unix_time(head)}

    def fork(self, params: Params) -> dict[str, Any]:
        """Undo the newest `blocks`; `keep_sent`: what was sent in since then waits to be executed again, else it is lost."""
        blocks = whole(params, "blocks", 1, 1, 10**6) or 1
        return {"seqno": self.chain.turn_back(blocks, bool(params.get("keep_sent", False)))}

    def delivery(self, params: Params) -> dict[str, Any]:
        """A message between contracts is executed `blocks` after the block that sent it."""
        self.chain.head()
        self.chain.delivery_blocks = whole(params, "blocks", 1, 1, 10**6) or 1
        return {"blocks": self.chain.delivery_blocks}
