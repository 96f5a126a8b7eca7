"""What the hub itself finds out about a disputed result: whether the stored bytes still have the hash that was accepted."""

import hashlib
import uuid
from typing import BinaryIO, Protocol

from app.core import disputes
from app.db import Database
from app.errors import NotFound

CHUNK_BYTES = 1024 * 1024


class Store(Protocol):
    """What this flow asks of the file store."""

    def open(self, key: str) -> BinaryIO: ...


def check(database: Database, store: Store, dispute_id: uuid.UUID) -> None:
    """Read the disputed result once more, byte by byte, and note its hash, or that it is gone. Repeating it is harmless."""
    with database.unit_of_work() as session:
        key = disputes.result_key(session, dispute_id)
    if key is None:
        return
    found = _sha256(store, key)
    with database.unit_of_work() as session:
        disputes.note_stored(session, dispute_id, found)


def _sha256(store: Store, key: str) -> str:
    digest = hashlib.sha256()
    try:
        with store.open(key) as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
    except NotFound:
        return disputes.GONE
    return digest.hexdigest()
