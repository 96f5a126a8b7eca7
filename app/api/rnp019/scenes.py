"""RNP-019: scenes, by their content."""

import uuid
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import ValidationError

from app.api import identifiers, security
from app.api.context import FORM, hub, json_body, read_only
from app.api.dialect import BadRequestParser
from app.api.rnp019 import scene_bodies
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.schemas import scenes as schemas
from app.core import account_scenes
from app.core.account_scenes import SceneView
from app.errors import Forbidden, InvalidInput
from app.flows import scene_uploads
from app.flows.scene_uploads import Scenes
from app.models.account_scenes import AccountScene
from app.values import upload_tokens

blueprint = Blueprint("rnp019_scenes", __name__, url_prefix="/rnp/v1/scenes", description="Scenes")
blueprint.ARGUMENTS_PARSER = BadRequestParser()
TUS = "1.0.0"
BODIES = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": schemas.SceneFormSchema},
        "application/json": {"schema": schemas.SceneOrderSchema},
    },
}
SIGNATURE = {"in": "query", "name": "signature", "required": True, "schema": {"type": "string"}, "description": "of `upload_url`"}
BYTES = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
OFFSET = {"in": "header", "name": "Upload-Offset", "required": True, "schema": {"type": "integer", "minimum": 0}}


def scenes() -> Scenes:
    """The hub's, as its flows take them."""
    return Scenes(hub().database, hub().store, hub().settings)


@blueprint.post("")
@blueprint.doc(**SIGNED_IN, requestBody=BODIES)
@blueprint.response(201, schemas.SceneSchema)
@blueprint.alt_response(200, schema=schemas.SceneSchema, description="These bytes, or this upload, are yours already")
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(413, "REQUEST_ENTITY_TOO_LARGE")
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
def bring() -> tuple[dict[str, Any], int]:
    """Send a scene, or announce one: bytes that this account has sent before are not asked for again."""
    if request.mimetype == FORM:
        account_id = _caller("scenes:write")  # before a file that may be large is read
        scene_id, is_new = _send(account_id)
    else:
        order = _order()
        account_id = _caller("scenes:write")
        scene_id, is_new = scene_uploads.announce(scenes(), account_id, order["sha256"], order["size_bytes"], order["name"])
    return scene_bodies.shown(_own(account_id, scene_id)), 201 if is_new else 200


def _send(account_id: uuid.UUID) -> tuple[uuid.UUID, bool]:
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        message = "send the scene as the multipart field `file`, with its name; or announce it as JSON"
        raise InvalidInput(message, code="FILE_MISSING")
    return scene_uploads.send(scenes(), account_id, upload.stream, upload.filename)


def _order() -> dict[str, Any]:
    try:
        order: dict[str, Any] = schemas.SceneOrderSchema().load(json_body())
    except ValidationError as error:
        named = "; ".join(f"{name}: {' '.join(map(str, said))}" for name, said in error.normalized_messages().items())
        raise InvalidInput(named, details={"fields": error.messages}) from None
    return order


@blueprint.get("/<scene_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.SceneSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def get(scene_id: str) -> dict[str, Any]:
    """How a scene of one's own stands, and what Blender saw in it; where to send it only to who may, with `scenes:write`."""
    with read_only() as session:
        caller = security.caller(session, "scenes:read")
        found = account_scenes.get_own(session, caller.account_id, identifiers.read(scene_id, "scene_id"))
    return scene_bodies.shown(found, may_send="scenes:write" in caller.scopes)


@blueprint.put("/<scene_id>/content")
@blueprint.doc(parameters=[SIGNATURE], requestBody=BYTES)
@blueprint.response(204)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(403, "FORBIDDEN")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(413, "REQUEST_ENTITY_TOO_LARGE")
def receive_whole(scene_id: str) -> Response:
    """All bytes of an announced scene, from its beginning; what came of it before is forgotten."""
    return _told(scene_uploads.receive(scenes(), _addressed(scene_id), request.stream, None))


@blueprint.patch("/<scene_id>/content")
@blueprint.doc(parameters=[SIGNATURE, OFFSET], requestBody=BYTES)
@blueprint.response(204)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(403, "FORBIDDEN")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(413, "REQUEST_ENTITY_TOO_LARGE")
def receive_part(scene_id: str) -> Response:
    """Bytes from `Upload-Offset` on. However a connection ends, HEAD says from where to go on."""
    addressed, offset = _addressed(scene_id), request.headers.get("Upload-Offset", "")
    if not (offset.isascii() and offset.isdigit() and len(offset) <= 16):
        raise InvalidInput("Upload-Offset must say from which byte on this part is; HEAD says how far the upload is")
    return _told(scene_uploads.receive(scenes(), addressed, request.stream, int(offset)))


@blueprint.route("/<scene_id>/content", methods=["HEAD"])
@blueprint.doc(parameters=[SIGNATURE])
@blueprint.response(200)
@blueprint.alt_response(403, "FORBIDDEN")
@blueprint.alt_response(404, "NOT_FOUND")
def tell_offset(scene_id: str) -> Response:
    """How far an upload is: `Upload-Offset` of `Upload-Length`."""
    addressed = _addressed(scene_id)
    with read_only() as session:
        own = account_scenes.get_awaited(session, addressed)
    return _told(own, 200)


def _told(own: AccountScene, status: int = 204) -> Response:
    reached, whole = str(own.received_bytes), str(own.size_bytes)
    return Response(status=status, headers={"Tus-Resumable": TUS, "Upload-Offset": reached, "Upload-Length": whole})


def _caller(scope: str) -> uuid.UUID:
    with read_only() as session:
        return security.caller(session, scope).account_id


def _own(account_id: uuid.UUID, scene_id: uuid.UUID) -> SceneView:
    with read_only() as session:
        return account_scenes.get_own(session, account_id, scene_id)


def _addressed(scene_id: str) -> uuid.UUID:
    """The scene of an address that the hub has given out; Forbidden for any other address."""
    found, settings = identifiers.read(scene_id, "scene_id"), hub().settings
    secrets = (settings.secret_key, *settings.previous_secret_keys)
    if not upload_tokens.is_good(secrets, found, request.args.get("signature", "")):
        message = "The address of this upload was altered or is not ours. Announce the scene again for a new one."
        raise Forbidden(message, code="URL_SIGNATURE_INVALID")
    return found
