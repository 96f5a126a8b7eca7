"""Renders and inspects scenes for one slot of this node: keeps the job's child warm, and hands over whole files.

The child writes under a `.part` name; a picture exists for the rest of the node only after the rename here.
"""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.blender.scene_file import check_scene
from gpu_node.sandbox import Box
from gpu_node.session import Limits, Session

log = logging.getLogger(__name__)

RUNNER_FOLDER = Path(__file__).resolve().parent
START_SECONDS = 120.0


@dataclass(frozen=True)
class Host:
    """What this host's child processes may use; found once when the node starts."""

    python: str
    sandbox: str
    devices: tuple[str, ...] = ()
    has_gpu: bool = False
    can_eevee: bool = False
    gpu_cache: Path | None = None


@dataclass(frozen=True)
class Scene:
    """A job's input on this host's disk. `path` lies in `folder`, which is all that the child sees."""

    job_id: str
    path: Path
    folder: Path


@dataclass
class Picture:
    """One finished frame on this host's disk."""

    path: Path
    seconds: float
    frame_seconds: float
    device: str
    fell_back: bool
    peak_memory_bytes: int | None
    settings: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


class BlenderRunner:
    """One slot. Use it from one thread, which must outlive its children."""

    def __init__(self, host: Host, work_folder: Path, max_scene_bytes: int, max_memory_bytes: int) -> None:
        self._host = host
        self._work_folder = work_folder
        self._max_scene_bytes = max_scene_bytes
        self._max_memory_bytes = max_memory_bytes
        self._session: Session | None = None
        self._loaded: tuple[str, str] | None = None
        self._load_event: dict[str, Any] = {}
        self.loads = 0

    @property
    def job_id(self) -> str | None:
        """The job whose scene is loaded."""
        alive = self._session is not None and self._session.alive
        return self._loaded[0] if self._loaded and alive else None

    def render(self, scene: Scene, settings: dict[str, Any], limits: Limits, frame: int,
               stopped: Callable[[], bool] = lambda: False,
               on_progress: Callable[[float], None] = lambda share: None) -> Picture:
        """One frame, whole, in this slot's output folder. Raises WorkFailed or WorkStopped."""
        started = time.monotonic()
        session = self._load(scene, settings, limits, stopped)
        left = max(1.0, limits.max_seconds - (time.monotonic() - started))
        try:
            event = session.ask("render", "frame", left, stopped, on_progress, frame=frame,
                                folder=session_folder(self._host, self._folder(scene.job_id)))
        except (WorkFailed, WorkStopped):
            self._drop_dead()
            self._clear_parts(scene.job_id)
            raise
        path = self._take(scene.job_id, str(event["file"]), limits)
        return Picture(path=path, seconds=time.monotonic() - started,
                       frame_seconds=float(event["seconds"]), device=event["device"],
                       fell_back=bool(event["fell_back"]), peak_memory_bytes=session.peak_memory_bytes or None,
                       settings=self._load_event["picture"], warnings=list(self._load_event["warnings"]))

    def inspect(self, scene: Scene, limits: Limits, stopped: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """The report of PROTOCOL.md section 7. Raises WorkFailed or WorkStopped."""
        check_scene(scene.path, self._max_scene_bytes)
        self.close()
        session = self._start(scene, limits, stopped)
        try:
            event = session.ask("inspect", "inspected", limits.max_seconds, stopped,
                                path=self._box(scene).inside(scene.path))
        finally:
            self.close()
        return dict(event["report"])

    def probe(self) -> dict[str, Any]:
        """What a child finds on this host: `{"blender_version", "devices"}`. Raises WorkFailed."""
        folder = self._work_folder / "probe-input"
        folder.mkdir(parents=True, exist_ok=True)
        session = self._start(Scene("probe", folder / "none", folder), Limits(), lambda: False)
        try:
            return session.ask("probe", "probed", START_SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        """Ends the child, if any, and removes what its job left behind."""
        if self._session is not None:
            self._session.close()
        self._session, self._loaded = None, None

    def forget(self, job_id: str) -> None:
        """Removes a job's folder; its pictures must have been delivered or given up."""
        shutil.rmtree(self._folder(job_id), ignore_errors=True)

    def _load(self, scene: Scene, settings: dict[str, Any], limits: Limits, stopped: Callable[[], bool]) -> Session:
        """The session that holds this scene with these settings: the warm one, or a new one."""
        key = (scene.job_id, repr(sorted(settings.items())))
        if self._session is not None and self._session.alive and self._loaded == key:
            return self._session
        self._check(scene, settings, limits)
        self.close()
        session = self._start(scene, limits, stopped)
        host = {"devices": list(self._host.devices), "gpu": self._host.has_gpu, "eevee": self._host.can_eevee}
        try:
            self._load_event = session.ask(
                "load", "loaded", limits.max_seconds, stopped, path=self._box(scene).inside(scene.path),
                settings=settings, limits={"max_pixels": limits.max_pixels}, host=host)
        except (WorkFailed, WorkStopped):
            self.close()
            raise
        self._loaded = key
        self.loads += 1
        return session

    def _check(self, scene: Scene, settings: dict[str, Any], limits: Limits) -> None:
        """What can be refused without starting anything."""
        if settings.get("engine") == "eevee" and not self._host.can_eevee:
            raise WorkFailed(FailureCode.ENGINE_UNSUPPORTED, "Eevee needs a GPU with EGL, which this host has not")
        pixels = (settings.get("width") or 0) * (settings.get("height") or 0)
        if pixels > limits.max_pixels:
            raise WorkFailed(FailureCode.PICTURE_LIMIT, f"{pixels} pixels are more than the {limits.max_pixels} allowed")
        check_scene(scene.path, self._max_scene_bytes)

    def _start(self, scene: Scene, limits: Limits, stopped: Callable[[], bool]) -> Session:
        box = self._box(scene)
        box.output_folder.mkdir(parents=True, exist_ok=True)
        own = Limits(limits.max_seconds, min(limits.max_memory_bytes, self._max_memory_bytes),
                     limits.max_output_bytes, limits.max_pixels)
        session = Session(box, self._host.python, own, self._work_folder / "child.log",
                          limit_address_space=not self._host.has_gpu)
        self._session = session
        try:
            session.wait_for("ready", START_SECONDS, stopped)
        except (WorkFailed, WorkStopped):
            self.close()
            raise
        return session

    def _box(self, scene: Scene) -> Box:
        return Box(self._host.sandbox, scene.folder, self._folder(scene.job_id), RUNNER_FOLDER, self._host.gpu_cache)

    def _folder(self, job_id: str) -> Path:
        return self._work_folder / "out" / job_id

    def _take(self, job_id: str, name: str, limits: Limits) -> Path:
        """Renames the `.part` the child named, once it is on disk. The child's word for the name is not trusted."""
        part = self._folder(job_id) / Path(name).name
        if part.is_symlink() or not part.is_file():
            raise WorkFailed(FailureCode.CRASHED, "the child named a picture that is not there")
        if part.stat().st_size > limits.max_output_bytes:
            size = part.stat().st_size
            part.unlink()
            raise WorkFailed(FailureCode.OUTPUT_LIMIT, f"the picture has {size} bytes; {limits.max_output_bytes} allowed")
        # A name of its own: the same frame may be rendered again while the earlier attempt's file is still being delivered.
        whole = part.with_name(part.name.replace(".part.", f".{uuid.uuid4().hex}."))
        part.rename(whole)
        return whole

    def _clear_parts(self, job_id: str) -> None:
        for part in self._folder(job_id).glob("*.part.*"):
            part.unlink()

    def _drop_dead(self) -> None:
        if self._session is not None and not self._session.alive:
            self._session.kill()
            self._session, self._loaded = None, None


def session_folder(host: Host, folder: Path) -> str:
    """The child's name for its output folder."""
    return str(folder) if host.sandbox == "none" else "/out"
