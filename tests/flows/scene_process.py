"""The bytes of a scene taken in by a process of its own, so that a fail-point can end it:
python scene_process.py DATABASE_URL FOLDER SCENE_ID FILE."""

import sys
import uuid
from pathlib import Path

from app.adapters.storage.local import LocalStore
from app.config import Settings
from app.db import Database, make_engine
from app.flows import scene_uploads
from app.flows.scene_uploads import Scenes

if __name__ == "__main__":
    url, folder, scene_id, path = sys.argv[1:]
    settings = Settings(database_url=url)
    store = LocalStore(folder, settings.secret_key, settings.base_url)
    scene_uploads.PART_BYTES = 64
    with Path(path).open("rb") as stream:
        scene_uploads.receive(Scenes(Database(make_engine(settings)), store, settings), uuid.UUID(scene_id), stream, 0)
