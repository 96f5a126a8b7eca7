"""Files that nobody needs any more."""

import uuid
from typing import Protocol

from app.core import render_probes, render_stitches, scenes, uploads
from app.db import Database

AT_ONCE = 100


class Store(Protocol):
    def delete(self, key: str) -> None: ...


def delete_scene(database: Database, store: Store, scene_id: uuid.UUID) -> bool:
    """Delete the file of a scene that only withdrawn quotes have used; False if it is still needed. Harmless to repeat."""
    with database.unit_of_work() as session:
        key = scenes.unneeded_file(session, scene_id)
    if key is None:
        return False
    store.delete(key)
    with database.unit_of_work() as session:
        scenes.forget_file(session, scene_id)
    return True


def delete_probe(database: Database, store: Store, job_id: uuid.UUID) -> None:
    """Delete the picture of a probe: only the time that it took was wanted. Harmless to repeat."""
    with database.unit_of_work() as session:
        key = render_probes.picture_of(session, job_id)
    if key is not None:
        store.delete(key)


def delete_tiles(database: Database, store: Store, job_id: uuid.UUID) -> int:
    """Delete what a picture was stitched of, once its job is over; returns how many files. Harmless to repeat."""
    with database.unit_of_work() as session:
        keys = render_stitches.spent(session, job_id)
    for key in keys:
        store.delete(key)
    return len(keys)


def delete_uploads(database: Database, store: Store, unused_seconds: int, kept_seconds: int) -> int:
    """Delete files that users sent and nobody needs (`uploads.drop`), then their rows; returns how many. One whose deletion did
    not come to its end is met again by the next run."""
    deleted = 0
    while True:
        with database.unit_of_work() as session:
            dropped = uploads.drop(session, unused_seconds, kept_seconds, AT_ONCE)
        for key in dropped.values():
            store.delete(key)
        with database.unit_of_work() as session:
            uploads.forget(session, list(dropped))
        deleted += len(dropped)
        if len(dropped) < AT_ONCE:
            return deleted
