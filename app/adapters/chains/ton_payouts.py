"""The hub's door to TON for payouts. What decides about money, every configured server must say alike; else nothing is known."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.adapters.chains.ton import TonGateway
from app.errors import ChainUnavailable, ChainUnreadable
from app.values import clock
from app.values.chain import Head
from app.values.payouts import BATCH, TON, UNDECIDED, Fate, Order, Outgoing, Page, Part, Signing, Terms
from app.values.states import SigningOutcome
from app.values.ton_address import TonAddress, read
from app.values.ton_chain import ZERO_HASH, TonAccount, TonMessage, TonTransaction
from app.values.ton_wallet import payer_of

PAGE, MOST_PAGES = 100, 200
DESTINATION_PAGES = 20  # of a destination that is paid all the time, as exchanges are
FEE_NANO = 20_000_000  # for each message, forwarding included
MARGIN_SECONDS = 30  # a shard's block is a little older than the masterchain's block that takes it in
UNREADABLE_SECONDS = 600  # a payee's account that can't be read is waited for so long
Place = tuple[int, str]  # a transaction's lt and hash
RESERVE_NANO = 100_000_000  # what the wallet keeps for its rent and its first deployment


class _TooMany(Exception):
    """An account has had more transactions than are read."""


class TonPayouts:
    """One sequence number, one message: a message executes once, and not after `valid_until`.

    A message ended unexecuted when the wallet's state is of a block well after `valid_until` and its whole history since it was
    signed does not have it. `gateways`: one for each server. ChainUnavailable when one does not answer, lies behind, or can't be
    believed.
    """

    name = TON
    batch = BATCH

    def __init__(self, gateways: Sequence[TonGateway], lag_seconds: int, valid_seconds: int) -> None:
        self._gateways, self._lag_seconds, self._valid_seconds = gateways, lag_seconds, valid_seconds

    def _state(self, gateway: TonGateway, address: TonAddress) -> tuple[TonAccount, int]:
        """The account and its block's time, which must be of now."""
        account = gateway.account(address)
        if account.as_of is None:
            raise ChainUnreadable("TON did not say of which block an account is")
        late_seconds = clock.now().timestamp() - account.as_of.unix_time
        if late_seconds > self._lag_seconds:
            raise ChainUnavailable(f"a TON server lies {late_seconds:.0f} s behind")
        return account, account.as_of.unix_time

    def heads(self) -> list[Head | None]:
        """How far each server is; None for one that does not say."""
        return [_told_head(gateway) for gateway in self._gateways]

    def holdings(self, source: str) -> dict[str, int]:
        """What the wallet has, by the first server."""
        return {"TON": self._gateways[0].account(read(source)).balance_nano}

    def affordable(self, source: str, orders: Sequence[Order]) -> tuple[Order, ...]:
        """Of these orders, those that the wallet can pay now, fees counted."""
        has = self._state(self._gateways[0], read(source))[0].balance_nano - RESERVE_NANO
        found = []
        for order in orders:
            if has >= order.amount_minor + FEE_NANO:
                has -= order.amount_minor + FEE_NANO
                found.append(order)
        return tuple(found)

    def unopened(self, orders: Sequence[Order]) -> Mapping[uuid.UUID, str]:
        """None: TON reaches wallets that were never used."""
        return {}

    def terms(self, source: str) -> Terms:
        """The wallet's next sequence number, which all servers must name, and its last transaction."""
        address = read(source)
        states = [self._state(gateway, address) for gateway in self._gateways]
        numbers = {gateway.wallet_seqno(address) or 0 for gateway in self._gateways}
        if len(numbers) != 1:
            raise ChainUnavailable(f"TON's servers do not agree on the sequence number of {source}")
        oldest = min((state for state, _ in states), key=lambda state: state.last_lt)
        valid_until = min(moment for _, moment in states) + self._valid_seconds
        return Terms(blockhash=oldest.last_hash, slot=oldest.last_lt, seqno=numbers.pop(), valid_until=valid_until)

    def sender(self, raw: bytes) -> str:
        """The wallet that signed bytes leave from."""
        return payer_of(raw)

    def send(self, raw: bytes) -> str:
        """Hand the message to every server; what they answered, for the log only. ChainUnavailable when none took it: it may have
        been all the same."""
        answers, is_taken = [], False
        for gateway in self._gateways:
            try:
                gateway.send(raw)
                answers.append("taken")
                is_taken = True
            except ChainUnavailable as error:
                answers.append(error.message)
        if not is_taken:
            raise ChainUnavailable("; ".join(answers)[:500])
        return "; ".join(answers)

    def fate(self, signing: Signing) -> Fate:
        """Landed when every server shows it and where its messages went; expired when every server proves that it is too late."""
        looks = [self._look(gateway, signing) for gateway in self._gateways]
        if any(look != looks[0] for look in looks):
            return Fate(is_known=any(look.is_known for look in looks))
        return looks[0]

    def _look(self, gateway: TonGateway, signing: Signing) -> Fate:
        source, terms = read(signing.source), signing.signed.terms
        account, moment = self._state(gateway, source)
        history, _ = self._since(gateway, source, account, (terms.slot or 0, terms.blockhash or ZERO_HASH))
        for item in history:
            if _is_external(item) and item.in_message is not None and item.in_message.body_hash == signing.signed.tx_hash:
                return self._landed(gateway, item, signing.signed.orders)
        if terms.valid_until is None or moment <= terms.valid_until + MARGIN_SECONDS:
            return UNDECIDED
        return Fate(SigningOutcome.EXPIRED, error="its time was over before it was executed")

    def _since(
        self, gateway: TonGateway, address: TonAddress, account: TonAccount, place: Place
    ) -> tuple[list[TonTransaction], bool]:
        """The account's transactions after `place`, newest first, as of that state of it; and whether it is its whole history.

        It is whole where the links do not lead to `place`: then the chain has forked since, or `place` was never read.
        """
        found = self._back(gateway, address, account, place, MOST_PAGES)
        end = (found[-1].previous_lt, found[-1].previous_hash) if found else (account.last_lt, account.last_hash)
        return found, end != place

    def _back(
        self, gateway: TonGateway, address: TonAddress, account: TonAccount, place: Place, most_pages: int
    ) -> list[TonTransaction]:
        """Back along the links to `place`, or to the account's first transaction."""
        found: list[TonTransaction] = []
        at = (account.last_lt, account.last_hash)
        for _ in range(most_pages):
            if at == place or at[0] == 0:
                return found
            page = gateway.transactions(address, PAGE, *at, place[0] if at[0] > place[0] else None)
            if not page:
                raise ChainUnreadable(f"TON's history of {address} ends at {at[0]}")
            found += page
            at = (page[-1].previous_lt, page[-1].previous_hash)
        raise ChainUnreadable(f"{address} has more than {PAGE * most_pages} transactions that were not read")

    def _landed(self, gateway: TonGateway, item: TonTransaction, orders: Sequence[Order]) -> Fate:
        """Each order's message is counted and followed to its end: the sequence number alone says nothing of them."""
        paid, problems = set(), []
        sent = list(item.out_messages)
        for order in orders:
            message = next((message for message in sent if _pays(message, order)), None)
            if message is None:
                problems.append(f"{order.payout_id} was not sent")
                continue
            sent.remove(message)
            has_arrived = self._arrival(gateway, item, message)
            if has_arrived is None:
                return Fate(is_known=True)
            if has_arrived:
                paid.add(order.payout_id)
            else:
                problems.append(f"{order.payout_id} came back")
        outcome = SigningOutcome.LANDED if paid else SigningOutcome.FAILED
        error = f"{', '.join(problems)} (exit code {item.exit_code}, action {item.action_code})" if problems else None
        return Fate(outcome, True, frozenset(paid), error, item.hash, None, datetime.fromtimestamp(item.unix_time, UTC))

    def _arrival(self, gateway: TonGateway, item: TonTransaction, message: TonMessage) -> bool | None:
        """Whether a message's money stayed where it was sent; None while it has not arrived.

        Where too much has arrived since, or what did can't be read for long, it is not looked for: what can't bounce is credited
        whenever it arrives, and what a payee does with his account must keep nobody else's payout waiting.
        """
        destination = message.destination
        assert destination is not None
        try:
            account, _ = self._state(gateway, destination)
            history = self._after(gateway, destination, account, item.lt)
        except _TooMany:
            return True
        except ChainUnreadable:
            if clock.now().timestamp() - item.unix_time < UNREADABLE_SECONDS:
                raise
            return True
        for entry in history:
            if entry.in_message is not None and entry.in_message.message_hash == message.message_hash:
                return not entry.is_returned
        return None

    def _after(self, gateway: TonGateway, address: TonAddress, account: TonAccount, lt: int) -> list[TonTransaction]:
        """The account's transactions later than `lt`."""
        found: list[TonTransaction] = []
        at = (account.last_lt, account.last_hash)
        for _ in range(DESTINATION_PAGES):
            if at[0] <= lt:
                return found
            found += gateway.transactions(address, PAGE, *at, lt)
            if not found:
                raise ChainUnreadable(f"TON's history of {address} ends at {at[0]}")
            at = (found[-1].previous_lt, found[-1].previous_hash)
        raise _TooMany

    def outgoing(self, source: str, cursor: str | None) -> Page:
        """Transactions by which money left, since `cursor` (`lt:hash`), the oldest first, of the server that knows the newest.
        A history that does not go on from the cursor is read whole."""
        address = read(source)
        lt, _, hash = (cursor or f"0:{ZERO_HASH}").partition(":")
        reads = []
        for gateway in self._gateways:
            account, _ = self._state(gateway, address)
            reads.append((account.last_lt, *self._since(gateway, address, account, (int(lt), hash))))
        _, history, is_whole = max(reads, key=lambda found: found[0])
        found = [(f"{item.lt}:{item.hash}", _outgoing(item)) for item in reversed(history)]
        last = found[-1][0] if found else cursor
        return Page(tuple((place, item) for place, item in found if item is not None), last, is_whole and cursor is not None)


def _told_head(gateway: TonGateway) -> Head | None:
    try:
        moment = gateway.now()
    except ChainUnavailable:
        return None
    return Head(moment.masterchain_seqno, moment.unix_time)


def _is_external(item: TonTransaction) -> bool:
    return item.in_message is not None and item.in_message.source is None


def _pays(message: TonMessage, order: Order) -> bool:
    destination = None if message.destination is None else message.destination.raw
    return (destination, message.value_nano, message.comment) == (order.destination, order.amount_minor, order.memo)


def _outgoing(item: TonTransaction) -> Outgoing | None:
    if item.is_returned:
        return None  # what somebody sent went back to him: nothing of the wallet's own left
    parts = tuple(
        Part(message.comment, message.destination.raw, "TON", message.value_nano)
        for message in item.out_messages
        if message.destination is not None and message.value_nano
    )
    if not parts:
        return None
    ours = item.in_message.body_hash if _is_external(item) and item.in_message is not None else item.hash
    return Outgoing(ours, item.hash, item.lt, datetime.fromtimestamp(item.unix_time, UTC), parts)
