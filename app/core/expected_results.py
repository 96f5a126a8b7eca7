"""What an attempt's result is checked against: read from its job, before the bytes are looked at."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.orm import Session

from app.core import attempts
from app.errors import Forbidden
from app.values import clock, tiles
from app.values.states import AttemptState

_EXPECTED = text("""
SELECT a.id, a.fence, a.node_id, a.state, a.upload_key,
    CASE u.kind WHEN 'run' THEN coalesce(j.settings ->> 'output_format', 'BYTES') WHEN 'container' THEN 'ARCHIVE'
        WHEN 'join' THEN j.settings -> 'video' ->> 'format' WHEN 'video' THEN 'VIDEO'
        ELSE j.settings ->> 'output_format' END AS format,
    CAST(j.settings ->> 'width' AS int) AS width, CAST(j.settings ->> 'height' AS int) AS height,
    j.settings ->> 'color_mode' AS color_mode, CAST(j.settings ->> 'color_depth' AS int) AS color_depth,
    u.tile, CASE u.kind WHEN 'join' THEN j.settings -> 'video' END AS video,
    j.id AS job_id, u.id AS unit_id, j.request_id, j.traceparent, CAST(:now AS timestamptz) - a.started_at AS taken
FROM attempts a JOIN work_units u ON u.id = a.unit_id JOIN jobs j ON j.id = u.job_id WHERE a.id = ANY(:attempts)
""").bindparams(bindparam("attempts", type_=ARRAY(UUID(as_uuid=True))))


@dataclass(frozen=True, slots=True)
class ExpectedResult:
    """What an attempt's upload must be: a picture (None for a size means that the scene's own counts), a film (MP4) of so many
    `frames`, a VIDEO of a prompt (an MP4, too), JSON, BYTES, or a compute task's ARCHIVE, which nobody opens here either.
    `colors` are a tile's (`tiles.colors_text`): it must fit to those beside it."""

    upload_key: str
    format: str
    width: int | None
    height: int | None
    is_completed: bool
    origin: attempts.Origin = attempts.Origin({})
    frames: int | None = None
    fps: float | None = None
    colors: str | None = None


def find(
    session: Session, node_id: uuid.UUID | None, announced: Mapping[uuid.UUID, int]
) -> dict[uuid.UUID, ExpectedResult]:
    """What to check this node's results against, by attempt; those that are not live (and did not complete) are not in it.

    `announced` is {attempt: fence}. No node stands for providers' own software. Another node's attempt is Forbidden.
    """
    rows = session.execute(_EXPECTED, {"attempts": list(announced), "now": clock.now()}).all()
    if any(row[2] != node_id for row in rows):
        raise Forbidden("an attempt here is another node's", code="ATTEMPT_NOT_YOURS")
    return {
        row[0]: _read(row)
        for row in rows
        if row[3] in (AttemptState.LIVE, AttemptState.COMPLETED) and announced[row[0]] == row[1]
    }


def _read(row: Any) -> ExpectedResult:
    width, height, colors = row.width, row.height, None
    if row.tile is not None:
        part = tiles.box(row.tile, width, height)
        width, height = part.width, part.height
        colors = None if row.color_mode is None else tiles.colors_text(row.color_mode, row.color_depth)
    film = row.video or {}
    is_completed = row.state == AttemptState.COMPLETED
    origin = attempts.origin(row)
    return ExpectedResult(
        row.upload_key, row.format, width, height, is_completed, origin, film.get("frames"), film.get("fps"), colors
    )
