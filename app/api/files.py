"""The local store's signed addresses: GET what may be read, PUT what may be written."""

from flask import jsonify, request, send_file
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint

from app.api.context import hub
from app.values import clock

blueprint = Blueprint("files", __name__, url_prefix="/files", description="Signed file addresses")


@blueprint.get("/<path:key>")
@blueprint.response(200)
def fetch(key: str) -> ResponseReturnValue:
    """The bytes behind a signed address."""
    claims = hub().store.verify("GET", key, request.args, clock.now())
    served = hub().store.serve(claims)
    return send_file(served.path, mimetype=served.content_type, download_name=served.file_name, conditional=True)


@blueprint.put("/<path:key>")
@blueprint.response(201)
def store(key: str) -> ResponseReturnValue:
    """Store the body under a signed address; again until the result is accepted."""
    claims = hub().store.verify("PUT", key, request.args, clock.now())
    stored = hub().store.receive(request.stream, claims)
    return jsonify(size_bytes=stored.size_bytes, sha256=stored.sha256), 201
