"""What a transaction on a watched TON account brought in. Pure, so that every trick is a row in a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.values.ton_address import TonAddress
from app.values.ton_chain import TonMessage, TonTransaction

NOTIFICATION, INTERNAL_TRANSFER, EXCESSES = 0x7362D09C, 0x178D4519, 0xD53276DB
RETURNED, BOUNCED, ABORTED, UNKNOWN_JETTON = "returned", "bounced", "aborted", "unknown_jetton"


@dataclass(frozen=True, slots=True)
class Jetton:
    """A jetton that counts as money."""

    master: TonAddress
    asset: str


@dataclass(frozen=True, slots=True)
class WatchedAccount:
    """`address` is read for what comes to `owner`: the same, or a jetton wallet of the owner's.

    `jettons` are the owner's own jetton wallets, as the allow-listed masters name them.
    """

    address: TonAddress
    owner: TonAddress
    jettons: Mapping[TonAddress, Jetton] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TonArrival:
    """What came in, from whom, and with which words.

    `asset` is None for a jetton that nobody vouches for; `token` is the jetton's master, or the unknown wallet that speaks of it.
    `problem`: returned (nothing was kept), bounced (our own money came back), aborted (kept, though the contract failed),
    unknown_jetton; None for money that came as it should.
    """

    lt: int
    hash: str
    occurred_at: datetime
    asset: str | None
    token: TonAddress | None
    amount_minor: int
    comment: str | None
    payer: TonAddress | None
    problem: str | None = None


def arrival(transaction: TonTransaction, watched: WatchedAccount) -> TonArrival | None:
    """What the transaction brought; None for one that brought nothing to book: a message from outside, or change from our gas."""
    message = transaction.in_message
    if message is None or message.value_nano == 0 or message.source == watched.owner:
        return None
    if watched.address != watched.owner:
        return _silent_jettons(transaction, message, watched)
    if message.op == NOTIFICATION and not message.is_bounced:
        return _told_jettons(transaction, message, watched)
    if message.op == EXCESSES and not message.is_bounced:
        return None
    problem = BOUNCED if message.is_bounced else _problem(transaction)
    return _made(transaction, "TON", None, message.value_nano, message.comment, message.source, problem)


def _told_jettons(transaction: TonTransaction, message: TonMessage, watched: WatchedAccount) -> TonArrival:
    """A notification counts from the owner's own jetton wallet alone: anybody can send one."""
    known, notice = watched.jettons.get(message.source) if message.source else None, message.jetton
    amount = notice.amount_minor if notice else 0
    sender = notice.sender if notice else None
    if known is None or notice is None:
        return _made(transaction, None, message.source, amount, None, sender, UNKNOWN_JETTON)
    # The jettons are in our wallet before it tells: a notification that failed here took nothing away from them.
    problem = ABORTED if _problem(transaction) else None
    return _made(transaction, known.asset, known.master, amount, notice.comment, sender, problem)


def _silent_jettons(transaction: TonTransaction, message: TonMessage, watched: WatchedAccount) -> TonArrival | None:
    """Jettons whose sender paid for no notification; one that is on its way books them at the owner's."""
    notice, known = message.jetton, watched.jettons.get(watched.address)
    if message.op != INTERNAL_TRANSFER or notice is None or known is None or transaction.is_aborted:
        return None
    if any(sent.op == NOTIFICATION and sent.destination == watched.owner for sent in transaction.out_messages):
        return None
    return _made(transaction, known.asset, known.master, notice.amount_minor, notice.comment, notice.sender, None)


def _problem(transaction: TonTransaction) -> str | None:
    """An account without code yet aborts whatever it is given, and keeps what did not ask to bounce."""
    if transaction.is_returned:
        return RETURNED
    return ABORTED if transaction.is_aborted and not transaction.is_undeployed else None


def _made(
    transaction: TonTransaction,
    asset: str | None,
    token: TonAddress | None,
    amount: int,
    comment: str | None,
    payer: TonAddress | None,
    problem: str | None,
) -> TonArrival:
    moment = datetime.fromtimestamp(transaction.unix_time, UTC)
    words = comment.strip() if comment else None
    return TonArrival(transaction.lt, transaction.hash, moment, asset, token, amount, words, payer, problem)
