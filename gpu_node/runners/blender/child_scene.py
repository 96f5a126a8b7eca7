"""What the child does with a scene: open, prepare, render, inspect. Runs inside the sandbox.

Blender's traps that shape this file: a missing texture renders magenta without any error, file-output nodes write
wherever they like, `write_still` expands no `#`, handlers left behind hang the exit, and a timeline marker can swap the camera.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any

import bpy
import child_devices
import child_film
import child_imports
import child_report
import child_tiles

FORMATS = {"PNG": ("PNG", ".png"), "JPEG": ("JPEG", ".jpg"), "EXR": ("OPEN_EXR", ".exr")}
SAMPLE = re.compile(r"Sample (\d+)/(\d+)")
PROGRESS_GAP_SECONDS = 0.25
LAST_FRAME = 1048574


class SceneError(Exception):
    """The work can't be done; `code` is one of PROTOCOL.md section 5."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Loaded:
    """What this process has open."""

    settings: dict[str, Any] = {}
    device = "CPU"
    fell_back = False


def greet(events: Any) -> None:
    events.send("ready", blender_version=bpy.app.version_string, pid=os.getpid())


def probe(events: Any) -> dict[str, Any]:
    """What Cycles finds on this host."""
    return {"event": "probed", "blender_version": bpy.app.version_string, "devices": child_devices.list_types(bpy)}


def load(events: Any, path: str, settings: dict[str, Any], limits: dict[str, Any], host: dict[str, Any]) -> dict[str, Any]:
    """Opens the scene without its scripts and makes it ready to render with `settings`."""
    forget_handlers()
    open_scene(path)
    scene = bpy.context.scene
    warnings = child_report.preflight_warnings(bpy)
    choose_engine(scene, settings.get("engine"), bool(host.get("eevee")), warnings)
    apply_picture(scene, settings, limits)
    make_safe(scene)
    if not path.lower().endswith(".blend"):
        warnings += child_imports.add_camera_and_light(bpy, scene)
    choose_camera(scene, settings.get("camera"))
    scene.render.use_persistent_data = bool(settings.get("use_persistent_data"))
    Loaded.device, Loaded.fell_back = child_devices.choose(bpy, scene, host.get("devices") or [], bool(host.get("gpu")))
    if Loaded.fell_back:
        warnings.append("this host has a GPU but Cycles could not use it: rendered on the CPU")
    Loaded.settings = settings
    return {"event": "loaded", "warnings": warnings, "device": Loaded.device, "fell_back": Loaded.fell_back,
            "picture": picture_of(scene)}


def open_scene(path: str) -> None:
    """Opens a .blend without running anything in it, or imports a mesh file into an empty scene."""
    child_report.opened_in = os.path.dirname(path)
    try:
        if path.lower().endswith(".blend"):
            bpy.ops.wm.open_mainfile(filepath=path, use_scripts=False, load_ui=False)
        else:
            child_imports.import_file(bpy, path)
    except RuntimeError as error:
        raise SceneError("SCENE_UNREADABLE", f"Blender can't read the scene: {str(error).strip()[:500]}") from None
    if not bpy.data.scenes or bpy.context.scene is None:
        raise SceneError("SCENE_UNREADABLE", "the file holds no scene")


def choose_engine(scene: Any, asked: str | None, can_eevee: bool, warnings: list[str]) -> None:
    """Sets Cycles or Eevee. Eevee needs a GPU: without one it is refused before it can take the process down."""
    own = "eevee" if "EEVEE" in scene.render.engine else "cycles"
    if asked is None and scene.render.engine not in ("CYCLES",) and own == "cycles":
        warnings.append(f"the scene's engine {scene.render.engine} is not offered: rendered with Cycles")
    engine = asked or own
    if engine == "cycles":
        scene.render.engine = "CYCLES"
        return
    if engine != "eevee":
        raise SceneError("ENGINE_UNSUPPORTED", f"engine {engine!r} is not known: use cycles or eevee")
    if not can_eevee:
        raise SceneError("ENGINE_UNSUPPORTED", "Eevee needs a GPU with EGL, which this host has not: ask for cycles")
    scene.render.engine = "BLENDER_EEVEE_NEXT" if bpy.app.version < (5, 0, 0) else "BLENDER_EEVEE"


