"""Files that users bring along: an address to send one to, and finding it again by its reference."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.orm import Session

from app.errors import InvalidInput, NotFound, RateLimited, TooLarge
from app.models.uploads import Upload
from app.values import clock

REFERENCE, BUCKET = "upload:", "s3://"
REFERENCE_LIMIT_CHARS = 500
OPEN_LIMIT = 200  # addresses of one account that may be used at one time


# A job needs its file while it is open; afterwards it is kept a while, for a job that failed may be tried again.
_DROP = text("""
WITH chosen AS (
    SELECT u.id FROM uploads u
    WHERE u.dropped_at IS NOT NULL
        OR (u.used_at IS NULL AND u.expires_at < :unused_before)
        OR (u.used_at < :used_before AND u.expires_at < :now AND NOT EXISTS (
            SELECT 1 FROM jobs j
            WHERE j.account_id = u.account_id AND j.created_at >= u.created_at
                AND (j.state IN ('open', 'paused') OR j.ended_at > :used_before)
                AND (j.settings->>'payload_key' = u.storage_key OR j.scene_id IN (
                    SELECT s.id FROM scenes s WHERE s.account_id = u.account_id AND s.storage_key = u.storage_key))))
    ORDER BY u.id LIMIT :most FOR UPDATE OF u SKIP LOCKED)
UPDATE uploads u SET dropped_at = :now FROM chosen WHERE u.id = chosen.id RETURNING u.id, u.storage_key
""")
_FORGET_SCENES = text("""
UPDATE scenes s SET storage_key = '' FROM uploads u
WHERE u.id = ANY(:ids) AND s.account_id = u.account_id AND s.storage_key = u.storage_key
""").bindparams(bindparam("ids", type_=ARRAY(UUID(as_uuid=True))))


@dataclass(frozen=True, slots=True)
class FileOrder:
    """What a user says of a file before sending it. `sha256` is lower-case hex."""

    file_name: str
    size_bytes: int
    content_type: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """What a job works on. `storage_key` is where it lies with us; None for a file elsewhere, which we sign nothing for."""

    reference: str
    storage_key: str | None = None
    upload: Upload | None = None


def prefix(account_id: uuid.UUID) -> str:
    """Where an account's own files lie; URLs are signed for nothing outside it."""
    return f"uploads/{account_id}/"


def order(session: Session, account_id: uuid.UUID, file: FileOrder, max_bytes: int, url_seconds: int) -> Upload:
    """Note a file that is to be sent within `url_seconds`; TooLarge past `max_bytes`, RateLimited past OPEN_LIMIT."""
    if file.size_bytes > max_bytes:
        raise TooLarge(f"size_bytes may be at most {max_bytes}", details={"max_bytes": max_bytes})
    now = clock.now()
    query = select(func.count()).where(Upload.account_id == account_id, Upload.created_at > now - timedelta(seconds=url_seconds))
    if (session.scalar(query) or 0) >= OPEN_LIMIT:
        message = f"{OPEN_LIMIT} uploads were ordered in the last {url_seconds} s; send those first"
        raise RateLimited(message, details={"retry_after": url_seconds})
    upload_id = uuid.uuid4()
    row = Upload(
        id=upload_id,
        account_id=account_id,
        storage_key=f"{prefix(account_id)}{upload_id}",
        file_name=file.file_name,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        created_at=now,
        expires_at=now + timedelta(seconds=url_seconds),
    )
    session.add(row)
    session.flush()
    return row


def reference(upload: Upload) -> str:
    """How a job names an upload: its `payload_ref`."""
    return f"{REFERENCE}{upload.id}"


def resolve(session: Session, account_id: uuid.UUID, payload_ref: str, own_bucket: str | None = None) -> Payload:
    """What a `payload_ref` means to this account. Whether the file has arrived is the store's to say.

    `upload:<id>` must be the account's own: NotFound for anybody else's, as for none. `s3://bucket/key` in `own_bucket` must lie
    under the account's prefix, likewise; in another bucket it is passed on as it is. InvalidInput for everything else.
    """
    if payload_ref.startswith(REFERENCE) and len(payload_ref) <= REFERENCE_LIMIT_CHARS:
        return _own_upload(session, account_id, payload_ref)
    bucket, _, key = payload_ref.removeprefix(BUCKET).partition("/")
    is_plain = payload_ref.startswith(BUCKET) and payload_ref.isprintable() and len(payload_ref) <= REFERENCE_LIMIT_CHARS
    if not (is_plain and bucket and key):
        raise InvalidInput("payload_ref must be upload:<id> of POST /api/v1/uploads, or s3://bucket/key")
    if bucket != own_bucket:
        return Payload(payload_ref)
    if not key.startswith(prefix(account_id)) or ".." in key:
        raise NotFound("there is no such file of yours")
    return Payload(payload_ref, key)


def _own_upload(session: Session, account_id: uuid.UUID, payload_ref: str) -> Payload:
    try:
        upload_id = uuid.UUID(payload_ref.removeprefix(REFERENCE))
    except ValueError:
        raise InvalidInput("payload_ref must be upload:<id> as POST /api/v1/uploads answered it") from None
    query = select(Upload).where(Upload.id == upload_id, Upload.account_id == account_id, Upload.dropped_at.is_(None))
    found = session.scalars(query).one_or_none()
    if found is None:
        raise NotFound("there is no such upload of yours; order one at POST /api/v1/uploads")
    return Payload(payload_ref, found.storage_key, found)


def note_use(session: Session, account_id: uuid.UUID, storage_key: str) -> bool:
    """A job is ordered with this file, in the same transaction; False when no upload of the account has it, or had it."""
    used = update(Upload).where(
        Upload.account_id == account_id, Upload.storage_key == storage_key, Upload.dropped_at.is_(None)
    )
    return session.execute(used.values(used_at=clock.now()).returning(Upload.id)).one_or_none() is not None


def drop(session: Session, unused_seconds: int, kept_seconds: int, most: int) -> dict[uuid.UUID, str]:
    """Give up files that nobody needs, at most so many: {upload: storage key}. No job can be ordered with them any more.

    Unused ones go `unused_seconds` after their address expired, used ones `kept_seconds` after their last job was ordered and
    ended. Those given up before whose file was not yet deleted are among them.
    """
    now = clock.now()
    moments = {"unused_before": now - timedelta(seconds=unused_seconds), "used_before": now - timedelta(seconds=kept_seconds)}
    found = session.execute(_DROP, {**moments, "now": now, "most": most})
    return {upload_id: storage_key for upload_id, storage_key in found}


def forget(session: Session, upload_ids: Sequence[uuid.UUID]) -> None:
    """The files of these are gone."""
    session.execute(_FORGET_SCENES, {"ids": list(upload_ids)})
    session.execute(delete(Upload).where(Upload.id.in_(upload_ids)))
