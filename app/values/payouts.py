"""What is paid out, on which chain and in which words: orders, signed transactions, and what a chain shows of them."""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from app.errors import ConfigError, InvalidInput
from app.values import money
from app.values.money import DECIMALS, Money
from app.values.states import SigningOutcome

SOLANA, TON = "solana", "ton"
CHAIN_OF = {"SOL": SOLANA, "USDC": SOLANA, "USDT": SOLANA, "RENDER": SOLANA, "TON": TON}
CHAINS = (SOLANA, TON)
BATCH = 4  # payouts in one transaction, at most: what a TON wallet v4 can send at once, and what fits a Solana transaction
OPENS_FROM = "PAYOUT_OPENS_ACCOUNT_FROM"
_HEX_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Order:
    """One payout as a signer gets it; `destination` in its chain's canonical form. Its id goes onto the chain as the memo."""

    payout_id: uuid.UUID
    asset: str
    amount_minor: int
    destination: str

    @property
    def memo(self) -> str:
        return str(self.payout_id)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.asset)


@dataclass(frozen=True, slots=True)
class Terms:
    """What bounds a transaction's life. Solana: a block hash seen at `slot`, good up to a block height. TON: the wallet's
    sequence number, good until a moment (unix seconds); `slot` and `blockhash` are the wallet's last transaction before it."""

    blockhash: str | None = None
    slot: int | None = None
    expires_at_height: int | None = None
    seqno: int | None = None
    valid_until: int | None = None


@dataclass(frozen=True, slots=True)
class SignedPayouts:
    """Bytes that move money. `tx_hash`: Solana's signature; TON's hash of the message's body, 64 hex digits."""

    orders: tuple[Order, ...]
    terms: Terms
    raw: bytes
    tx_hash: str


@dataclass(frozen=True, slots=True)
class Signing:
    """A stored transaction that nobody knows the end of. `raw` is empty where a chain showed it to us, not we to it."""

    id: uuid.UUID
    source: str
    signed: SignedPayouts


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a signing. `outcome` None: not decided; `is_known`: it is on its way, and need not be sent again.

    `paid` are the payouts that provably reached their destination. `landed_hash`: how the chain's explorers name it.
    """

    outcome: SigningOutcome | None = None
    is_known: bool = False
    paid: frozenset[uuid.UUID] = frozenset()
    error: str | None = None
    landed_hash: str | None = None
    block_number: int | None = None
    block_time: datetime | None = None


UNDECIDED = Fate()


@dataclass(frozen=True, slots=True)
class Part:
    """One payment of a transaction that left a hot wallet."""

    memo: str | None
    destination: str
    asset: str
    amount_minor: int

    def __str__(self) -> str:
        return f"{Money(self.amount_minor, self.asset)} {self.asset} to {self.destination} (memo {self.memo!r})"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A final transaction by which money left a hot wallet. `tx_hash` as in SignedPayouts; `stray` says what left beside its
    parts, None when nothing did."""

    tx_hash: str
    landed_hash: str
    block_number: int
    block_time: datetime | None
    parts: tuple[Part, ...]
    stray: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What left a wallet since a cursor, the oldest first, each with the cursor behind it; and the cursor behind all of it.

    `has_forked`: the chain does not lead to the cursor now, so this is the whole history, and what was seen before may be gone.
    """

    outgoing: tuple[tuple[str, Outgoing], ...]
    cursor: str | None
    has_forked: bool = False


class Refusal(StrEnum):
    """Why a signer does not sign."""

    PAYOUT_LIMIT = "payout_limit"
    DAY_LIMIT = "day_limit"
    NOT_YET = "not_yet"  # it was just started: what it may have signed before could still be on its way
    CHANGED = "changed"  # a payout that it signed before, with other values
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Refused:
    """A signer's no. `payout_id` where one payout is the reason, `asset` where one asset is."""

    reason: Refusal
    message: str
    payout_id: uuid.UUID | None = None
    asset: str | None = None


def chain_of(asset: str) -> str:
    """The chain on which an asset is paid out; InvalidInput for one that never leaves the ledger."""
    try:
        return CHAIN_OF[asset]
    except KeyError:
        raise InvalidInput(f"{asset} is not paid out; {', '.join(CHAIN_OF)} are", code="ASSET_NOT_PAYABLE") from None


