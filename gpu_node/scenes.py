"""Scenes fetched from the hub, kept by their sha256 so that a job's next claim, or another job, need not fetch again.

What lies on the disk is not believed: a scene kept by an earlier process is hashed again, one of this process is fetched
again when a size or a time is not what it was. A broken file would be taken for the scene's own fault.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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
Stamps = dict[str, tuple[int, int]]
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
        self._turns: dict[Path, threading.Lock] = {}
        self._seen: dict[Path, Stamps] = {}

    def fetch(self, job: Job) -> Scene:
        """The job's scene on this disk. Raises WorkFailed (INPUT_*, SCENE_UNREADABLE) or HubAway."""
        home = self._folder / _key(job)
        # One scene that is long on its way, or a hub that is away, must not hold up frames of another that is here.
        with self._turn(home):
            name = self._kept(home)
            if name is None:
                shutil.rmtree(home, ignore_errors=True)
                try:
                    self._make_room()
                    name = self._fill(home, job)
                except OSError as error:
                    shutil.rmtree(home, ignore_errors=True)
                    reason = f"the scene can't be kept on this host: {error.strerror}"
                    raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, reason) from error
            os.utime(home)
            return Scene(job.job_id, home / "files" / name, home / "files", is_cached=True)

    def _turn(self, home: Path) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(home, threading.Lock())

    def _kept(self, home: Path) -> str | None:
        """The name of the scene that is kept in `home`, None when it is not there or not what it was."""
        files = home / "files"
        try:
            kept = json.loads((home / "done").read_text())
            stamps = _stamps(files)
            if self._seen.get(home) != stamps:
                if home in self._seen or {name: sha256_hex(files / name) for name in stamps} != kept["sha256"]:
                    log.warning("a kept scene is not what it was: it is fetched again", extra={"folder": str(home)})
                    return None
                self._seen[home] = stamps
            return str(kept["scene"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _fill(self, home: Path, job: Job) -> str:
        """Fetches the job's inputs into `home`; the scene's name below its `files`."""
        if not job.inputs:
            where = (job.payload or {}).get("ref", "nowhere")
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the scene lies where this node can't fetch it: {where}")
        files = home / "files"
        files.mkdir(parents=True)
        paths = [self._fetch_one(files, item) for item in job.inputs]
        scene = find_scene(paths) if not any(path.suffix == ".zip" for path in paths) else self._unpack(files, paths)
        stamps = _stamps(files)
        kept = {"scene": str(scene.relative_to(files)), "sha256": {name: sha256_hex(files / name) for name in stamps}}
        (home / "done.part").write_text(json.dumps(kept))
        (home / "done.part").replace(home / "done")
        self._seen[home] = stamps
        return str(kept["scene"])

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
            if error.errno is not None:
                raise  # this host's own trouble, a full disk for one
            raise WorkFailed(FailureCode.INPUT_CORRUPT, str(error)) from error
        if sha256_hex(target) != str(item["sha256"]).lower():
            raise WorkFailed(FailureCode.INPUT_CORRUPT, f"{name} arrived with another sha256 than the hub's")
        return target

    def _make_room(self) -> None:
        """Drops the longest unused scenes beyond the cache's size."""
        self._folder.mkdir(parents=True, exist_ok=True)
        homes = sorted(self._folder.iterdir(), key=_used_at, reverse=True)
        total = 0
        for home in homes:
            total += _size_of(home)
            turn = self._turn(home)
            if total > self._cache_bytes and turn.acquire(blocking=False):  # else somebody is at it just now
                shutil.rmtree(home, ignore_errors=True)
                self._seen.pop(home, None)
                turn.release()


def _stamps(files: Path) -> Stamps:
    """(size, time of the last change) of every file below `files`, by its name there."""
    found = ((path, path.stat()) for path in sorted(files.rglob("*")) if path.is_file())
    return {str(path.relative_to(files)): (state.st_size, state.st_mtime_ns) for path, state in found}


def _used_at(home: Path) -> float:
    try:
        return home.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # another slot has just dropped it


def _size_of(home: Path) -> int:
    total = 0
    for path in home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def sha256_hex(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _key(job: Job) -> str:
    text = "\n".join(f"{item['name']} {item.get('format')} {item['sha256']}" for item in job.inputs)
    return hashlib.sha256(text.encode()).hexdigest()
