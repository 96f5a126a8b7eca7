"""Money on its way to the account: where to pay it, and whether it has come. Whoever has a wallet pays; this server has none."""

import uuid
from typing import Any

from app.errors import InvalidInput, Refused
from app.mcp.hub import Hub

CREDITS, SOURCE = "RCREDIT", "RENDER"
SAID = ("id", "status", "asset", "amount", "received", "pay_to", "mint", "memo", "expires_at", "transactions")
HOW = (
    "pay exactly `amount` of `asset` to `pay_to` on Solana in one transfer, of the token `mint` (null: SOL), with `memo` in the "
    "same transaction; it is found by itself, and sooner by topup with topup_id and the transaction's tx_signature"
)
BOUGHT = f"then topup with topup_id and redeem turns it into {CREDITS}, which this session spends"


class TopUps:
    """`asset` is what the session spends. With `is_dry` nothing is asked for or redeemed."""

    def __init__(self, hub: Hub, asset: str, is_dry: bool) -> None:
        self._hub, self._asset, self._is_dry = hub, asset, is_dry

    def ask(self, amount: str) -> dict[str, Any]:
        """Where to pay so much of what the session spends; of credits, in RENDER, which buys them one for one."""
        self._assert_wet()
        asset = SOURCE if self._asset == CREDITS else self._asset
        asked = self._hub.ask("POST", "/credits/topups", {"asset": asset, "amount": amount}, order_key=str(uuid.uuid4()))
        return self._told(asked)

    def look(self, topup_id: str, tx_signature: str | None, is_redeemed: bool) -> dict[str, Any]:
        """How a top-up stands, after what is said of its transaction; what came of it as RENDER is redeemed, where that is asked
        for: once, however often."""
        path = f"/credits/topups/{_id(topup_id)}"
        if tx_signature is None:
            found = self._hub.ask("GET", path)
        else:
            self._assert_wet()
            found = self._hub.ask("POST", f"{path}/pay", {"tx_signature": tx_signature})
        return self._told(found) | ({"redeemed": self._redeem(found)} if is_redeemed else {})

    def _redeem(self, topup: dict[str, Any]) -> dict[str, Any]:
        self._assert_wet()
        if topup["asset"] != SOURCE:
            raise Refused(f"only {SOURCE} becomes {CREDITS}, and this is {topup['asset']}: it is spent as it is")
        if topup["status"] != "confirmed":
            raise Refused(f"the top-up is {topup['status']}: redeem once it is confirmed", code="TOPUP_NOT_CONFIRMED")
        return self._hub.ask("POST", "/credits/redeem", {"amount": topup["amount"]}, order_key=f"topup:{topup['id']}")

    def _told(self, topup: dict[str, Any]) -> dict[str, Any]:
        is_open, is_credits = topup["status"] == "pending", self._asset == CREDITS and topup["asset"] == SOURCE
        notes = [HOW] * is_open + [BOUGHT] * is_credits
        return {"topup": {name: topup[name] for name in SAID}, "note": "; ".join(notes)}

    def _assert_wet(self) -> None:
        if self._is_dry:
            raise Refused("this is a dry run: nothing is asked for or changed", code="DRY_RUN")


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no top-up's id: topup with an amount answers with one") from None