def apply_picture(scene: Any, settings: dict[str, Any], limits: dict[str, Any]) -> None:
    """Size, samples and format: what was asked, or the scene's own where nothing was. Raises PICTURE_LIMIT."""
    render = scene.render
    percentage = render.resolution_percentage
    width = settings.get("width") or max(1, render.resolution_x * percentage // 100)
    height = settings.get("height") or max(1, render.resolution_y * percentage // 100)
    if limits.get("max_pixels") and width * height > limits["max_pixels"]:
        raise SceneError("PICTURE_LIMIT", f"{width}x{height} pixels are more than the {limits['max_pixels']} allowed")
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.use_border = render.use_crop_to_border = render.use_multiview = False
    render.use_overwrite, render.use_placeholder = True, False
    if settings.get("samples"):
        scene.cycles.samples = settings["samples"]
        scene.eevee.taa_render_samples = settings["samples"]
        scene.cycles.time_limit = 0
        scene.cycles.use_layer_samples = "IGNORE"
    if settings.get("denoise") is not None:
        scene.cycles.use_denoising = bool(settings["denoise"])
    if settings.get("adaptive_sampling") is not None:
        scene.cycles.use_adaptive_sampling = bool(settings["adaptive_sampling"])
    set_format(render.image_settings, settings.get("output_format") or own_format(scene))
    if settings.get("color_mode"):  # of a picture in tiles, which must be alike whoever renders them
        render.image_settings.color_mode, render.image_settings.color_depth = settings["color_mode"], str(settings["color_depth"])


def set_format(image: Any, name: str) -> None:
    """The format asked for, at the depth that the scene has for it; a plain picture, never layers or a preview."""
    keeps_own, depth = has_own(image, name), own_depth(image, name)
    image.file_format, image.color_depth = FORMATS[name][0], depth
    if name == "JPEG":
        image.color_mode = "RGB"
        image.quality = max(image.quality, 75) if keeps_own else 90
    image.use_preview = False


def has_own(image: Any, name: str) -> bool:
    """Whether the scene says how pictures of this format are to be."""
    return image.file_format in (FORMATS[name][0], "OPEN_EXR_MULTILAYER")


def own_depth(image: Any, name: str) -> str:
    """The bits of a channel that the scene has for this format."""
    depth = image.color_depth if has_own(image, name) else ""
    return {"PNG": "16" if depth == "16" else "8", "JPEG": "8", "EXR": "32" if depth == "32" else "16"}[name]


def own_colors(image: Any) -> dict[str, Any]:
    """What pictures of this scene are in; the bits by their format."""
    return {"color_mode": image.color_mode, "color_depth": {name: int(own_depth(image, name)) for name in ("PNG", "EXR")}}


def own_format(scene: Any) -> str:
    """The scene's own format where it is one of ours (layers count as a plain EXR), else PNG."""
    file_format = scene.render.image_settings.file_format.replace("OPEN_EXR_MULTILAYER", "OPEN_EXR")
    return next((name for name, (ours, _) in FORMATS.items() if ours == file_format), "PNG")


def make_safe(scene: Any) -> None:
    """Nothing but our one picture may be written: no file-output nodes, no strips, no stamps with paths in them."""
    for each in bpy.data.scenes:
        each.render.use_sequencer = False
        each.render.filepath = "/tmp/"
        if each.use_nodes and each.node_tree:
            remove_output_nodes(each.node_tree, set())
    scene.render.use_stamp = False
    for name in ("use_stamp_filename", "use_stamp_hostname", "use_stamp_memory"):
        setattr(scene.render, name, False)


def remove_output_nodes(tree: Any, seen: set[str]) -> None:
    if tree.name_full in seen:
        return
    seen.add(tree.name_full)
    for node in list(tree.nodes):
        if node.bl_idname == "CompositorNodeOutputFile":
            tree.nodes.remove(node)
        elif getattr(node, "node_tree", None):
            remove_output_nodes(node.node_tree, seen)


def choose_camera(scene: Any, name: str | None) -> None:
    """The named camera, or the scene's own. Raises NO_CAMERA, naming those there are."""
    cameras = {thing.name: thing for thing in scene.objects if thing.type == "CAMERA"}
    if name is not None:
        if name not in cameras:
            listed = ", ".join(sorted(cameras)[:20]) or "none"
            raise SceneError("NO_CAMERA", f"the scene has no camera named {name!r}; its cameras: {listed}")
        scene.camera = cameras[name]
        for marker in scene.timeline_markers:
            marker.camera = None
    if scene.camera is None:
        raise SceneError("NO_CAMERA", "the scene has no active camera: set one, or name one in the settings"
                         + (f" (there are {', '.join(sorted(cameras)[:20])})" if cameras else ""))


def picture_of(scene: Any) -> dict[str, Any]:
    """What a frame will be, as the result announces it."""
    cycles = scene.render.engine == "CYCLES"
    return {"width": scene.render.resolution_x, "height": scene.render.resolution_y,
            "samples": scene.cycles.samples if cycles else scene.eevee.taa_render_samples,
            "engine": "cycles" if cycles else "eevee", "output_format": own_format(scene)}


def render(events: Any, frame: int, folder: str, tile: dict[str, int] | None = None) -> dict[str, Any]:
    """Renders one frame, or a tile of it, to `folder` under a `.part` name; the parent renames it once it is whole."""
    if not -LAST_FRAME <= frame <= LAST_FRAME:
        raise SceneError("NO_SUCH_FRAME", f"frame {frame} is outside Blender's range of +-{LAST_FRAME}")
    scene = bpy.context.scene
    extension = FORMATS[own_format(scene)][1]
    path = os.path.join(folder, f"frame_{frame:04d}.part{extension}")
    started = time.monotonic()
    box = None if tile is None else tile_box(scene, tile)
    if box is not None:
        child_tiles.set_border(scene, box)
    bpy.app.handlers.render_stats[:] = [progress_sender(events, frame)]
    try:
        scene.frame_set(frame)
        scene.render.filepath = path
        bpy.ops.render.render(write_still=True, scene=scene.name)
    except RuntimeError as error:
        raise render_error(str(error)) from None
    finally:
        forget_handlers()
        child_tiles.clear_border(scene)
    if not os.path.exists(path):
        raise SceneError("CRASHED", "Blender ended the frame without writing a picture")
    if box is not None and child_tiles.is_cut_afterwards(scene):
        cut_out(path, box)
    return {"event": "frame", "frame": frame, "file": os.path.basename(path), "seconds": time.monotonic() - started,
            "device": Loaded.device, "fell_back": Loaded.fell_back}


def tile_box(scene: Any, tile: dict[str, int]) -> child_tiles.Box:
    """A tile's pixels. Raises TILES_UNSUPPORTED where it could not be exactly what the whole picture has there."""
    found = child_tiles.obstacles(scene) + (["JPEG"] if own_format(scene) == "JPEG" else [])
    if found:
        raise SceneError("TILES_UNSUPPORTED", f"a picture with {', '.join(found)} can't be rendered in tiles")
    return child_tiles.box_of(tile, scene.render.resolution_x, scene.render.resolution_y)


def cut_out(path: str, box: child_tiles.Box) -> None:
    try:
        child_tiles.cut_out(path, box)
    except (OSError, ImportError) as error:
        raise SceneError("ENGINE_UNSUPPORTED", f"this Blender can't cut a tile out: {error}") from None


def render_error(text: str) -> SceneError:
    """Sorts Blender's own words for what went wrong."""
    lowered = text.lower()
    message = text.strip()[:500]
    if any(word in lowered for word in ("camera", "no cameras")):
        return SceneError("NO_CAMERA", message)
    if "out of memory" in lowered or "malloc" in lowered:
        return SceneError("OUT_OF_MEMORY", message)
    if any(word in lowered for word in ("cuda", "optix", "hip", "oneapi", "gpu")):
        return SceneError("GPU_ERROR", message)
    if "writ" in lowered or "file" in lowered:
        return SceneError("OUTPUT_LIMIT", message)
    return SceneError("CRASHED", message)


def progress_sender(events: Any, frame: int) -> Any:
    """A render_stats handler that tells the share of samples done, a few times a second at most."""
    last = [time.monotonic()]

    def tell(stats: str, *_: object) -> None:
        now = time.monotonic()
        if now - last[0] < PROGRESS_GAP_SECONDS:
            return
        last[0] = now
        found = SAMPLE.search(stats) if isinstance(stats, str) else None
        events.send("progress", frame=frame, progress=int(found[1]) / max(1, int(found[2])) if found else 0.0)

    return tell


def forget_handlers() -> None:
    for name in dir(bpy.app.handlers):
        handlers = getattr(bpy.app.handlers, name)
        if isinstance(handlers, list):
            handlers.clear()


def inspect(events: Any, path: str) -> dict[str, Any]:
    """The report of PROTOCOL.md section 7, without rendering anything."""
    forget_handlers()
    open_scene(path)
    scene = bpy.context.scene
    imported = not path.lower().endswith(".blend")
    added = child_imports.add_camera_and_light(bpy, scene) if imported else []
    report = child_report.inspect(bpy, imported, own_format(scene), added)
    return {"event": "inspected", "report": report | own_colors(scene.render.image_settings)}


def join(events: Any, folder: str, frames: int, settings: dict[str, Any], target: str) -> dict[str, Any]:
    """Joins the pictures of `folder` to a film in `target`."""
    forget_handlers()
    started = time.monotonic()

    def tell(share: float) -> None:
        events.send("progress", progress=share)

    try:
        path = child_film.join(folder, frames, settings, target, tell)
    except RuntimeError as error:
        raise render_error(str(error)) from None
    finally:
        forget_handlers()
    return {"event": "joined", "file": os.path.basename(path), "seconds": time.monotonic() - started}


COMMANDS = {"probe": probe, "load": load, "render": render, "inspect": inspect, "join": join}
