"""What a stranger needs to see that an entry is in an anchored tree, and which row was changed since."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app.core import ledger_leaves
from app.errors import NotFound
from app.models.anchors import AnchorBatch
from app.models.ledger import Entry, EntryNumber, LedgerAccount
from app.values import ledger_leaf, merkle

EntryId = int | uuid.UUID


@dataclass(frozen=True, slots=True)
class Proof:
    """One entry's way up to its tree's root; `leaf` is the text that was hashed when the tree was built."""

    number: int
    batch: AnchorBatch
    leaf: str
    leaf_hash: bytes
    leaf_index: int
    steps: list[merkle.Step]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row that is not what was anchored. `fields` is empty when it can't be told which."""

    number: int | None
    fields: tuple[str, ...]
    message: str


def prove(session: Session, entry_id: EntryId, account_id: uuid.UUID | None) -> Proof:
    """The proof of an entry of this account; `account_id` None: of anybody's. NotFound says why there is none."""
    number, batch = _find(session, entry_id, account_id)
    if number is None or batch is None:
        raise NotFound(
            f"entry {entry_id} is not in a tree yet: trees are built every few minutes, ask again then", code="NOT_IN_A_TREE_YET"
        )
    texts = batch.leaves.split("\n")
    hashes = [ledger_leaf.hash_text(line) for line in texts]
    index = number - batch.first_number
    return Proof(number, batch, texts[index], hashes[index], index, merkle.path(hashes, index))


def _find(session: Session, entry_id: EntryId, account_id: uuid.UUID | None) -> tuple[int | None, AnchorBatch | None]:
    """The entry's number and tree, where it has them. Another's entry is as unknown as one that never was."""
    if account_id is None and isinstance(entry_id, int):
        batch = _batch_of(session, entry_id)
        if batch is not None:
            return entry_id, batch  # even if its row was taken away since
    number = _number_of(session, entry_id, account_id)
    return number, None if number is None else _batch_of(session, number)


def _number_of(session: Session, entry_id: EntryId, account_id: uuid.UUID | None) -> int | None:
    query = select(EntryNumber.number, Entry.id).outerjoin(EntryNumber, EntryNumber.entry_id == Entry.id)
    query = query.where((EntryNumber.number if isinstance(entry_id, int) else Entry.id) == entry_id)
    if account_id is not None:
        query = query.join(LedgerAccount, LedgerAccount.id == Entry.account_id).where(LedgerAccount.owner_id == account_id)
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFound(f"there is no entry {entry_id} of yours", code="ENTRY_NOT_FOUND")
    return None if found[0] is None else int(found[0])


def _batch_of(session: Session, number: int) -> AnchorBatch | None:
    query = select(AnchorBatch).where(AnchorBatch.first_number <= number, AnchorBatch.last_number >= number)
    return session.scalars(query.options(undefer(AnchorBatch.leaves))).one_or_none()


def first_difference(session: Session, batch: AnchorBatch, anchored_root: bytes) -> Difference | None:
    """Re-read a batch's rows and hold them against `anchored_root`; None when they are what was anchored.

    The root decides. The texts that were kept with the tree only help to name the row, and are held against it as well.
    """
    rows = ledger_leaves.read(session, batch.first_number, batch.last_number)
    now = {row.number: row.text for row in rows}
    numbers = range(batch.first_number, batch.last_number + 1)
    if len(now) == len(numbers) and _root(now[number] for number in numbers) == anchored_root:
        return None
    kept = batch.leaves.split("\n")
    if len(kept) != len(numbers) or _root(kept) != anchored_root:
        message = "the entries and the texts kept with their tree both differ from the anchored root: no row can be named"
        return Difference(None, (), message)
    return next(
        _difference(number, before, now.get(number))
        for number, before in zip(numbers, kept, strict=True)
        if now.get(number) != before
    )


def _root(texts: Iterable[str]) -> bytes:
    return merkle.root([ledger_leaf.hash_text(line) for line in texts])


def _difference(number: int, before: str, now: str | None) -> Difference:
    if now is None:
        return Difference(number, (), f"the number {number} is not in the ledger any more")
    fields = tuple(ledger_leaf.changed_fields(before, now))
    if "uuid" in fields and ledger_leaf.is_gone(now):
        return Difference(number, fields, f"entry {number} is not in the ledger any more")
    verb = "differs" if len(fields) == 1 else "differ"
    return Difference(number, fields, f"entry {number} was changed after it was anchored: {', '.join(fields)} {verb}")