def read_transaction_hash(text: object) -> str:
    """A TON transaction's hash as users write it, 64 hex digits or 44 characters of base64, as 64 hex digits."""
    if isinstance(text, str) and _HEX_HASH.fullmatch(text):
        return text.lower()
    try:
        raw = base64.b64decode(text.translate(str.maketrans("-_", "+/")), validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32 or len(str(text)) != 44:
        raise InvalidInput("a transaction hash is 64 hex digits, or 44 characters of base64", code="TRANSACTION_HASH_INVALID")
    return raw.hex()


def read_minimums(text: str, name: str = "MINIMUM_PAYOUT") -> dict[str, Money]:
    """Read a setting like `0.01`, or `0.01,SOL=0.002` with some assets' own. ConfigError says which item is wrong."""
    found = {"": Decimal(0)} | _read_amounts(name, text)
    return {asset: money.from_decimal(found.get(asset, found[""]), asset, money.UP) for asset in CHAIN_OF}


def read_limits(name: str, text: str) -> dict[str, Money]:
    """Read `SOL=10,USDC=1000`: the most of each asset; what is not named is not paid at all."""
    found = _read_amounts(name, text)
    return {asset: money.from_decimal(amount, asset, money.DOWN) for asset, amount in found.items() if asset in CHAIN_OF}


def read_mints(text: str) -> dict[str, str]:
    """Read SOLANA_MINTS: `USDC=<address>,…`."""
    found: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        asset, _, mint = item.partition("=")
        if CHAIN_OF.get(asset) != SOLANA or asset == "SOL" or not mint:
            raise ConfigError(f"SOLANA_MINTS: {item!r} must be ASSET=mint, the asset one of USDC, USDT, RENDER")
        found[asset] = mint
    return found


def _read_amounts(name: str, text: str) -> dict[str, Decimal]:
    amounts: dict[str, Decimal] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        asset, is_named, number = item.rpartition("=")
        try:
            amount = Decimal(number)
        except InvalidOperation:
            amount = Decimal("nan")
        if not amount.is_finite() or not 0 <= amount < 10**9 or (is_named and asset not in DECIMALS):
            raise ConfigError(f"{name}: {item!r} must be ASSET=amount, the asset one of {', '.join(CHAIN_OF)}")
        amounts[asset] = amount
    return amounts


def read_id(text: object) -> uuid.UUID | None:
    """A payout's id, as in a memo; None for anything else."""
    try:
        return uuid.UUID(text) if isinstance(text, str) and len(text) == 36 else None
    except ValueError:
        return None


def to_json(order: Order) -> dict[str, str | int]:
    return {
        "payout_id": str(order.payout_id),
        "asset": order.asset,
        "amount_minor": order.amount_minor,
        "destination": order.destination,
    }


def from_json(body: Mapping[str, object]) -> Order:
    """The order of a JSON object; InvalidInput when it is none."""
    try:
        amount, asset, destination = body["amount_minor"], body["asset"], body["destination"]
        payout_id = read_id(body["payout_id"])
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"no order: {error}") from None
    if payout_id is None:
        raise InvalidInput("an order's payout_id is a UUID")
    if type(amount) is not int or not 0 < amount <= money.MAX_MINOR or not isinstance(destination, str):
        raise InvalidInput("an order's amount is a whole number above 0, its destination a text")
    if not isinstance(asset, str) or asset not in CHAIN_OF:
        raise InvalidInput(f"an order's asset is one of {', '.join(CHAIN_OF)}")
    return Order(payout_id, asset, amount, destination)


def write_signed(signed: SignedPayouts) -> dict[str, Any]:
    """A signed transaction as JSON, in the journal and on the socket."""
    return {
        "tx_hash": signed.tx_hash,
        "raw": base64.b64encode(signed.raw).decode(),
        "terms": asdict(signed.terms),
        "orders": [to_json(order) for order in signed.orders],
    }


def read_signed(record: Mapping[str, Any]) -> SignedPayouts:
    """The other way; ValueError, KeyError, TypeError or InvalidInput for what is none."""
    orders = tuple(from_json(order) for order in record["orders"])
    return SignedPayouts(orders, Terms(**record["terms"]), base64.b64decode(record["raw"]), str(record["tx_hash"]))
