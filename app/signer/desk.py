"""What the signer agrees to: payouts within its own limits, each payout's bytes once; fees of strangers' transfers, within limits
of their own and out of a wallet of their own; and nothing else."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nacl.signing import SigningKey
from solders.keypair import Keypair

from app.errors import InvalidInput
from app.failpoints import failpoint
from app.signer.journal import Journal
from app.signer.keys import FEES, Keys
from app.values import payouts, signatures, solana_payouts, ton_address, ton_wallet, x402
from app.values.money import Money
from app.values.payouts import BATCH, CHAIN_OF, SOLANA, TON, Order, Refusal, Refused, SignedPayouts, Terms

LONGEST_VALID_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of one payout and of 24 hours, by asset; an asset that is not named is not paid. `quiet_seconds` after its start a
    signer signs nothing new: what it may have signed before its memory was lost has ended by then. Below `opens_from` no payee's
    token account is opened. `fee_lamports` and `day_fee_lamports`: the most that is paid as the fee of a stranger's transaction,
    and of all of them in 24 hours."""

    payout: Mapping[str, Money]
    day: Mapping[str, Money]
    quiet_seconds: int
    mints: Mapping[str, str]
    opens_from: Mapping[str, Money] = field(default_factory=dict)
    fee_lamports: int = 0
    day_fee_lamports: int = 0


