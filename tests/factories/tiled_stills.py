"""A still in tiles whose files really lie in a store, and the deeds of its nodes: in the database alone."""

import hashlib
import io
import uuid
from collections.abc import Sequence
from typing import Any

from PIL import Image

from app.core import completions, render_orders
from app.core.claims import Claim
from app.core.completions import Finished
from app.db import Database
from app.models.jobs import WorkUnit
from app.values import tiles
from tests.factories.render_market import SETTINGS, Renders

WIDTH, HEIGHT = 67, 45
GRID = {"columns": 3, "rows": 2}


def whole() -> Image.Image:
    """A picture whose every pixel is another."""
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    picture.putdata([(place % 256, place // 256, 200) for place in range(WIDTH * HEIGHT)])
    return picture


def tile_of(tile: Any, mode: str = "RGB") -> bytes:
    """Its part of the picture, as a node uploads it."""
    box = tiles.box(tile, WIDTH, HEIGHT)
    written = io.BytesIO()
    whole().crop((box.left, box.top, box.right, box.bottom)).convert(mode).save(written, "PNG")
    return written.getvalue()


class TiledStills(Renders):
    """Stills of 3x2 tiles; a tile is quoted at 10 s."""

    def __init__(self, database: Database, store: Any) -> None:
        super().__init__(database)
        self.store = store

    def still(self, tiles_quoted: int = 6, **changes: Any) -> uuid.UUID:
        settings = {**SETTINGS, "width": WIDTH, "height": HEIGHT, "tiles": GRID}
        wanted = self.placement(tiles_quoted, frames=(7,), settings=settings, window_units=6, **changes)
        with self.database.unit_of_work() as session:
            return render_orders.place(session, wanted).id

    def finish(self, taken: Sequence[Claim], mode: str = "RGB") -> None:
        """As a node that has uploaded good tiles."""
        done = []
        for item in taken:
            data = tile_of(item.tile, mode)
            key = f"accepted/{item.upload_key}"
            self.store.put(key, io.BytesIO(data), 10**8)
            done.append(Finished(item.attempt_id, item.fence, key, hashlib.sha256(data).hexdigest(), len(data), 10.0**6))
        with self.database.unit_of_work() as session:
            assert len(completions.complete(session, done)) == len(done)

    def stitched(self, job_id: uuid.UUID) -> WorkUnit:
        return self.units(job_id)[-1]
