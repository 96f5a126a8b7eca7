"""Scenes fetched from the hub, kept by their sha256 so that a job's next claim, or another job, need not fetch again."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import threading
from pathlib import Path
from typing import Any

from gpu_node.attempts import Job
from gpu_node.client import HubClient, HubRefused
from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.blender.runner import Scene
from gpu_node.runners.blender.scene_file import FORMATS, find_scene, unpack_zip

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
UNSAFE = re.compile(r"[^\w.\-]+")


class SceneStore:
    """Files below `folder`, one folder per set of inputs. Thread-safe."""

    def __init__(self, folder: Path, client: HubClient, max_scene_bytes: int, cache_bytes: int,
                 patience_seconds: float) -> None:
        self._folder = folder
        self._client = client
        self._max_scene_bytes = max_scene_bytes
        self._cache_bytes = cache_bytes
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()

    def fetch(self, job: Job) -> Scene:
        """The job's scene on this disk. Raises WorkFailed (INPUT_*, SCENE_UNREADABLE) or HubAway."""
        with self._lock:
            home = self._folder / _key(job)
            if not (home / "done").exists():
                self._make_room()
                shutil.rmtree(home, ignore_errors=True)
                self._fill(home, job)
            os.utime(home)
            path = home / "files" / (home / "done").read_text()
            return Scene(job.job_id, path, home / "files", is_cached=True)

    def _fill(self, home: Path, job: Job) -> None:
        if not job.inputs:
            where = (job.payload or {}).get("ref", "nowhere")
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the scene lies where this node can't fetch it: {where}")
        files = home / "files"
        files.mkdir(parents=True)
        paths = [self._fetch_one(files, item) for item in job.inputs]
        scene = find_scene(paths) if not any(path.suffix == ".zip" for path in paths) else self._unpack(files, paths)
        (home / "done").write_text(str(scene.relative_to(files)))

    def _unpack(self, files: Path, paths: list[Path]) -> Path:
        if len(paths) != 1:
            raise WorkFailed(FailureCode.SCENE_UNREADABLE, "a zip must be a job's only input")
        scene = unpack_zip(paths[0], files / "unpacked", self._max_scene_bytes)
        paths[0].unlink()
        return scene

    def _fetch_one(self, files: Path, item: dict[str, Any]) -> Path:
        """One input under a name made safe, its extension the hub's; bytes and hash checked."""
        extension = str(item.get("format") or "").lower()
        name = UNSAFE.sub("_", Path(str(item["name"])).name)[:100].lstrip(".") or "scene"
        target = files / name
        if extension in FORMATS and target.suffix.lower() != extension:
            target = files / (name + extension)
        if extension in FORMATS:
            target = target.with_suffix(extension)
        if item["size_bytes"] > self._max_scene_bytes:
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the scene is larger than this node takes ({name})")
        try:
            self._client.download(item["url"], target, item["size_bytes"], self._patience_seconds)
        except HubRefused as refused:
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the scene can't be fetched: {refused}") from refused
        except OSError as error:
            raise WorkFailed(FailureCode.INPUT_CORRUPT, str(error)) from error
        if sha256_hex(target) != str(item["sha256"]).lower():
            raise WorkFailed(FailureCode.INPUT_CORRUPT, f"{name} arrived with another sha256 than the hub's")
        return target

    def _make_room(self) -> None:
        """Drops the longest unused scenes beyond the cache's size."""
        self._folder.mkdir(parents=True, exist_ok=True)
        homes = sorted(self._folder.iterdir(), key=lambda home: home.stat().st_mtime, reverse=True)
        total = 0
        for home in homes:
            total += sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
            if total > self._cache_bytes:
                shutil.rmtree(home, ignore_errors=True)


def sha256_hex(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _key(job: Job) -> str:
    text = "\n".join(f"{item['name']} {item.get('format')} {item['sha256']}" for item in job.inputs)
    return hashlib.sha256(text.encode()).hexdigest()
