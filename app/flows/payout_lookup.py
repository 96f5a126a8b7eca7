"""Look for the transactions of payouts that somebody else made and wrote down here. Nothing is ever signed for them."""

from typing import Protocol

import structlog

from app.core import payout_records
from app.core.payout_records import Wanted
from app.db import Database
from app.errors import ChainUnreadable, LightyardError
from app.values import clock
from app.values.ton_address import TonAddress, read
from app.values.ton_chain import TonAccount, TonTransaction

log = structlog.get_logger()
PAGE, MOST_PAGES = 100, 20
EARLIER_SECONDS = 86_400  # a record's time may be off by a day


class History(Protocol):
    """What this flow asks of TON; ChainUnavailable means that nothing is known."""

    def account(self, address: TonAddress) -> TonAccount: ...

    def transactions(
        self, address: TonAddress, limit: int, lt: int | None = None, hash: str | None = None, to_lt: int | None = None
    ) -> list[TonTransaction]: ...


def look_up_if_possible(database: Database, ton: History) -> None:
    """Look for every record whose turn it is. What a server can't tell now is asked again, the others first."""
    with database.unit_of_work() as session:
        waiting = payout_records.waiting(session)
    for wanted in waiting:
        try:
            look_up(database, ton, wanted)
        except LightyardError as error:
            if not error.retryable:
                raise
            log.warning("payouts.record_not_now", payout_id=str(wanted.payout_id), error=error.message)
            if isinstance(error, ChainUnreadable):  # this one's: a server that is away says nothing of it
                with database.unit_of_work() as session:
                    payout_records.note_not_found(session, wanted.payout_id)


def look_up(database: Database, ton: History, wanted: Wanted) -> bool:
    """Whether the chain shows the transaction now, on the payee's side or the payer's. It counts only if it paid just that."""
    found = _find(ton, read(wanted.destination), wanted)
    if found is None and wanted.source is not None:
        found = _find(ton, read(wanted.source), wanted)
    with database.unit_of_work() as session:
        if found is None:
            payout_records.note_not_found(session, wanted.payout_id)
            return False
        is_paid = pays(found, wanted)
        moment = clock.from_timestamp(found.unix_time)
        return payout_records.note_found(session, wanted.payout_id, is_paid, moment, _told(found))


def _find(ton: History, address: TonAddress, wanted: Wanted) -> TonTransaction | None:
    account = ton.account(address)
    lt, hash = account.last_lt, account.last_hash
    earliest = wanted.transaction_time.timestamp() - EARLIER_SECONDS
    for _ in range(MOST_PAGES):
        page = ton.transactions(address, PAGE, lt, hash) if lt else []
        for item in page:
            if item.hash == wanted.tx_hash:
                return item
        if not page or page[-1].unix_time < earliest:
            return None
        lt, hash = page[-1].previous_lt, page[-1].previous_hash
    return None


def pays(found: TonTransaction, wanted: Wanted) -> bool:
    """Whether a transaction paid the recorded amount to the recorded wallet: by what it received, or by what it sent."""
    if found.account.raw == wanted.destination:
        message = found.in_message
        is_from = wanted.source is None or (message is not None and message.source == read(wanted.source))
        return message is not None and is_from and not found.is_returned and message.value_nano == wanted.amount_nano
    return any(
        message.destination is not None
        and message.destination.raw == wanted.destination
        and message.value_nano == wanted.amount_nano
        for message in found.out_messages
    )


def _told(found: TonTransaction) -> str:
    came = f"{found.in_message.value_nano} nanotons in" if found.in_message is not None else "nothing in"
    return f"{found.account} shows {found.hash} with {came}, {sum(message.value_nano for message in found.out_messages)} out"
