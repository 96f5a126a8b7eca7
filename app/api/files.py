"""The local store's signed addresses: GET what may be read, PUT what may be written."""

from flask import jsonify, request, send_file
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint

from app.adapters.storage.local import LocalStore
from app.api.context import hub
from app.errors import NotFound
from app.values import clock

blueprint = Blueprint("files", __name__, url_prefix="/files", description="Signed file addresses")


def local_store() -> LocalStore:
    """Only a local store is served by the hub; S3 serves its own addresses."""
    found = hub().store
    if not isinstance(found, LocalStore):
        raise NotFound("files are not served here; ask for a signed address", code="FILE_NOT_FOUND")
    return found


@blueprint.get("/<path:key>")
@blueprint.response(200)
def fetch(key: str) -> ResponseReturnValue:
    """The bytes behind a signed address."""
    store = local_store()
    served = store.serve(store.verify("GET", key, request.args, clock.now()))
    return send_file(served.path, mimetype=served.content_type, download_name=served.file_name, conditional=True)


@blueprint.put("/<path:key>")
@blueprint.response(201)
def take(key: str) -> ResponseReturnValue:
    """Store the body under a signed address; again until the result is accepted."""
    store = local_store()
    stored = store.receive(request.stream, store.verify("PUT", key, request.args, clock.now()))
    return jsonify(size_bytes=stored.size_bytes, sha256=stored.sha256), 201
