"""Bring the roots of trees onto the chain: sign, store, send, look, and look again until it is final.

Every step may be done twice, by two at once, or be cut short: bytes are stored before they are sent, only stored bytes are
ever sent, and what became of them is read from the chain. A chain that does not answer leaves everything as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from app.core import anchors
from app.core.anchors import Anchor, Rules, Sent
from app.db import Database, Session
from app.errors import LightyardError
from app.failpoints import failpoint
from app.values import anchoring, clock
from app.values.anchoring import Fees, Landing, SignedAnchor
from app.values.states import AnchorState

log = structlog.get_logger()
TREES_AT_ONCE = 100


class AnchorChain(Protocol):
    """What these flows ask of a chain; ChainUnavailable means that nothing is known."""

    @property
    def sender(self) -> str: ...

    def chain_id(self) -> int: ...

    def head(self) -> int: ...

    def mined_nonce(self, depth: int = 0) -> int: ...

    def free_nonce(self) -> int: ...

    def fees(self) -> Fees: ...

    def raised(self, now: Fees, before: Fees) -> Fees | None: ...

    def sign(self, data: bytes, chain_id: int, nonce: int, fees: Fees) -> SignedAnchor: ...

    def send(self, raw: bytes) -> str: ...

    def is_known(self, tx_hash: str) -> bool: ...

    def landing(self, tx_hash: str) -> Landing | None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """A block counts as final when it is one of at least `confirmations`; a transaction that waits `replace_seconds` for its
    turn to be mined is replaced by one that offers more."""

    confirmations: int
    replace_seconds: int


@dataclass(frozen=True, slots=True)
class View:
    """The chain as this sweep found it. `settled_nonce` is the first nonce that was unused at the final depth."""

    chain_id: int
    head: int
    mined_nonce: int
    settled_nonce: int


def build(database: Database, rules: Rules) -> int:
    """Build the trees that it is time for; returns how many entries got into one."""
    entries = 0
    for _ in range(TREES_AT_ONCE):
        with database.unit_of_work() as session:
            size = anchors.build_next(session, rules)
        if size is None:
            break
        entries += size
    return entries


def advance(database: Database, chain: AnchorChain, patience: Patience) -> None:
    """Take every unfinished batch as far as the chain allows now. ChainUnavailable ends the sweep; nothing is lost by it."""
    view = _look_around(chain, patience)
    _reopen_forgotten(database, chain, view)
    with database.unit_of_work() as session:
        batches = anchors.unfinished(session, view.chain_id)
    for anchor in batches:
        Step(database, chain, patience, view, anchor).take()


def _look_around(chain: AnchorChain, patience: Patience) -> View:
    depth = patience.confirmations - 1
    return View(chain.chain_id(), chain.head(), chain.mined_nonce(), chain.mined_nonce(depth))


def _reopen_forgotten(database: Database, chain: AnchorChain, view: View) -> None:
    """A chain that takes a final transaction's nonce for unused, and does not have it, has lost it: it is sent again."""
    with database.unit_of_work() as session:
        suspects = anchors.forgotten(session, view.chain_id, chain.sender, view.mined_nonce)
    for number, tx_hash in suspects:
        if chain.landing(tx_hash) is None:
            with database.unit_of_work() as session:
                anchors.note_gone(session, number, tx_hash)
            log.error("anchor.forgotten", batch=number, tx_hash=tx_hash)


