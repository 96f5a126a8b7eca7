"""Ours, in RenderTrust's dialect: files brought along before they are used."""

from typing import Any

from flask_smorest import Blueprint

from app.api import security
from app.api.context import hub, unit_of_work
from app.api.rendertrust.document import SIGNED_IN
from app.api.rendertrust.schemas import uploads as schemas
from app.core import uploads
from app.core.uploads import FileOrder
from app.models.uploads import Upload

blueprint = Blueprint("rendertrust_uploads", __name__, url_prefix="/api/v1/uploads", description="Files for jobs")


@blueprint.post("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.UploadOrderSchema)
@blueprint.response(201, schemas.UploadSchema)
@blueprint.alt_response(413, "REQUEST_ENTITY_TOO_LARGE")
def order(body: dict[str, Any]) -> dict[str, Any]:
    """An address to PUT a file to, and the reference a job names it by."""
    settings = hub().settings
    digest = body["sha256"].lower() if body["sha256"] else None
    file = FileOrder(body["filename"], body["size_bytes"], body["content_type"], digest)
    with unit_of_work() as session:
        caller = security.caller(session, "jobs:write")
        upload = uploads.order(session, caller.account_id, file, settings.max_upload_bytes, settings.file_url_seconds)
    return {
        "upload_id": upload.id,
        "upload_url": _address(upload, settings.file_url_seconds),
        "payload_ref": uploads.reference(upload),
        "expires_in": settings.file_url_seconds,
    }


def _address(upload: Upload, seconds: int) -> str:
    return hub().store.signed_url(
        "PUT",
        upload.storage_key,
        seconds,
        now=upload.created_at,
        max_bytes=upload.size_bytes,
        sha256=upload.sha256,
        content_type=upload.content_type,
    )
