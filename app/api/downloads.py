"""Files sent to clients: whole, in parts (Range), or not at all when the client has them already."""

from typing import BinaryIO

from flask import Response, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.wsgi import FileWrapper

CHUNK_BYTES = 64 * 1024


def send_object(file: BinaryIO, size_bytes: int, content_type: str, file_name: str, sha256: str | None) -> Response:
    """An open object of any store as the answer, which closes it. A range that can't be served is 416."""
    # Not the server's own file wrapper: that one can't seek, and would read all that lies before a range.
    response = Response(FileWrapper(file, CHUNK_BYTES), mimetype=content_type, direct_passthrough=True)
    response.content_length = size_bytes
    response.headers.set("Content-Disposition", "inline", filename=file_name)
    if sha256 is not None:
        response.set_etag(sha256)
    try:
        response.make_conditional(request.environ, accept_ranges=True, complete_length=size_bytes)
    except RequestedRangeNotSatisfiable:
        file.close()
        raise
    return response
