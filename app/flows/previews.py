"""Previews of finished frames: drawn once, from the file that was accepted, and kept for a while."""

import io
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from app import offload
from app.config import Settings
from app.errors import NotFound
from app.formats import watermark

PREFIX = "previews"
MOST_BYTES = 8 * 1024 * 1024


class Finished(Protocol):
    """A frame's picture (core.render_frames.Picture)."""

    @property
    def unit_id(self) -> uuid.UUID: ...

    @property
    def frame(self) -> int: ...

    @property
    def key(self) -> str: ...

    @property
    def format(self) -> str: ...


class Store(Protocol):
    """What these flows ask of the file store."""

    def open(self, key: str) -> BinaryIO: ...

    def put(self, key: str, stream: BinaryIO, max_bytes: int) -> Any: ...

    def local_copy(self, key: str, max_bytes: int) -> AbstractContextManager[tuple[Any, Path]]: ...


@dataclass(frozen=True, slots=True)
class Preview:
    """A JPEG; the caller closes the file."""

    file: BinaryIO
    size_bytes: int


def find(store: Store, picture: Finished) -> Preview | None:
    """The preview, if it was drawn already."""
    try:
        file = store.open(_key(picture))
    except NotFound:
        return None
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    return Preview(file, size_bytes)


def make(store: Store, picture: Finished, seed: uuid.UUID, settings: Settings) -> Preview:
    """Draw it. Two who do so at once draw the same: a frame has one watermark for ever, or many of its previews would tell what
    lies below."""
    with store.local_copy(picture.key, settings.max_result_bytes) as (_, path):
        mark = watermark.Mark(seed.bytes, picture.frame)
        jpeg = offload.run(watermark.draw, path, picture.format, mark, settings.preview_pixels, settings.max_pixels)
    store.put(_key(picture), io.BytesIO(jpeg), MOST_BYTES)
    return Preview(io.BytesIO(jpeg), len(jpeg))


def _key(picture: Finished) -> str:
    """Named by the way of drawing, too: a hub that draws otherwise draws anew."""
    return f"{PREFIX}/{watermark.VERSION}/{picture.unit_id}.jpg"
