"""RNP-019: a job's frames: how each stands, its picture, its preview, and all of them as a zip."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from flask import Response
from flask_smorest import Blueprint

from app.api import identifiers, limits, security
from app.api.context import hub, read_only
from app.api.dialect import BadRequestParser
from app.api.downloads import send_object
from app.api.limits import Limit
from app.api.rnp019 import frame_words
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.schemas import frames as schemas
from app.core import render_frames
from app.core.render_frames import FrameRow, Ordered, Picture
from app.db import Session
from app.errors import InvalidInput
from app.flows import previews
from app.formats import bundle
from app.values import frames as frame_ranges
from app.values.picture_formats import CONTENT_TYPES, EXTENSIONS

SCOPE = "jobs:read"
FRAME = re.compile(r"-?[0-9]{1,8}")
blueprint: Blueprint = Blueprint("rnp019_frames", __name__, url_prefix="/rnp/v1/jobs/<job_id>", description="Frames of jobs")
blueprint.ARGUMENTS_PARSER = BadRequestParser()
BYTES = {"type": "string", "format": "binary"}
NEW_PREVIEWS = Limit("rnp019-previews", 240)  # each is a picture that is decoded


@blueprint.get("/frames")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.FramesQuerySchema, location="query")
@blueprint.response(200, schemas.FramesSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def list_frames(query: dict[str, Any], job_id: str) -> dict[str, Any]:
    """How each frame of a job stands, in rising order, from the order on; `frames` asks for some of them."""
    wanted = _wanted(query)
    with read_only() as session:
        ordered = _own(session, job_id)
        found = [_shown(row) for row in render_frames.rows(session, ordered, wanted)]
    cost = ordered.cost
    head = {"job_id": ordered.job.id, "asset": cost.asset, "current_cost": str(cost)}
    return {**head, "frames": found, "count": len(found)}


@blueprint.get("/frames/<frame>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, BYTES, content_type="image/*")
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
def picture(job_id: str, frame: str) -> Response:
    """A finished frame's picture: PNG, JPEG or EXR, as ordered. 402 until the job is paid, where it is paid before download."""
    number = _number(frame)
    with read_only() as session:
        ordered = _own(session, job_id)
        found = render_frames.picture(session, ordered, number)
        render_frames.assert_paid(ordered)
    file = hub().store.open(found.key)
    name = bundle.frame_name(found.frame, EXTENSIONS[found.format])
    return send_object(file, found.size_bytes, CONTENT_TYPES[found.format], name, found.sha256)


@blueprint.get("/frames/<frame>/preview")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, BYTES, content_type="image/jpeg")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
def preview(job_id: str, frame: str) -> Response:
    """A small, watermarked JPEG of a finished frame: to see that it is right, free and before payment."""
    number = _number(frame)
    with read_only() as session:
        ordered = _own(session, job_id)
        found = render_frames.picture(session, ordered, number)
        seed = render_frames.seed(session, ordered)
    made = previews.find(hub().store, found)
    if made is None:
        limits.spend(NEW_PREVIEWS, str(ordered.job.account_id))
        made = previews.make(hub().store, found, seed, hub().settings)
    return send_object(made.file, made.size_bytes, CONTENT_TYPES["JPEG"], bundle.frame_name(number, "_preview.jpg"), None)


@blueprint.get("/frames.zip")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.FramesQuerySchema, location="query")
@blueprint.response(200, BYTES, content_type="application/zip")
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def archive(query: dict[str, Any], job_id: str) -> Response:
    """Pictures as one zip, streamed: `frame_0001.png` and so on. All of a job that is over, or `frames` as soon as they are
    there."""
    wanted = _wanted(query)
    with read_only() as session:
        ordered = _own(session, job_id)
        found = render_frames.pictures(session, ordered, wanted)
        render_frames.assert_paid(ordered)
    size_bytes, chunks = bundle.stream_bundle(_entry(item) for item in found)
    response = Response(chunks, mimetype="application/zip")
    response.content_length = size_bytes
    response.headers.set("Content-Disposition", "attachment", filename=f"frames-{ordered.job.id}.zip")
    return response


def _own(session: Session, job_id: str) -> Ordered:
    """The caller's own job, of any dialect."""
    caller = security.caller(session, SCOPE)
    return render_frames.find(session, caller.account_id, identifiers.read(job_id, "job_id"))


def _wanted(query: dict[str, Any]) -> Sequence[int] | None:
    text = query["frames"]
    return None if text is None else frame_ranges.parse(text, hub().settings.max_frames).frames


def _number(text: str) -> int:
    if not FRAME.fullmatch(text):
        raise InvalidInput(f"{text[:40]!r} is no frame; write its number, such as 7 or -3", code="FRAMES_INVALID")
    return int(text)


def _entry(item: Picture) -> bundle.BundleEntry:
    name = bundle.frame_name(item.frame, EXTENSIONS[item.format])
    return bundle.BundleEntry(name, item.size_bytes, partial(hub().store.open, item.key))


def _shown(row: FrameRow) -> dict[str, Any]:
    return {
        "frame": row.frame,
        "status": frame_words.word(row.states),
        "seconds": row.seconds,
        "cost": None if row.cost is None else str(row.cost),
        "attempts": row.attempts,
    }
