"""Bring payouts onto their chain: sign, store, send, look, and look again until it is decided, one transaction at a time.

Every step may be done twice, by two at once, or be cut short: bytes are stored before they are sent, only stored bytes are ever
sent, and what became of them is read from the chain. A chain or a signer that does not answer leaves everything as it is. Before
anything new is signed, the wallet's own history is read: what it shows and the books do not know is taken on, or halts it.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from app.core import payout_delays, payout_signings, payouts
from app.core import payout_reconciliation as reconciliation
from app.core.payout_signings import Batch
from app.core.payouts import PayoutRules
from app.db import Database
from app.errors import LightyardError, PaymentRequired
from app.errors import Refused as NotGranted
from app.failpoints import failpoint
from app.values import clock
from app.values.chain import Head
from app.values.payouts import CHAIN_OF, Fate, Order, Page, Refusal, Refused, SignedPayouts, Signing, Terms
from app.values.states import SigningOutcome

log = structlog.get_logger()
MOST_REPLACED = 20  # forgotten transactions of the signer that one sweep proves dead
READ_AGAIN_SECONDS = 60  # a wallet that has nothing to pay is looked at so often
LOOKED_AT_ONCE = 100  # payees whose token accounts one call asks for
MOST_LOOKS = 10  # such calls of one sweep for payouts that wait for them already
MOST_ROUNDS = 8  # transactions that one sweep begins with a wallet: a chain that decides at once is served at once


class PayoutChain(Protocol):
    """What these flows ask of a chain; ChainUnavailable means that nothing is known."""

    @property
    def name(self) -> str: ...

    @property
    def batch(self) -> int: ...

    def affordable(self, source: str, orders: Sequence[Order]) -> tuple[Order, ...]: ...

    def unopened(self, orders: Sequence[Order]) -> Mapping[uuid.UUID, str]: ...

    def terms(self, source: str) -> Terms: ...

    def sender(self, raw: bytes) -> str: ...

    def send(self, raw: bytes) -> str: ...

    def fate(self, signing: Signing) -> Fate: ...

    def outgoing(self, source: str, cursor: str | None) -> Page: ...

    def heads(self) -> list[Head | None]: ...

    def holdings(self, source: str) -> dict[str, int]: ...


class Signer(Protocol):
    """Whoever holds the keys. It answers the same bytes for the same payout until they are named as replaced."""

    def addresses(self) -> dict[str, str]: ...

    def sign(self, chain: str, orders: Sequence[Order], terms: Terms, replaces: Sequence[str]) -> SignedPayouts | Refused: ...


def open_due(database: Database, rules: PayoutRules) -> int:
    """Put every balance that is due on its way; returns how many payouts that made."""
    made = 0
    for asset in CHAIN_OF:
        with database.unit_of_work() as session:
            accounts = payouts.due(session, asset, rules.minimums[asset], rules.opens_from.get(asset))
        for account_id in accounts:
            made += _open(database, rules, asset, account_id)
    return made


def _open(database: Database, rules: PayoutRules, asset: str, account_id: object) -> int:
    try:
        with database.unit_of_work() as session:
            payout = payouts.open_due(session, account_id, asset, rules)  # type: ignore[arg-type]
            failpoint("payout.opening")
            return int(payout is not None)
    except (NotGranted, PaymentRequired) as error:
        log.info("payout.not_due", account=str(account_id), asset=asset, reason=error.message)
        return 0


def advance(database: Database, chain: PayoutChain, signer: Signer) -> None:
    """Take a chain's payouts as far as it allows now. ChainUnavailable or a signer that is away ends it, and loses nothing."""
    address = signer.addresses().get(chain.name)
    if address is None:
        return
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, chain.name, address)
        others = payout_signings.undecided(session, chain.name)
        if not others and not payout_signings.has_work(session, chain.name, address, READ_AGAIN_SECONDS):
            return
    Payer(database, chain, signer, address).pay()


