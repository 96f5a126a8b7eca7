"""Films: the frames of a job, fetched from the hub and joined by Blender."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpu_node import trail
from gpu_node.attempts import Attempt
from gpu_node.client import HubClient, HubRefused
from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.blender.runner import BlenderRunner
from gpu_node.runners.outputs import Output
from gpu_node.scenes import sha256_hex

FILM_TYPE = "video/mp4"
FETCHED_SHARE = 0.5  # of the progress, when all frames are here


class Films:
    """Thread-safe: each film has a folder of its own, which goes with it."""

    def __init__(self, client: HubClient, folder: Path, patience_seconds: float) -> None:
        self._client, self._folder, self._patience_seconds = client, folder, patience_seconds

    def join(self, attempt: Attempt, runner: BlenderRunner, stopped: Callable[[], bool],
             on_progress: Callable[[float], None]) -> Output:
        """One film, whole. Raises WorkFailed, WorkStopped or HubAway."""
        settings = attempt.job.settings
        film = settings.get("video") or {}
        if film.get("format") != "MP4":
            raise WorkFailed(FailureCode.ENGINE_UNSUPPORTED, f"this node makes no {film.get('format')!r} of frames")
        started = time.monotonic()
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            with trail.step(attempt, "download"):
                count = self._fetch(attempt, folder, int(film["frames"]), stopped, on_progress)
            wanted = {"width": settings["width"], "height": settings["height"], "fps": film["fps"]}
            with trail.step(attempt, "join"):
                path = runner.join(folder, count, wanted, attempt.job.limits, stopped,
                                   lambda share: on_progress(FETCHED_SHARE + share * (1 - FETCHED_SHARE)))
            return Output(path, FILM_TYPE, time.monotonic() - started)
        except OSError as error:
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the frames can't be kept on this host: {error}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, attempt: Attempt, folder: Path, frames: int, stopped: Callable[[], bool],
               on_progress: Callable[[float], None]) -> int:
        """All frames under the names that Blender's child knows them by, hashes checked; how many they are."""
        number = 0
        for number, item in enumerate(self._list(attempt), 1):
            if stopped():
                raise WorkStopped("the film is not wanted any more")
            self._fetch_one(item, folder / f"{number:06d}.png")
            on_progress(FETCHED_SHARE * number / max(frames, number))
        if number == 0 or number != frames:
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the hub has {number} of the film's {frames} frames")
        return number

    def _list(self, attempt: Attempt) -> Iterator[dict[str, Any]]:
        """The frames in their order, asked for page by page, for their addresses are good only for a while."""
        after: str | None = None
        while True:
            try:
                page = self._client.call("/inputs", {**attempt.reference, "after": after}, self._patience_seconds)
            except HubRefused as refused:
                raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the hub lists no frames: {refused}") from refused
            yield from page["inputs"]
            after = page["next"]
            if after is None:
                return

    def _fetch_one(self, item: dict[str, Any], target: Path) -> None:
        try:
            self._client.download(item["url"], target, item["size_bytes"], self._patience_seconds)
        except HubRefused as refused:
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"a frame can't be fetched: {refused}") from refused
        if sha256_hex(target) != item["sha256"].lower():
            raise WorkFailed(FailureCode.INPUT_CORRUPT, "a frame arrived with another sha256 than the hub's")
