"""Runs: work that Blender has no part in. What it needs is fetched, the runner of its kind does it, a file is handed over."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gpu_node.attempts import Job
from gpu_node.client import HubClient, HubRefused
from gpu_node.config import NodeSettings
from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.benchmark.runner import BenchmarkRunner
from gpu_node.runners.echo import EchoRunner
from gpu_node.runners.inference import InferenceRunner, ModelServer
from gpu_node.runners.outputs import Output
from gpu_node.runners.prompts import IMAGES, VIDEO, ImageRunner, VideoRunner, read_wanted
from gpu_node.scenes import sha256_hex
from gpu_node.session import Limits


class Runner(Protocol):
    """One kind of run. `payload` is None where the hub has only the reference."""

    def run(self, reference: str, payload: bytes | None, limits: Limits, folder: Path,
            stopped: Callable[[], bool]) -> tuple[Path, str]: ...


class Runs:
    """What this host runs, by the job's kind. Thread-safe: each run has files of its own."""

    def __init__(self, settings: NodeSettings, client: HubClient, folder: Path) -> None:
        self._client, self._folder = client, folder
        self._max_payload_bytes = settings.max_payload_bytes
        self._patience_seconds = settings.hub_patience_seconds
        self._runners: dict[str, Runner] = {"echo": EchoRunner(), "cpu_benchmark": BenchmarkRunner()}
        if settings.inference_url:
            server = ModelServer(settings.inference_url, settings.inference_model, settings.inference_key,
                                 settings.inference_seconds)
            self._runners["inference"] = InferenceRunner(server)
        self._makers: dict[str, ImageRunner | VideoRunner] = {}
        if settings.images_url:
            self._makers[IMAGES] = ImageRunner(ModelServer(settings.images_url, settings.images_model, settings.inference_key,
                                                           settings.inference_seconds))
        if settings.video_url:
            self._makers[VIDEO] = VideoRunner(ModelServer(settings.video_url, settings.video_model, settings.inference_key,
                                                          settings.video_seconds))

    def run(self, job: Job, stopped: Callable[[], bool]) -> Output:
        """One run, whole. Raises WorkFailed, WorkStopped or HubAway."""
        runner = self._runners.get(job.kind)
        if runner is None:
            raise WorkFailed(FailureCode.ENGINE_UNSUPPORTED, f"this node does no work of kind {job.kind!r}")
        started = time.monotonic()
        payload = job.payload or {}
        data = self._fetch(payload) if payload.get("url") else None
        path, content_type = runner.run(str(payload.get("ref") or ""), data, job.limits, self._folder, stopped)
        return Output(path, content_type, time.monotonic() - started)

    def make(self, job: Job, frame: int | None, stopped: Callable[[], bool]) -> Output:
        """A picture or a video of the job's prompt. Raises WorkFailed or WorkStopped."""
        maker = self._makers.get(job.kind)
        if maker is None:
            raise WorkFailed(FailureCode.ENGINE_UNSUPPORTED, f"this node makes no {job.kind} of prompts")
        started = time.monotonic()
        path = maker.run(read_wanted(job.settings, frame), job.limits, self._folder, stopped)
        return Output(path, maker.content_type, time.monotonic() - started)

    def _fetch(self, payload: dict[str, object]) -> bytes:
        """The payload's bytes, their size and hash checked where the hub knows them."""
        known = payload.get("size_bytes")
        size = known if isinstance(known, int) else self._max_payload_bytes
        if size > self._max_payload_bytes:
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the payload is larger than this node takes ({size} bytes)")
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{uuid.uuid4().hex}.in"
        try:
            self._client.download(str(payload["url"]), target, size, self._patience_seconds)
            if payload.get("sha256") and sha256_hex(target) != str(payload["sha256"]).lower():
                raise WorkFailed(FailureCode.INPUT_CORRUPT, "the payload arrived with another sha256 than the hub's")
            return target.read_bytes()
        except HubRefused as refused:
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the payload can't be fetched: {refused}") from refused
        except OSError as error:
            raise WorkFailed(FailureCode.INPUT_CORRUPT, str(error)) from error
        finally:
            target.unlink(missing_ok=True)
