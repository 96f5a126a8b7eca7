"""The chain: messages come in, blocks execute them in the TVM, and what landed is kept."""

import base64
import threading
from pathlib import Path
from typing import Any

from pytoniq_core import Address, Cell

from devnet.journal import Journal, JournalBroken
from devnet.ton import jettons
from devnet.ton.blocks import FIRST_SEQNO, LT_PER_BLOCK, Blocks
from devnet.ton.ledger import Entry, Ledger, Mail
from devnet.ton.machine import Machine, Refused, to_cell, to_text
from devnet.ton.messages import destination_of

MESSAGE_BYTES_LIMIT = 65_535


class NotAccepted(Exception):
    """An external message that a liteserver would refuse, in its words."""


class Chain:
    """Blocks are executed when somebody asks and one is due: an idle chain costs nothing.

    One lock is held by every door; a journal line is written before the sender is answered.
    """

    def __init__(self, home: Path | None, block_ms: int, delivery_blocks: int = 1) -> None:
        self.lock = threading.RLock()
        self.machine, self.ledger, self.blocks = Machine(), Ledger(), Blocks(block_ms)
        self.delivery_blocks = delivery_blocks
        self.journal: Journal | None = None
        if home is not None:
            home.mkdir(parents=True, exist_ok=True)
            self._open_journal(Journal(home / "chain.jsonl"))
        if not self.ledger.accounts:
            self._found()

    def _found(self) -> None:
        """The first block makes the test jettons."""
        for asset in jettons.DECIMALS:
            message = to_text(jettons.founding(asset, self.blocks.unix_time(FIRST_SEQNO)))
            self._write({"sent": message, "block": FIRST_SEQNO - 1})
            self._add_sent(message, FIRST_SEQNO - 1)
        self.head()

    def _open_journal(self, journal: Journal) -> None:
        for number, record in enumerate(journal.records(), 1):
            try:
                self._replay(record)
            except (KeyError, TypeError, ValueError) as error:
                where = f"{journal.path}, line {number}"
                raise JournalBroken(f"{where}: {error!r}; mend it, or start with an empty --home") from error
        self.journal = journal
        self._write(self.blocks.resume())

    def _replay(self, record: dict[str, Any]) -> None:
        if "sent" in record:
            self._add_sent(record["sent"], record["block"])
        elif "transactions" in record:
            block = record["seqno"]
            self.ledger.take_due(block)
            for address, transaction, state in record["transactions"]:
                self._add(address, Entry(block, transaction, state), record["delivery_blocks"])
        elif "turned_back" in record:
            self.ledger.turn_back(record["turned_back"], record["keep_sent"])
            self.blocks.restore(record["anchors"])
        else:
            self.blocks.restore(record["anchors"])

    def _write(self, record: dict[str, Any]) -> None:
        if self.journal is not None:
            self.journal.add(record)

    def close(self) -> None:
        with self.lock:
            if self.journal is not None:
                self.journal.close()

    # time

    def head(self) -> int:
        """The newest block, with everything that was due executed."""
        now = self.blocks.now
        while (due := self.ledger.next_due()) is not None and due <= now:
            self._execute_block(due)
        return now

    def advance(self, blocks: int, seconds: float) -> int:
        """Let blocks and seconds pass at once: the new head."""
        self.head()
        self._write(self.blocks.advance(blocks, seconds))
        return self.head()

    def turn_back(self, blocks: int, keep_sent: bool) -> int:
        """Undo the newest blocks, as a fork does: the head, older than before."""
        seqno = max(1, self.head() - blocks)
        self.ledger.turn_back(seqno, keep_sent)
        self._write({"turned_back": seqno, "keep_sent": keep_sent, **self.blocks.turn_back(seqno)})
        return seqno

    # messages

    def send(self, message: Cell) -> None:
        """Take an external message for the next block, as a liteserver does: only if the contract would accept it now."""
        if len(message.to_boc()) > MESSAGE_BYTES_LIMIT:
            raise NotAccepted("external message too large")
        address = self._external_destination(message)
        head, text = self.head(), to_text(message)
        if any(mail.message == text for mail in self.ledger.waiting):
            return
        if self.ledger.last(address, head) is None:
            raise NotAccepted("Failed to unpack account state")
        try:
            self.machine.run(self.ledger.state(address), text, self.blocks.unix_time(head), (head + 1) * LT_PER_BLOCK)
        except Refused as refusal:
            raise NotAccepted(_words(address, refusal)) from None
        self.put(message)

    @staticmethod
    def _external_destination(message: Cell) -> str:
        try:
            address, is_external = destination_of(message)
        except Exception as error:  # noqa: BLE001  the library says in many ways that a cell is no message
            raise NotAccepted("Failed to unpack external message") from error
        if not is_external:
            raise NotAccepted("external message must begin with ext_in_msg_info$10")
        if address.wc != 0:
            raise NotAccepted("Shard configuration in block does not contain the destination")
        return str(address.to_str(False))

    def put(self, message: Cell) -> None:
        """Let the next block execute a message, whatever its contract says of it."""
        block, text = self.head(), to_text(message)
        self._write({"sent": text, "block": block})
        self._add_sent(text, block)

    def _add_sent(self, message: str, block: int) -> None:
        self.ledger.waiting.append(Mail(message, block, block + 1, is_sent_in=True))

    # execution

    def _execute_block(self, block: int) -> None:
        landed: list[tuple[str, Entry]] = []
        lt = block * LT_PER_BLOCK
        for mail in self.ledger.take_due(block):
            address, _ = destination_of(to_cell(mail.message))
            name = str(address.to_str(False))
            entry = self._execute(name, mail.message, block, lt)
            if entry is not None:
                self._add(name, entry, self.delivery_blocks)
                landed.append((name, entry))
                lt = entry.lt + len(entry.messages[1]) + 1
        transactions = [(name, entry.transaction, entry.state) for name, entry in landed]
        self._write({"seqno": block, "transactions": transactions, "delivery_blocks": self.delivery_blocks})

    def _execute(self, address: str, message: str, block: int, lt: int) -> Entry | None:
        """None for an external message that is not accepted any more: a block simply lacks it."""
        try:
            done = self.machine.run(self.ledger.state(address), message, self.blocks.unix_time(block), lt)
        except Refused:
            return None
        return Entry(block, done.transaction, done.state)

    def _add(self, address: str, entry: Entry, delivery_blocks: int) -> None:
        self.ledger.add(address, entry)
        for message in entry.messages[1]:
            if not message.begin_parse().load_bit():  # to another contract, not a log
                mail = Mail(to_text(message), entry.block, entry.block + delivery_blocks, is_sent_in=False)
                self.ledger.waiting.append(mail)

    # reading

    def last(self, address: Address, seqno: int) -> Entry | None:
        return self.ledger.last(address.to_str(False), seqno)


def _words(address: str, refusal: Refused) -> str:
    return (
        "External message was not accepted\nCannot run message on account: inbound external message rejected by transaction "
        f"{address.split(':')[1].upper()}:\nexitcode={refusal.exit_code}, steps=0, gas_used=0\n"
        f"VM Log (truncated):\n{refusal.log}"
    )


def message_hash(message: Cell) -> str:
    return base64.b64encode(message.hash).decode()
