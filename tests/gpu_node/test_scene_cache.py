"""Scenes kept on a node's disk: used again while they are what they were, fetched again when they are not."""

from __future__ import annotations

import errno
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_node.attempts import Job
from gpu_node.client import HubAway, HubClient
from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.scenes import SceneStore, sha256_hex
from gpu_node.session import Limits

MIB = 1 << 20
Fetch = Callable[[], Path]


class Disk(HubClient):
    """A hub whose files lie on this disk; counts what is fetched."""

    def __init__(self) -> None:
        self.fetched = 0

    def download(self, url: str, target: Path, max_bytes: int, patience_seconds: float) -> None:
        self.fetched += 1
        target.write_bytes(Path(url).read_bytes())


@pytest.fixture
def hub() -> Disk:
    return Disk()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/scene.obj", "o nothing\n")
        archive.writestr("model/wood.png", b"\x89PNG wood")
    entry = {"name": "model.zip", "format": ".zip", "sha256": sha256_hex(path), "size_bytes": path.stat().st_size,
             "url": str(path)}
    return Job("job", "render", {}, (entry,), Limits())


@pytest.fixture
def fetch(hub: Disk, job: Job, tmp_path: Path) -> Iterator[Fetch]:
    """As a node that was just started: it remembers nothing but what lies on its disk."""
    yield lambda: SceneStore(tmp_path / "cache", hub, MIB, MIB, 1.0).fetch(job).path


def test_a_scene_is_fetched_once_and_kept_over_a_restart(fetch: Fetch, hub: Disk) -> None:
    assert fetch() == fetch()
    assert hub.fetched == 1 and fetch().read_text() == "o nothing\n"


@pytest.mark.parametrize("name", ["scene.obj", "wood.png"])
@pytest.mark.parametrize("how", ["cut", "other bytes", "gone"])
def test_a_kept_scene_that_is_not_what_it_was_is_fetched_again(fetch: Fetch, hub: Disk, name: str, how: str) -> None:
    broken = fetch().parent / name
    content = broken.read_bytes()
    if how == "gone":
        broken.unlink()
    else:
        broken.write_bytes(b"" if how == "cut" else b"x" * len(content))
    assert (fetch().parent / name).read_bytes() == content
    assert hub.fetched == 2


def test_a_scene_that_changes_under_a_running_node_is_fetched_again(hub: Disk, job: Job, tmp_path: Path) -> None:
    store = SceneStore(tmp_path / "cache", hub, MIB, MIB, 1.0)
    texture = store.fetch(job).path.parent / "wood.png"
    store.fetch(job)
    assert hub.fetched == 1
    texture.write_bytes(b"")
    assert store.fetch(job).path.exists() and hub.fetched == 2 and texture.read_bytes() == b"\x89PNG wood"


@pytest.mark.parametrize("left", ["", "model/scene.obj", "[]", "{}"])
def test_a_note_that_a_full_disk_cut_is_none(fetch: Fetch, hub: Disk, tmp_path: Path, left: str) -> None:
    path = fetch()
    next((tmp_path / "cache").glob("*/done")).write_text(left)
    assert fetch() == path and hub.fetched == 2


def test_a_scene_that_is_long_on_its_way_holds_up_no_other(
    hub: Disk, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SceneStore(tmp_path / "cache", hub, MIB, MIB, 1.0)
    store.fetch(job)
    begun, may_end = threading.Event(), threading.Event()

    def stuck(*_: object) -> None:
        begun.set()
        may_end.wait(30)
        raise HubAway("it did not come back")

    monkeypatch.setattr(hub, "download", stuck)
    other = replace(job, inputs=({**job.inputs[0], "sha256": "0" * 64},))
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(store.fetch, other)
        assert begun.wait(20)
        assert pool.submit(store.fetch, job).result(20).path.exists()
        may_end.set()
        with pytest.raises(HubAway):
            waiting.result(20)


def test_a_full_disk_is_this_hosts_trouble_and_passes(
    fetch: Fetch, hub: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(hub, "download", full)
        with pytest.raises(WorkFailed, match="No space left") as failed:
            fetch()
    assert failed.value.code == FailureCode.INPUT_UNAVAILABLE
    assert not list((tmp_path / "cache").iterdir()), "what was begun takes no room"
    assert fetch().exists()