class Desk:
    """One request after another; `sign` answers what was signed before where it was not replaced."""

    def __init__(self, keys: Keys, journal: Journal, limits: Limits, now: Callable[[], float] = time.time) -> None:
        self._keys, self._journal, self._limits, self._now = keys, journal, limits, now
        self._started_at = now()

    def addresses(self) -> dict[str, str]:
        """The hot wallets, by chain."""
        found = {}
        if SOLANA in self._keys.seeds:
            found[SOLANA] = str(Keypair.from_seed(self._keys.seeds[SOLANA]).pubkey())
        if TON in self._keys.seeds:
            found[TON] = ton_wallet.address(bytes(SigningKey(self._keys.seeds[TON]).verify_key)).raw
        return found

    def fee_payer(self) -> str | None:
        """The wallet that pays fees of strangers' transactions; None without its key."""
        seed = self._keys.seeds.get(FEES)
        return None if seed is None else str(Keypair.from_seed(seed).pubkey())

    def cosign(self, raw: bytes) -> bytes | Refused:
        """Sign as the payer of its fee a transaction that moves a stranger's tokens: all that can leave the wallet by it is the
        fee. The same one again is the same bytes, and counts once."""
        try:
            asked = x402.read_transfer(raw)
        except InvalidInput as error:
            return Refused(Refusal.INVALID, error.message)
        if asked.fee_payer != self.fee_payer():
            return Refused(Refusal.INVALID, f"{asked.fee_payer} is not the wallet that pays fees here")
        if not self._journal.has_fee(asked.message_hash):
            refusal = self._refuse_fee(asked.fee_lamports)
            if refusal is not None:
                return refusal
            fee = {"message_hash": asked.message_hash, "lamports": asked.fee_lamports}
            self._journal.append({"at": self._now(), "chain": SOLANA, "orders": [], "fee": fee})
        return x402.signed(raw, Keypair.from_seed(self._keys.seeds[FEES]).sign_message)

    def _refuse_fee(self, lamports: int) -> Refused | None:
        most, day = self._limits.fee_lamports, self._limits.day_fee_lamports
        if lamports > most:
            return Refused(Refusal.PAYOUT_LIMIT, f"the fee may be {lamports} lamports, and {most} are paid at most")
        if self._journal.spent(FEES, self._now()) + lamports > day:
            return Refused(Refusal.DAY_LIMIT, f"the limit of {day} lamports for fees in 24 hours is reached")
        return None

    def sign(self, chain: str, orders: Sequence[Order], terms: Terms, replaces: Sequence[str]) -> SignedPayouts | Refused:
        """Sign a batch once. An earlier transaction with one of its payouts that is not in `replaces` is answered instead."""
        refusal = self._check_form(chain, orders, terms)
        if refusal is not None:
            return refusal
        for order in orders:
            record = self._journal.newest(str(order.payout_id))
            if record is None:
                continue
            earlier = payouts.read_signed(record)
            if order not in earlier.orders:
                return Refused(Refusal.CHANGED, f"payout {order.payout_id} was signed with other values", order.payout_id)
            if earlier.tx_hash not in replaces:
                return earlier
        return self._refuse(orders) or self._sign(chain, orders, terms)

    def _check_form(self, chain: str, orders: Sequence[Order], terms: Terms) -> Refused | None:
        if chain not in self._keys.seeds:
            return Refused(Refusal.INVALID, f"no key for {chain}")
        if not 0 < len(orders) <= BATCH or len({order.payout_id for order in orders}) != len(orders):
            return Refused(Refusal.INVALID, f"a batch is 1 to {BATCH} different payouts")
        for order in orders:
            if CHAIN_OF[order.asset] != chain:
                return Refused(Refusal.INVALID, f"{order.asset} is not paid on {chain}", order.payout_id)
            if chain == SOLANA and order.asset != "SOL" and order.asset not in self._limits.mints:
                return Refused(Refusal.INVALID, f"no mint is known for {order.asset}: set SOLANA_MINTS", order.payout_id)
            if not _is_canonical(chain, order.destination) or order.destination == self.addresses()[chain]:
                return Refused(Refusal.INVALID, f"{order.destination!r} is no wallet of a user's", order.payout_id)
        if chain == TON and not self._now() < (terms.valid_until or 0) <= self._now() + LONGEST_VALID_SECONDS:
            said = f"valid_until must lie within the next {LONGEST_VALID_SECONDS} s: do the clocks differ?"
            return Refused(Refusal.NOT_YET, said)
        return None

    def _refuse(self, orders: Sequence[Order]) -> Refused | None:
        now = self._now()
        wait = self._started_at + self._limits.quiet_seconds - now
        if wait > 0:
            return Refused(Refusal.NOT_YET, f"started a moment ago: nothing new is signed for another {wait:.0f} s")
        wanted: dict[str, int] = {}
        for order in orders:
            most = self._limits.payout.get(order.asset)
            if most is None or order.amount > most:
                said = "none is signed" if most is None else f"the limit of one payout is {most}"
                return Refused(Refusal.PAYOUT_LIMIT, f"{order.amount} {order.asset}: {said}", order.payout_id)
            wanted[order.asset] = wanted.get(order.asset, 0) + order.amount_minor
        for asset, minor in wanted.items():
            most = self._limits.day.get(asset, Money(0, asset))
            if self._journal.spent(asset, now) + minor > most.minor:
                return Refused(Refusal.DAY_LIMIT, f"the limit of {most} {asset} in 24 hours is reached", asset=asset)
        return None

    def _sign(self, chain: str, orders: Sequence[Order], terms: Terms) -> SignedPayouts | Refused:
        seed = self._keys.seeds[chain]
        try:
            if chain == SOLANA:
                signed = solana_payouts.sign(Keypair.from_seed(seed), orders, terms, self._limits.mints, self._limits.opens_from)
            else:
                signed = ton_wallet.sign(seed, orders, terms)
        except ValueError as error:
            return Refused(Refusal.INVALID, f"no transaction: {error}")
        self._journal.append({"at": self._now(), "chain": chain, **payouts.write_signed(signed)})
        failpoint("signer.noted")
        return signed


def _is_canonical(chain: str, address: str) -> bool:
    """Whether this is an address just as it is kept: what can be written in two ways could be paid twice."""
    if chain == SOLANA:
        return signatures.is_solana_address(address)
    try:
        return ton_address.read(address).raw == address
    except InvalidInput:
        return False
