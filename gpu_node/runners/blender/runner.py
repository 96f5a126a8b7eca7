"""Renders and inspects scenes for one slot of this node: keeps the job's child warm, and hands over whole files.

The child writes under a `.part` name; a picture exists for the rest of the node only after the rename here.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.pictures import PictureBroken, measure
from gpu_node.runners.blender.scene_file import check_scene
from gpu_node.sandbox import Box
from gpu_node.session import Limits, Session

log = logging.getLogger(__name__)

RUNNER_FOLDER = Path(__file__).resolve().parent
START_SECONDS = 120.0
INSPECTION_SECONDS = 60.0


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
    """A job's input on this host's disk. `path` lies in `folder`, which is all that the child sees.

    `is_cached`: the folder is the node's own cache of this scene and holds nothing else.
    """

    job_id: str
    path: Path
    folder: Path
    is_cached: bool = False


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
    """One slot. Use it from one thread, which must outlive its children.

    It keeps at most two children: the one that has a job's scene open, and a spare that has only Blender loaded and
    has seen nobody's scene. An inspection, or the next job, takes the spare and so starts without waiting for Blender.
    """

    def __init__(self, host: Host, work_folder: Path, max_scene_bytes: int, max_memory_bytes: int) -> None:
        self._host = host
        self._work_folder = work_folder
        self._pictures_folder = work_folder / "pictures"
        self._max_scene_bytes = max_scene_bytes
        self._max_memory_bytes = max_memory_bytes
        self._session: Session | None = None
        self._spare: Session | None = None
        self._loaded: tuple[str, str] | None = None
        self._load_event: dict[str, Any] = {}
        self.loads = 0

    @property
    def job_id(self) -> str | None:
        """The job whose scene is loaded."""
        alive = self._session is not None and self._session.alive
        return self._loaded[0] if self._loaded and alive else None

    @property
    def fell_back(self) -> bool:
        """Whether the last scene rendered on the CPU though this host has a GPU."""
        return bool(self._load_event.get("fell_back"))

    def render(self, scene: Scene, settings: dict[str, Any], limits: Limits, frame: int,
               stopped: Callable[[], bool] = lambda: False,
               on_progress: Callable[[float], None] = lambda share: None, tile: dict[str, int] | None = None) -> Picture:
        """One frame, or a tile of it, whole, in this slot's folder of pictures. Raises WorkFailed or WorkStopped."""
        started = time.monotonic()
        session = self._load(scene, settings, limits, stopped)
        left = max(1.0, limits.max_seconds - (time.monotonic() - started))
        try:
            event = session.ask("render", "frame", left, stopped, on_progress, frame=frame, folder=session.box.output_name,
                                tile=tile)
        except (WorkFailed, WorkStopped):
            self._drop_dead()
            self._clear_parts(session)
            raise
        picture = dict(self._load_event["picture"])
        if tile is not None:
            left, top, right, bottom = box_of(tile, picture["width"], picture["height"])
            picture |= {"width": right - left, "height": bottom - top}
        path = self._take(session, str(event["file"]), lambda path: check_picture(path, limits, picture))
        return Picture(path=path, seconds=time.monotonic() - started,
                       frame_seconds=float(event["seconds"]), device=event["device"],
                       fell_back=bool(event["fell_back"]), peak_memory_bytes=session.peak_memory_bytes or None,
                       settings=picture, warnings=list(self._load_event["warnings"]))

    def join(self, folder: Path, frames: int, settings: dict[str, Any], limits: Limits,
             stopped: Callable[[], bool] = lambda: False,
             on_progress: Callable[[float], None] = lambda share: None) -> Path:
        """The pictures of `folder`, 000001.png and so on, as one film, in a child that sees nothing else. Raises WorkFailed or
        WorkStopped."""
        session = self._start(folder)
        try:
            session.wait_ready(START_SECONDS, stopped)
            session.lower(self._lower(limits))
            event = session.ask("join", "joined", limits.max_seconds, stopped, on_progress, folder=session.box.inside(folder),
                                frames=frames, settings=settings, target=session.box.output_name)
            return self._take(session, str(event["file"]), lambda path: check_film(path, limits))
        finally:
            end(session)

    def inspect(self, scene: Scene, limits: Limits, stopped: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """The report of PROTOCOL.md section 7, in a child of its own. Raises WorkFailed or WorkStopped."""
        check_scene(scene.path, self._max_scene_bytes)
        session, path = self._child_for(scene, limits, stopped)
        try:
            event = session.ask("inspect", "inspected", min(limits.max_seconds, INSPECTION_SECONDS), stopped, path=path)
        finally:
            end(session)
        return dict(event["report"])

    def probe(self) -> dict[str, Any]:
        """What a child finds on this host: `{"blender_version", "devices"}`. Raises WorkFailed."""
        session = self._start(None)
        try:
            session.wait_ready(START_SECONDS)
            return session.ask("probe", "probed", START_SECONDS)
        finally:
            end(session)

    def prepare_spare(self) -> None:
        """Starts the spare child unless it is there. Does not wait for it."""
        if self._spare is not None and not self._spare.alive:
            end(self._spare)
            self._spare = None
        if self._spare is None:
            self._spare = self._start(None)

    def close(self) -> None:
        """Ends the job's child, if any, and removes its folder. The spare stays."""
        if self._session is not None:
            end(self._session)
        self._session, self._loaded = None, None

    def close_all(self) -> None:
        """Ends every child."""
        self.close()
        if self._spare is not None:
            end(self._spare)
        self._spare = None

    def _load(self, scene: Scene, settings: dict[str, Any], limits: Limits, stopped: Callable[[], bool]) -> Session:
        """The session that holds this scene with these settings: the warm one, or a new one."""
        key = (scene.job_id, repr(sorted(settings.items())))
        if self._session is not None and self._session.alive and self._loaded == key:
            return self._session
        self._check(scene, settings, limits)
        self.close()
        session, path = self._child_for(scene, limits, stopped)
        self._session = session
        host = {"devices": list(self._host.devices), "gpu": self._host.has_gpu, "eevee": self._host.can_eevee}
        try:
            self._load_event = session.ask(
                "load", "loaded", limits.max_seconds, stopped, path=path, settings=settings,
                limits={"max_pixels": limits.max_pixels}, host=host)
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

    def _child_for(self, scene: Scene, limits: Limits, stopped: Callable[[], bool]) -> tuple[Session, str]:
        """A fresh child that can see the scene, under the job's limits, and its name for the scene's file."""
        session, self._spare = self._spare, None
        may_link = self._may_link(scene)
        if session is not None and not (session.alive and may_link):
            end(session)
            session = None
        if session is None:
            session = self._start(None if may_link else scene.folder)
        try:
            # Linked files stay when the cache drops its own.
            path = link_scene(scene, session.box) if may_link else session.box.inside(scene.path)
            session.wait_ready(START_SECONDS, stopped)
            session.lower(self._lower(limits))
        except (WorkFailed, WorkStopped, OSError):
            end(session)
            raise
        return session, path

    def _lower(self, limits: Limits) -> Limits:
        """A job's limits, within what this host allows."""
        return replace(limits, max_memory_bytes=min(limits.max_memory_bytes, self._max_memory_bytes))

    def _may_link(self, scene: Scene) -> bool:
        """Hard links need one file system, and the scene's folder must be ours to walk (not somebody's home)."""
        return scene.is_cached and scene.folder.stat().st_dev == self._work_folder.stat().st_dev

    def _start(self, input_folder: Path | None) -> Session:
        """A child in a folder of its own. It sees `input_folder`, or an empty one that is filled later."""
        home = self._work_folder / f"child-{uuid.uuid4().hex[:12]}"
        for name in ("in", "out"):
            (home / name).mkdir(parents=True)
        box = Box(self._host.sandbox, input_folder or home / "in", home / "out", RUNNER_FOLDER, self._host.gpu_cache)
        limits = Limits(max_memory_bytes=self._max_memory_bytes)
        return Session(box, self._host.python, limits, home / "child.log", limit_address_space=not self._host.has_gpu)

    def _take(self, session: Session, name: str, check: Callable[[Path], None]) -> Path:
        """Moves the `.part` the child named out of its reach, then looks at it. The child's word is not trusted."""
        self._pictures_folder.mkdir(exist_ok=True)
        part = session.box.output_folder / Path(name).name
        if Path(name).name in ("", ".."):
            raise WorkFailed(FailureCode.CRASHED, "the child named no picture")
        # A name of its own: the same frame may be rendered again while the earlier attempt's file is still being delivered.
        whole = self._pictures_folder / part.name.replace(".part.", f".{uuid.uuid4().hex}.")
        try:
            part.rename(whole)
            check(whole)
        except FileNotFoundError:
            raise WorkFailed(FailureCode.CRASHED, "the child named a picture that is not there") from None
        except WorkFailed:
            discard(whole)
            raise
        return whole

    def _clear_parts(self, session: Session) -> None:
        for part in session.box.output_folder.glob("*.part.*"):
            part.unlink()

    def _drop_dead(self) -> None:
        if self._session is not None and not self._session.alive:
            self.close()


def discard(path: Path) -> None:
    """Removes what a child left under a picture's name, which may be a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def end(session: Session) -> None:
    """Ends a child and removes its folder. What a hostile child left there is only unlinked, never followed."""
    session.close()
    shutil.rmtree(session.box.output_folder.parent, ignore_errors=True)


def link_scene(scene: Scene, box: Box) -> str:
    """Makes a cached scene visible to a child that runs already; returns the child's name for its file."""
    shutil.copytree(scene.folder, box.input_folder, copy_function=os.link, symlinks=True, dirs_exist_ok=True)
    return box.inside(box.input_folder / scene.path.relative_to(scene.folder))


def box_of(tile: dict[str, int], width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a tile, as PROTOCOL.md section 12 has it; the child reckons the same by itself."""
    column, row, columns, rows = tile["column"], tile["row"], tile["columns"], tile["rows"]
    return (width * column // columns, height * row // rows, width * (column + 1) // columns, height * (row + 1) // rows)


def check_film(path: Path, limits: Limits) -> None:
    """Raises WorkFailed unless this is an MP4 by its first bytes, within the limits. The hub reads the rest of it."""
    _check_file(path, limits, "film")
    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            raise WorkFailed(FailureCode.CRASHED, "Blender left no MP4")


def check_picture(path: Path, limits: Limits, picture: dict[str, Any]) -> None:
    """Raises WorkFailed unless this is a whole picture of the size that the child announced, within the limits."""
    _check_file(path, limits, "picture")
    try:
        size = measure(path, picture["output_format"])
    except PictureBroken as broken:
        raise WorkFailed(FailureCode.CRASHED, f"Blender left no whole picture: {broken}") from broken
    if size != (picture["width"], picture["height"]):
        raise WorkFailed(FailureCode.CRASHED, f"the picture has {size[0]}x{size[1]} pixels instead of "
                                              f"{picture['width']}x{picture['height']}")


def _check_file(path: Path, limits: Limits, what: str) -> None:
    if path.is_symlink() or not path.is_file():
        raise WorkFailed(FailureCode.CRASHED, f"the child named a {what} that is no file")
    size_bytes = path.stat().st_size
    if size_bytes > limits.max_output_bytes:
        raise WorkFailed(FailureCode.OUTPUT_LIMIT, f"the {what} has {size_bytes} bytes; {limits.max_output_bytes} allowed")
