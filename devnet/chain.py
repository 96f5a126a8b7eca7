"""One local Solana: a real SVM (solders.litesvm) with the slots, commitments and history that it does not keep itself."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_ID
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import SimulatedTransactionInfo

from devnet.accounts import Accounts
from devnet.errors import RpcError, describe
from devnet.genesis import Genesis
from devnet.history import History, Landed, Outcome, TokenBalance, is_writable, read_outcome
from devnet.journal import Journal, JournalBroken
from devnet.slots import BLOCKHASH_BLOCKS, Slots
from devnet.tokens import read_holding, read_mint

SLOTS_PER_EPOCH = 432_000
FEE_PER_SIGNATURE = 5_000
RAW_BYTES_LIMIT = 1_232  # one UDP packet
REPLAY_STEP = 1_000
SLOT_HASHES = 150
States = dict[Pubkey, Account | None]


class Chain:
    """Thread-safe. With a `home` the chain outlives its process: what landed is replayed from the journal there."""

    def __init__(
        self, genesis: Genesis, slot_ms: int, home: Path | None = None, blockhash_blocks: int = BLOCKHASH_BLOCKS
    ) -> None:
        # Signatures and block hashes are checked here: the SVM's own checks know one hash only, and cannot be put off
        self.svm = LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
        self.lock = threading.RLock()
        self.genesis, self.slots = genesis, Slots(bytes(genesis.hash), slot_ms, blockhash_blocks)
        self.accounts, self.history = Accounts(self.svm, self.slots), History()
        self.listeners: list[Callable[[], None]] = []
        self.dropping, self._hashed_slot = 0, -1
        genesis.apply(self.svm)
        self._journal = None if home is None else self._open(Journal(home / "chain.jsonl"))

    def advance(self, slots: int) -> int:
        with self.lock:
            slot = self.slots.advance(slots)
            self._note({"advance": slots, "slot": slot})
        self._tell()
        return slot

    def send(self, raw: bytes, skip_preflight: bool) -> str:
        """Take a transaction in; its signature, whether it lands or not. The same bytes again change nothing.

        Raises RpcError for what the preflight refuses. Without preflight a bad one is dropped, as a leader would.
        """
        transaction = decode(raw)
        signature = str(transaction.signatures[0])
        with self.lock:
            if self.history.get(signature) is not None:
                return signature
            if not skip_preflight:
                self._preflight(transaction)
            elif not all(transaction.verify_with_results()) or not self.is_current(transaction):
                return signature
            if self.dropping:
                self.dropping -= 1
                return signature
            landed = self._execute(raw, transaction, self.slots.now, int(time.time()))
            if landed is not None:
                self._note({"send": raw.hex(), "slot": landed.slot, "at": landed.block_time, "error": landed.error})
        self._tell()
        return signature

    def is_current(self, transaction: VersionedTransaction) -> bool:
        """Whether the block hash is recent, or the value of a durable nonce (the nonce's own program checks the rest)."""
        message = transaction.message
        if self.slots.is_recent(bytes(message.recent_blockhash)):
            return True
        if not transaction.uses_durable_nonce():
            return False
        nonce = self.accounts.now(message.account_keys[message.instructions[0].accounts[0]])
        return nonce is not None and nonce.owner == SYSTEM_ID and nonce.data[40:72] == bytes(message.recent_blockhash)

    def simulate(self, transaction: VersionedTransaction) -> tuple[Outcome, dict[Pubkey, Account]]:
        """What would happen now, and the accounts as they would be; signatures and block hash are not looked at."""
        with self.lock:
            keys = self._keys(transaction)
            if keys is None:
                return Outcome("AddressLookupTableNotFound", [], ran=False), {}
            self._set_clock(self.slots.now, int(time.time()))
            result = self.svm.simulate_transaction(transaction)
            outcome = read_outcome(result)
            after = dict(result.post_accounts()) if isinstance(result, SimulatedTransactionInfo) else {}
            if outcome.error is None:
                before = {key: self.accounts.now(key) for key in self._writable(transaction, *keys)}
                outcome.error = self._rent_error(keys[0], before, after.get)
            return outcome, after

    def _preflight(self, transaction: VersionedTransaction) -> None:
        if not all(transaction.verify_with_results()):
            raise RpcError(-32003, "Transaction signature verification failure")
        if self.is_current(transaction):
            outcome, _ = self.simulate(transaction)
        else:
            outcome = Outcome("BlockhashNotFound", [], ran=False)
        if outcome.error is not None:
            data = {
                "err": outcome.error,
                "logs": outcome.logs,
                "accounts": None,
                "unitsConsumed": outcome.units,
                "returnData": None,
                "innerInstructions": None,
            }
            raise RpcError(-32002, f"Transaction simulation failed: {describe(outcome.error)}", data)

    def _execute(self, raw: bytes, transaction: VersionedTransaction, slot: int, block_time: int) -> Landed | None:
        """Run a transaction and remember it; None when the SVM would not even begin: then it is not on the chain."""
        found = self._keys(transaction)
        if found is None:
            return None
        keys, writable, readonly = found
        self._set_clock(slot, block_time)
        before = {key: self.accounts.now(key) for key in self._writable(transaction, *found)}
        pre, pre_tokens = self._lamports(keys), self._tokens(keys)
        outcome = read_outcome(self.svm.send_transaction(transaction))
        if not outcome.ran:
            return None
        if outcome.error is None:
            outcome.error = self._rent_error(keys, before, self.accounts.now)
            if outcome.error is not None:
                self._undo(transaction, before)
        self.svm.expire_blockhash()  # so that each transaction can move a durable nonce on
        landed = Landed(
            raw=raw,
            transaction=transaction,
            slot=slot,
            block_time=block_time,
            outcome=outcome,
            keys=keys,
            writable=writable,
            readonly=readonly,
            pre=pre,
            post=self._lamports(keys),
            pre_tokens=pre_tokens,
            post_tokens=self._tokens(keys),
        )
        self.accounts.note(slot, before)
        self.history.add(landed)
        return landed

    def _keys(self, transaction: VersionedTransaction) -> tuple[list[Pubkey], list[Pubkey], list[Pubkey]] | None:
        """All keys, and those of them that lookup tables gave; None when a table does not have them."""
        message = transaction.message
        writable: list[Pubkey] = []
        readonly: list[Pubkey] = []
        for lookup in message.address_table_lookups if isinstance(message, MessageV0) else []:
            for names, indexes in ((writable, lookup.writable_indexes), (readonly, lookup.readonly_indexes)):
                addresses = self.accounts.looked_up(lookup.account_key, bytes(indexes))
                if addresses is None:
                    return None
                names.extend(addresses)
        return [*message.account_keys, *writable, *readonly], writable, readonly

    @staticmethod
    def _writable(
        transaction: VersionedTransaction, keys: list[Pubkey], writable: list[Pubkey], readonly: list[Pubkey]
    ) -> list[Pubkey]:
        own = len(keys) - len(writable) - len(readonly)
        return [key for index, key in enumerate(keys[:own]) if is_writable(transaction.message, index)] + writable

    def _rent_error(self, keys: list[Pubkey], before: States, after: Callable[[Pubkey], Account | None]) -> Any:
        """A cluster lets no account end below the rent-exempt minimum unless it was there already; litesvm does not look."""
        for key, old in before.items():
            new = after(key)
            if new is None or not new.lamports or new.lamports >= self.rent_exempt(len(new.data)):
                continue
            was_poor = old is not None and old.lamports < self.rent_exempt(len(old.data))
            if old is None or not was_poor or new.lamports > old.lamports or len(new.data) != len(old.data):
                return {"InsufficientFundsForRent": {"account_index": keys.index(key)}}
        return None

    def _undo(self, transaction: VersionedTransaction, before: States) -> None:
        """Take a transaction back but for its fee, and for its nonce's move."""
        message = transaction.message
        nonce = message.account_keys[message.instructions[0].accounts[0]] if transaction.uses_durable_nonce() else None
        payer = message.account_keys[0]
        for key, old in before.items():
            if key != nonce:
                self.svm.set_account(key, old or Account(0, b"", SYSTEM_ID))
        held = before[payer]
        assert held is not None, "the SVM runs nothing that nobody pays for"
        fee = FEE_PER_SIGNATURE * message.header.num_required_signatures
        self.svm.set_account(payer, Account(held.lamports - fee, held.data, held.owner))

    def rent_exempt(self, data_bytes: int) -> int:
        return int(self.svm.minimum_balance_for_rent_exemption(data_bytes))

    def _lamports(self, keys: list[Pubkey]) -> list[int]:
        return [self.svm.get_balance(key) or 0 for key in keys]

    def _tokens(self, keys: list[Pubkey]) -> list[TokenBalance]:
        found = []
        for index, key in enumerate(keys):
            account = self.accounts.now(key)
            holding = read_holding(account)
            if holding is None or account is None:
                continue
            mint = read_mint(self.accounts.now(holding.mint))
            decimals = mint.decimals if mint else 9  # the mint of wrapped SOL need not be there
            found.append(TokenBalance(index, holding.mint, holding.owner, account.owner, holding.amount, decimals))
        return found

    def _set_clock(self, slot: int, unix_time: int) -> None:
        """The sysvars of a slot; the hashes of past slots are what lookup tables are made with."""
        epoch = slot // SLOTS_PER_EPOCH
        self.svm.set_clock(Clock(slot, 0, epoch, epoch + 1, unix_time))
        if slot != self._hashed_slot:
            past = range(slot - 1, max(-1, slot - 1 - SLOT_HASHES), -1)
            self.svm.set_slot_hashes([(number, Hash(self.slots.blockhash(number))) for number in past])
            self._hashed_slot = slot

    def recent_hash(self, commitment: str = "processed") -> Hash:
        return Hash(self.slots.blockhash(self.slots.at(commitment)))

    def close(self) -> None:
        with self.lock:
            if self._journal is not None:
                self._journal.close()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    def _note(self, record: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.add(record)

    def _open(self, journal: Journal) -> Journal:
        count, last = 0, None
        for last in journal.records():
            self._replay(journal, last)
            count += 1
            if count % REPLAY_STEP == 0:
                print(f"devnet: {count} records replayed ...", file=sys.stderr, flush=True)
        if last is None:
            journal.add({"genesis": str(self.genesis.hash), "slot": self.slots.now})
        else:
            self.slots.resume(last["slot"], last["time"])
        return journal

    def _replay(self, journal: Journal, record: dict[str, Any]) -> None:
        if "genesis" in record and record["genesis"] != str(self.genesis.hash):
            raise JournalBroken(f"{journal.path} was not written from the genesis.json beside it; start with an empty --home")
        if "send" in record:
            raw = bytes.fromhex(record["send"])
            landed = self._execute(raw, decode(raw), record["slot"], record["at"])
            if landed is None or landed.error != record["error"]:
                signature = str(decode(raw).signatures[0])
                raise JournalBroken(f"{journal.path}: {signature} now runs otherwise than it did; start with an empty --home")


def decode(raw: bytes) -> VersionedTransaction:
    """Raises RpcError for bytes that are no whole, sane transaction."""
    if len(raw) > RAW_BYTES_LIMIT:
        raise RpcError(-32602, f"decoded transaction too large: {len(raw)} bytes (max: {RAW_BYTES_LIMIT} bytes)")
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        transaction.sanitize()
    except Exception as error:  # solders raises several kinds, and its Rust panics are none of ValueError
        raise RpcError(-32602, f"failed to deserialize the transaction: {error}") from error
    if bytes(transaction) != raw:
        raise RpcError(-32602, "failed to deserialize the transaction: bytes are left over")
    return transaction