@dataclass(frozen=True, slots=True)
class Step:
    """One look at one batch."""

    database: Database
    chain: AnchorChain
    patience: Patience
    view: View
    anchor: Anchor

    def take(self) -> None:
        state = self.anchor.state
        if state in (AnchorState.SIGNED, AnchorState.SENT) and self._is_elsewhere():
            self._write(lambda session: anchors.start_over(session, self.anchor.number, self.anchor.nonce))
            log.warning("anchor.other_chain", batch=self.anchor.number, chain_id=self.anchor.chain_id)
        elif state == AnchorState.BUILT:
            self._sign()
        elif state == AnchorState.SIGNED:
            self._send(self.anchor.attempts[0])
        elif state == AnchorState.SENT:
            self._look()
        elif not self._is_elsewhere():
            self._confirm()

    def _is_elsewhere(self) -> bool:
        """Whether its transaction was made for another chain or another key than the settings name now."""
        return (self.anchor.chain_id, self.anchor.sender) != (self.view.chain_id, self.chain.sender)

    def _write(self, verb: Callable[[Session], object]) -> None:
        with self.database.unit_of_work() as session:
            verb(session)

    def _sign(self) -> None:
        number, chain_id = self.anchor.number, self.view.chain_id
        free = self.chain.free_nonce()
        with self.database.unit_of_work() as session:
            nonce = anchors.reserve_nonce(session, number, chain_id, self.chain.sender, free)
        if nonce is not None:
            self._store_and_send(nonce, self.chain.fees())

    def _store_and_send(self, nonce: int, fees: Fees) -> None:
        number, replaces = self.anchor.number, self.anchor.newest_ordinal
        data = anchoring.encode(self.anchor.tree_size, self.anchor.root)
        signed = self.chain.sign(data, self.view.chain_id, nonce, fees)
        failpoint("anchor.signing")
        with self.database.unit_of_work() as session:
            is_kept = anchors.note_signed(session, number, nonce, signed, replaces)
        if is_kept:
            failpoint("anchor.signed")
            log.info("anchor.signed", batch=number, tx_hash=signed.tx_hash, nonce=nonce)
            self._send(Sent(replaces + 1, signed.raw, signed.tx_hash, fees, clock.now()))

    def _send(self, attempt: Sent) -> None:
        answer = self.chain.send(attempt.raw)
        failpoint("anchor.sent")
        self._write(lambda session: anchors.note_sent(session, self.anchor.number, attempt.ordinal, answer))
        log.info("anchor.sent", batch=self.anchor.number, tx_hash=attempt.tx_hash, answer=answer)

    def _look(self) -> None:
        """Whichever attempt is in a block counts. None is: wait, send again, offer more, or start over."""
        if self._land():
            return
        newest, nonce = self.anchor.attempts[0], self.anchor.nonce
        if nonce is None or self.view.settled_nonce > nonce:
            self._write(lambda session: anchors.start_over(session, self.anchor.number, nonce))
            log.warning("anchor.nonce_spent", batch=self.anchor.number, nonce=nonce)
        elif self._is_stuck(newest, nonce):
            self._replace(newest, nonce)
        elif not self.chain.is_known(newest.tx_hash):
            self._send(newest)

    def _land(self) -> bool:
        for attempt in self.anchor.attempts:
            block = self.chain.landing(attempt.tx_hash)
            if block is not None:
                failpoint("anchor.landed")
                self._note_landed(attempt.tx_hash, block)
                return True
        return False

    def _note_landed(self, tx_hash: str, block: Landing) -> None:
        number = self.anchor.number
        with self.database.unit_of_work() as session:
            anchors.note_landed(session, number, tx_hash, block)
            if self._is_deep(block):
                anchors.note_final(session, number, tx_hash, block)
        log.info("anchor.landed", batch=number, tx_hash=tx_hash, block=block.block_number)

    def _is_deep(self, block: Landing) -> bool:
        return self.view.head - block.block_number + 1 >= self.patience.confirmations

    def _is_stuck(self, newest: Sent, nonce: int) -> bool:
        """It is this nonce's turn, and nobody has mined it for long."""
        due = newest.signed_at + timedelta(seconds=self.patience.replace_seconds)
        return self.view.mined_nonce == nonce and clock.now() >= due

    def _replace(self, newest: Sent, nonce: int) -> None:
        fees = self.chain.raised(self.chain.fees(), newest.fees)
        if fees is None:
            log.warning("anchor.too_dear", batch=self.anchor.number, tx_hash=newest.tx_hash)
            if not self.chain.is_known(newest.tx_hash):
                self._send(newest)
            return
        log.warning("anchor.replaced", batch=self.anchor.number, tx_hash=newest.tx_hash, nonce=nonce)
        self._store_and_send(nonce, fees)

    def _confirm(self) -> None:
        """Until it is final, the block must stay where it was."""
        number, tx_hash, known = self.anchor.number, self.anchor.tx_hash, self.anchor.block
        assert tx_hash is not None and known is not None
        block = self.chain.landing(tx_hash)
        if block is None:
            self._write(lambda session: anchors.note_gone(session, number, tx_hash))
            log.warning("anchor.reorganized", batch=number, tx_hash=tx_hash)
        elif block != known:
            self._note_landed(tx_hash, block)
        elif self._is_deep(block):
            self._write(lambda session: anchors.note_final(session, number, tx_hash, block))


def advance_if_possible(database: Database, chain: AnchorChain, patience: Patience) -> None:
    """`advance`; a chain that is away is said, and tried again by the next sweep."""
    try:
        advance(database, chain, patience)
    except LightyardError as error:
        if not error.retryable:
            raise
        log.warning("anchors.not_now", error=error.message)
