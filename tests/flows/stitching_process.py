"""Tiles stitched by a process of its own, so that a fail-point can end it:
python stitching_process.py DATABASE_URL FOLDER JOB_ID."""

import sys
import uuid

from app.adapters.storage.local import LocalStore
from app.config import Settings
from app.db import Database, make_engine
from app.flows import stitching

if __name__ == "__main__":
    url, folder, job_id = sys.argv[1:]
    settings = Settings(database_url=url)
    store = LocalStore(folder, settings.secret_key, settings.base_url)
    stitching.stitch(Database(make_engine(settings)), store, uuid.UUID(job_id))
