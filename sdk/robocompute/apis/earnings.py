"""What a provider has earned, and how it is paid out. `payouts` and `earnings` say the same of payouts."""

from __future__ import annotations

from robocompute.apis import Answer, ProvidersNoun
from robocompute.calls import Amount, decimal_text, delete, get, post, segment


class Payouts(ProvidersNoun[Answer]):
    def request(
        self,
        amount: Amount,
        currency: str = "USDC",
        wallet_address: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Pay from the balance to a wallet that the provider has signed for; without one, to the provider's own."""
        body = {"amount": decimal_text(amount), "currency": currency, "wallet_address": wallet_address}
        return self._send(post(f"{self._prefix}/payouts/request", body, idempotency_key))

    def get_history(self, limit: int = 50, offset: int | None = None) -> Answer:
        return self._send(get(f"{self._prefix}/payouts/history", limit=limit, offset=offset))

    def get_pending(self) -> Answer:
        return self._send(get(f"{self._prefix}/payouts/pending"))

    def list_addresses(self) -> Answer:
        """The wallets that may be paid, and the `message` that another one signs to be added."""
        return self._send(get(f"{self._prefix}/payouts/addresses"))

    def add_address(self, wallet_address: str, timestamp: int, signature: str, automatic: bool = False) -> Answer:
        """Let another wallet be paid, after a cool-off: `signature` is its own, over the message of `list_addresses` with its
        address and `timestamp` (milliseconds) put in. `automatic`: what is due goes there by itself."""
        body = {"wallet_address": wallet_address, "timestamp": timestamp, "signature": signature, "automatic": automatic}
        return self._send(post(f"{self._prefix}/payouts/addresses", body))

    def remove_address(self, address_id: str) -> Answer:
        return self._send(delete(f"{self._prefix}/payouts/addresses/{segment(address_id, 'address_id')}"))


class Earnings(ProvidersNoun[Answer]):
    def get_summary(self, start_date: str | None = None, end_date: str | None = None) -> Answer:
        """{total_usdc, total_usdt, total_tasks, …} of the days from `start_date` to `end_date` (YYYY-MM-DD, both included)."""
        return self._send(get(f"{self._prefix}/earnings", start_date=start_date, end_date=end_date))

    def request_payout(
        self,
        amount: Amount,
        currency: str = "USDC",
        wallet_address: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Answer:
        """As `payouts.request`."""
        return self._payouts.request(amount, currency, wallet_address, idempotency_key=idempotency_key)

    def get_payout_history(self, limit: int = 50, offset: int | None = None) -> Answer:
        """As `payouts.get_history`."""
        return self._payouts.get_history(limit, offset)

    def get_pending_payouts(self) -> Answer:
        """As `payouts.get_pending`."""
        return self._payouts.get_pending()

    @property
    def _payouts(self) -> Payouts[Answer]:
        return Payouts(self._send, self._prefix)
