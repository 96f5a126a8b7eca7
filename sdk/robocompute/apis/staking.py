"""What a provider puts at stake for its work."""

from __future__ import annotations

from robocompute.apis import Answer, ProvidersNoun
from robocompute.calls import Amount, decimal_text, get, post


class Staking(ProvidersNoun[Answer]):
    def get_status(self) -> Answer:
        """{staked_amount, currency, minimum_required, …}"""
        return self._send(get(f"{self._prefix}/staking"))

    def stake(self, amount: Amount, currency: str = "USDC", *, idempotency_key: str | None = None) -> Answer:
        """Lock a part of the balance."""
        body = {"amount": decimal_text(amount), "currency": currency}
        return self._send(post(f"{self._prefix}/staking/stake", body, idempotency_key))

    def unstake(self, amount: Amount, currency: str = "USDC", *, idempotency_key: str | None = None) -> Answer:
        """Ask for a part of the stake; it is in the balance again after the delay that the answer names."""
        body = {"amount": decimal_text(amount), "currency": currency}
        return self._send(post(f"{self._prefix}/staking/unstake", body, idempotency_key))
