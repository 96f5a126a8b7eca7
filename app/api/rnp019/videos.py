"""RNP-019: the video that a job's frames were joined to."""

from flask import Response
from flask_smorest import Blueprint

from app.api import identifiers, security
from app.api.context import hub, read_only
from app.api.dialect import BadRequestParser
from app.api.downloads import send_object
from app.api.rnp019.document import SIGNED_IN
from app.core import render_films, render_frames

blueprint: Blueprint = Blueprint("rnp019_videos", __name__, url_prefix="/rnp/v1/jobs/<job_id>", description="Videos of jobs")
blueprint.ARGUMENTS_PARSER = BadRequestParser()
VIDEO_TYPE = "video/mp4"


@blueprint.get("/video")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, {"type": "string", "format": "binary"}, content_type=VIDEO_TYPE)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
def video(job_id: str) -> Response:
    """The MP4 of a job that ordered one, once all its frames are joined. 402 until the job is paid, where it is paid before
    download."""
    with read_only() as session:
        caller = security.caller(session, "jobs:read")
        ordered = render_frames.find(session, caller.account_id, identifiers.read(job_id, "job_id"))
        found = render_films.video(session, ordered)
        render_frames.assert_paid(ordered)
    file = hub().store.open(found.key)
    return send_object(file, found.size_bytes, VIDEO_TYPE, f"video-{ordered.job.id}.mp4", found.sha256)