def advance_if_possible(database: Database, chain: PayoutChain, signer: Signer) -> bool:
    """`advance`; who is away is said, and asked again by the next sweep. Whether it got through."""
    try:
        advance(database, chain, signer)
        return True
    except LightyardError as error:
        if not error.retryable:
            raise
        log.warning("payouts.not_now", chain=chain.name, error=error.message)
        return False


@dataclass(frozen=True, slots=True)
class Payer:
    """One wallet's payouts, one step after the other."""

    database: Database
    chain: PayoutChain
    signer: Signer
    address: str

    def pay(self) -> None:
        for turn in range(MOST_ROUNDS):
            with self.database.unit_of_work() as session:
                waiting = payout_signings.undecided(session, self.chain.name)
            if not all([self._follow(signing, may_send=turn == 0) for signing in waiting]):
                return
            if not self._reconcile():
                continue  # something was found and is undecided now
            if turn == 0:
                self._look_again()
            if not self._begin():
                return

    def _follow(self, signing: Signing, may_send: bool) -> bool:
        """Look what became of a stored transaction, and send it again while nobody knows, once a sweep. Whether it is decided."""
        fate = self.chain.fate(signing)
        if fate.outcome is None:
            if may_send and not fate.is_known and signing.signed.raw:
                self._send(signing)
            return False
        failpoint("payout.expired" if fate.outcome == SigningOutcome.EXPIRED else "payout.landed")
        with self.database.unit_of_work() as session:
            is_booked = payout_signings.decide(session, signing.id, fate)
            failpoint("payout.booking")
        if is_booked:
            tx_hash = signing.signed.tx_hash
            log.info("payout.decided", chain=self.chain.name, tx_hash=tx_hash, outcome=fate.outcome, error=fate.error)
        return True

    def _send(self, signing: Signing) -> None:
        answer = self.chain.send(signing.signed.raw)
        failpoint("payout.sent")
        with self.database.unit_of_work() as session:
            payout_signings.note_sent(session, signing.id, answer)
        log.info("payout.sent", chain=self.chain.name, tx_hash=signing.signed.tx_hash, answer=answer[:200])

    def _reconcile(self) -> bool:
        """Read the wallet's history on. False when a transaction was found that is undecided now: it is followed first."""
        name = self.chain.name
        with self.database.unit_of_work() as session:
            cursor = reconciliation.cursor(session, name, self.address)
        begun_at = clock.now()
        page = self.chain.outgoing(self.address, cursor)
        if page.has_forked:
            log.warning("payout.forked", chain=name, wallet=self.address, cursor=cursor)
            with self.database.unit_of_work() as session:
                reconciliation.forget_seen(session, name, self.address)
        for place, found in page.outgoing:
            failpoint("payout.adopting")
            with self.database.unit_of_work() as session:
                finding = reconciliation.match(session, name, self.address, found)
                if finding.is_busy:
                    return False
                reconciliation.move(session, name, self.address, place)
            if finding.difference:
                log.error("payout.difference", chain=name, tx_hash=found.landed_hash, detail=finding.difference)
            if finding.adopted is not None:
                log.warning("payout.adopted", chain=name, tx_hash=found.landed_hash, signing=str(finding.adopted))
                return False
        with self.database.unit_of_work() as session:
            reconciliation.move(session, name, self.address, page.cursor)
            missing = reconciliation.note_unseen(session, name, self.address, begun_at)
        if missing:
            log.error("payout.missing", chain=name, count=missing)
        return True

    def _look_again(self) -> None:
        """Payouts that wait for their payee's token account go on where it is there by now."""
        for _ in range(MOST_LOOKS):
            with self.database.unit_of_work() as session:
                orders = payout_delays.due(session, self.chain.name, LOOKED_AT_ONCE)
            if not orders:
                return
            unopened = self.chain.unopened(orders)
            with self.database.unit_of_work() as session:
                payout_delays.delay(session, unopened)
                payout_delays.resume(session, {order.payout_id for order in orders} - unopened.keys())

    def _begin(self) -> bool:
        """Sign the next batch and send it. Whether there was one."""
        short = set[str]()
        signed = None
        while signed is None:
            batch, known = self._pick(short), len(short)
            signed = None if batch is None else self._sign(batch, short)
            if signed is None and len(short) == known:
                return False
        failpoint("payout.signed")
        source = self.chain.sender(signed.raw)  # another wallet of ours, where the signer remembers what its old key has signed
        with self.database.unit_of_work() as session:
            payout_signings.ensure_wallet(session, self.chain.name, source)
            signing = payout_signings.note_signed(session, self.chain.name, source, signed)
        if signing is None:
            log.warning("payout.not_stored", chain=self.chain.name, tx_hash=signed.tx_hash)
            return False
        failpoint("payout.stored")
        log.info("payout.signed", chain=self.chain.name, tx_hash=signed.tx_hash, payouts=len(signed.orders))
        self._send(signing)
        return True

    def _pick(self, short: set[str]) -> Batch | None:
        """The next payouts that the wallet can pay: an asset that is `short` keeps no other waiting, nor does a payee without a
        token account: of many payouts at once those are found that have to wait."""
        while True:
            with self.database.unit_of_work() as session:
                batch = payout_signings.next_batch(session, self.chain.name, self.address, self.chain.batch, short)
                ahead = payout_signings.ahead(session, self.chain.name, LOOKED_AT_ONCE, short)
            if batch is None:
                return None
            if self._delay(ahead):
                continue
            orders = self.chain.affordable(self.address, batch.orders)
            if orders:
                return Batch(orders, batch.replaces)
            short |= {order.asset for order in batch.orders}
            log.error("payout.wallet_short", chain=self.chain.name, wallet=self.address, assets=sorted(short))

    def _delay(self, orders: Sequence[Order]) -> bool:
        """Leave out what waits for its payee's token account. Whether there was any."""
        unopened = self.chain.unopened(orders)
        if unopened:
            log.info("payout.delayed", chain=self.chain.name, count=len(unopened), reason=next(iter(unopened.values())))
            with self.database.unit_of_work() as session:
                payout_delays.delay(session, unopened)
        return bool(unopened)

    def _sign(self, batch: Batch, short: set[str]) -> SignedPayouts | None:
        """What the signer signs for this batch, or has signed for one of its payouts before. What it has signed with payouts that
        may not be signed any more is waited out: it was never sent by these books, and is replaced once it has provably ended."""
        replaces = list(batch.replaces)
        for _ in range(MOST_REPLACED):
            terms = self.chain.terms(self.address)
            answer = self.signer.sign(self.chain.name, batch.orders, terms, replaces)
            if isinstance(answer, Refused):
                self._note_refusal(batch, answer)
                if answer.reason == Refusal.DAY_LIMIT and answer.asset is not None:
                    short.add(answer.asset)
                return None
            if set(answer.orders) <= set(batch.orders) or self._may_store(answer):
                return answer
            fate = self.chain.fate(Signing(batch.orders[0].payout_id, self.chain.sender(answer.raw), answer))
            if fate.outcome != SigningOutcome.EXPIRED:
                log.warning("payout.signed_elsewhere", chain=self.chain.name, tx_hash=answer.tx_hash)
                return None
            replaces.append(answer.tx_hash)
        return None

    def _may_store(self, signed: SignedPayouts) -> bool:
        with self.database.unit_of_work() as session:
            return payout_signings.may_be_signed(session, signed.orders)

    def _note_refusal(self, batch: Batch, refused: Refused) -> None:
        """A payout that the signer never signs is held, so that the others go on; what is only a matter of time waits."""
        log.warning("payout.refused", chain=self.chain.name, reason=refused.reason, message=refused.message)
        if refused.reason in (Refusal.DAY_LIMIT, Refusal.NOT_YET):
            return
        held = refused.payout_id or (batch.orders[0].payout_id if len(batch.orders) == 1 else None)
        if held is not None:
            with self.database.unit_of_work() as session:
                payouts.hold(session, held, f"the signer refuses: {refused.message}")
