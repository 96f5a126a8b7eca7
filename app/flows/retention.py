"""Files that nobody needs any more."""

import uuid
from typing import Protocol

from app.core import scenes
from app.db import Database


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
