"""The balance, and how money gets into it."""

from __future__ import annotations

from robocompute.apis import Answer, Noun
from robocompute.calls import Amount, decimal_text, get, post, segment


class Wallet(Noun[Answer]):
    def get_balance(self) -> Answer:
        """{usdc_balance, usdt_balance, wallet_address, sol_balance, …}"""
        return self._send(get("/wallet/balance"))

    def deposit(
        self, amount: Amount, currency: str = "USDC", memo: str | None = None, *, idempotency_key: str | None = None
    ) -> Answer:
        """What to pay, and to whom: {deposit_id, status, amount, pay_to, memo, expires_at, …}. A payment with that memo is
        found on the chain and credited once, without being told of."""
        body = {"amount": decimal_text(amount), "currency": currency, "memo": memo}
        return self._send(post("/wallet/deposit", body, idempotency_key))

    def get_deposit(self, deposit_id: str) -> Answer:
        return self._send(get(f"/wallet/deposits/{segment(deposit_id, 'deposit_id')}"))

    def pay_deposit(self, deposit_id: str, tx_signature: str) -> Answer:
        """Show the transaction that pays a deposit, which is then credited as soon as it is final; nobody needs to."""
        path = f"/wallet/deposits/{segment(deposit_id, 'deposit_id')}/pay"
        return self._send(post(path, {"tx_signature": tx_signature}))

    def list_deposits(self, limit: int | None = None, offset: int | None = None) -> Answer:
        return self._send(get("/wallet/deposits", limit=limit, offset=offset))
