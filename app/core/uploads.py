"""Files that users bring along: an address to send one to, and finding it again by its reference."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import InvalidInput, NotFound, RateLimited, TooLarge
from app.models.uploads import Upload
from app.values import clock

REFERENCE, BUCKET = "upload:", "s3://"
REFERENCE_LIMIT_CHARS = 500
OPEN_LIMIT = 200  # addresses of one account that may be used at one time


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
    query = select(Upload).where(Upload.id == upload_id, Upload.account_id == account_id)
    found = session.scalars(query).one_or_none()
    if found is None:
        raise NotFound("there is no such upload of yours; order one at POST /api/v1/uploads")
    return Payload(payload_ref, found.storage_key, found)
