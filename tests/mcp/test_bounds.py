"""What a hub that is broken, or means ill, may write to the disk of an agent that downloads from it: by the official client."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from app.core import render_orders
from app.mcp.session import Session
from tests.factories.rendered_jobs import painted
from tests.mcp.conftest import World, refused, talk

CHUNK = b"x" * 65536
MOST = 4 * 2**20  # of what httpx and the downloads take at a time, by far


@dataclass
class Stream(httpx.SyncByteStream):
    """What a hub sends: `data`, then the same chunk `without_end`, or a connection that breaks."""

    data: bytes = b""
    without_end: bool = False
    breaks: bool = False
    sent_bytes: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[bytes]:
        self.sent_bytes += len(self.data)
        yield self.data
        while self.without_end:
            self.sent_bytes += len(CHUNK)
            assert self.sent_bytes < MOST, "it takes whatever comes"
            yield CHUNK
        if self.breaks:
            raise httpx.ReadError("the connection broke")


def say(world: World, path: str, stream: Stream, **headers: str) -> None:
    """What comes in place of a file of the hub's."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}

    def instead(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith(path):
            return None
        status = 206 if "Content-Range" in named else 200
        return httpx.Response(status, headers={"Content-Type": "image/png", **named}, stream=stream, request=request)

    world.wire.instead = instead


def no_download(session: Session, **arguments: Any) -> str:
    result = talk(session, lambda client: client.call_tool("download", arguments))
    assert result.is_error, result
    return str(result.content[0].text)


def rendered(world: World, frames: int, **settings: Any) -> str:
    renders = world.renders
    wanted = replace(renders.placement(3), frames=tuple(range(1, frames + 1)), settings=renders.settings(**settings))
    with renders.database.unit_of_work() as session:
        job_id = render_orders.place(session, wanted).id
    node = renders.node()
    renders.finish(renders.claim(node, frames))
    if settings:
        renders.finish(renders.claim(node, 1))  # what joins them
    return str(job_id)


def test_a_picture_is_no_larger_than_was_announced_or_is_not_saved(world: World, tmp_path: Path) -> None:
    session, job_id = world.session(), rendered(world, 1)
    folder = tmp_path / "pictures" / job_id
    other = hashlib.sha256(b"other").hexdigest()
    for code, stream, headers in (
        ("SIZE_MISMATCH", Stream(without_end=True), {"Content_Length": "1000"}),
        ("SIZE_MISMATCH", Stream(b"short"), {"Content_Length": "1000"}),
        ("SIZE_UNKNOWN", Stream(without_end=True), {"Transfer_Encoding": "chunked"}),
        ("SIZE_UNKNOWN", Stream(without_end=True), {"Content_Length": "1000", "Content_Encoding": "gzip"}),
        ("SIZE_UNKNOWN", Stream(without_end=True), {"Content_Length": "-1"}),
        ("DOWNLOAD_LIMIT", Stream(without_end=True), {"Content_Length": str(2**40)}),
        ("HASH_MISMATCH", Stream(b"short"), {"Content_Length": "5", "ETag": f'"{other}"'}),
        ("HASH_MISMATCH", Stream(without_end=True), {"Content_Length": "1000", "Content_Range": "bytes 5-1004/9999"}),
        ("BROKEN_OFF", Stream(b"short", breaks=True), {"Content_Length": "1000"}),
    ):
        for path, arguments in (("/frames/1", {}), ("/frames/1/preview", {"previews": True})):
            say(world, path, stream, **headers)
            message = no_download(session, job_id=job_id, **arguments)
            assert code in message and ("all download again" in message or "--max-download" in message), message
            assert os.listdir(folder) == []
    world.wire.instead = lambda request: None
    assert session.download(job_id, None, False)["files"] == [str((folder / "frame_0001.png").resolve())]


def test_a_session_saves_no_more_than_its_user_allows_and_leaves_room_on_the_disk(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = rendered(world, 3)
    session = world.session(limit_bytes=2 * 4096 + 100)  # a file takes a block, however small
    assert len(painted(1)) < 4096
    say(world, "/frames/1", Stream(b"short", breaks=True), Content_Length="1000")
    no_download(session, job_id=job_id)  # what is not kept does not count
    world.wire.instead = lambda request: None
    message = no_download(session, job_id=job_id)
    assert "DOWNLOAD_LIMIT" in message and "100 bytes are left of 8.1 KiB" in message
    assert sorted(os.listdir(tmp_path / "pictures" / job_id)) == ["frame_0001.png", "frame_0002.png"]
    assert session.download(job_id, "1-2", False)["had_already"] == 2
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**29))
    assert "make room" in refused(lambda: world.session().download(job_id, "3", False), "DISK_FULL")
    monkeypatch.undo()
    assert len(world.session().download(job_id, None, False)["files"]) == 3


def test_a_video_that_is_not_as_announced_leaves_nothing_and_one_that_breaks_off_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.mcp.downloads.CHUNK_BYTES", 10)
    job_id = rendered(world, 2, video={"format": "MP4", "fps": 12, "frames": 2})
    session, folder = world.session(), tmp_path / "pictures" / job_id
    whole = world.renders.get(job_id, "/video").data
    etag = f'"{hashlib.sha256(whole).hexdigest()}"'
    for code, stream, headers in (
        ("SIZE_MISMATCH", Stream(without_end=True), {"Content_Length": "1000"}),
        ("SIZE_MISMATCH", Stream(b"short"), {"Content_Length": "1000"}),
        ("SIZE_UNKNOWN", Stream(without_end=True), {}),
        ("DOWNLOAD_LIMIT", Stream(without_end=True), {"Content_Length": str(2**40)}),
        ("HASH_MISMATCH", Stream(b"other"), {"Content_Length": "5"}),
    ):
        say(world, "/video", stream, ETag=etag, **headers)
        assert code in no_download(session, job_id=job_id, video=True)
        assert os.listdir(folder) == []
    say(world, "/video", Stream(whole[:50], breaks=True), ETag=etag, Content_Length=str(len(whole)))
    assert "BROKEN_OFF" in no_download(session, job_id=job_id, video=True)
    (part,) = folder.iterdir()
    assert part.read_bytes() == whole[:50]
    other = f'"{hashlib.sha256(b"other").hexdigest()}"'
    say(world, "/video", Stream(whole[49:]), ETag=other, Content_Length="9", Content_Range="bytes 49-57/58")
    assert "nobody has asked" in no_download(session, job_id=job_id, video=True)
    world.wire.instead = lambda request: None
    assert session.download_video(job_id)["left_bytes"] == 0
    assert os.listdir(folder) == ["video.mp4"] and (folder / "video.mp4").read_bytes() == whole
