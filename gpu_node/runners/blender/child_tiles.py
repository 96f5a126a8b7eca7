"""One part of a picture, exactly as the whole picture has it. Runs inside the sandbox.

Blender renders a border alone, and its random numbers hang on a pixel's place in the whole picture. What looks beyond a pixel
can't be done in parts, and is refused. 8-bit pictures are dithered by their own coordinates, so those are written whole, black
but for the border, and cut out afterwards.
"""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import bpy

Box = tuple[int, int, int, int]  # left, top, right, bottom: pixels from the upper left corner, the last two not within
PLAIN_NODES = frozenset({"R_LAYERS", "COMPOSITE", "VIEWER", "OUTPUT_FILE", "REROUTE", "FRAME"})
SECOND_LOOK_SAMPLES = 4
LOSSY = frozenset({"PXR24", "B44", "B44A", "DWAA", "DWAB"})  # ways to pack an EXR, by blocks that are a tile's own


def box_of(tile: dict[str, int], width: int, height: int) -> Box:
    """A tile's pixels, as PROTOCOL.md section 12 has them: columns from the left, rows from the top."""
    column, row, columns, rows = tile["column"], tile["row"], tile["columns"], tile["rows"]
    return (width * column // columns, height * row // rows, width * (column + 1) // columns, height * (row + 1) // rows)


def adaptive_from_samples(scene: Any) -> int | None:
    """Up to so many samples every pixel gets all of them; beyond, noise in one decides about its neighbours. None: always all.

    Source: Cycles, Integrator::get_adaptive_sampling.
    """
    cycles = scene.cycles
    if not cycles.use_adaptive_sampling:
        return None
    threshold = cycles.adaptive_threshold or max(0.001, 1.0 / max(1, cycles.samples))
    least = cycles.adaptive_min_samples or math.ceil(16.0 / threshold**0.3)
    return int(max(SECOND_LOOK_SAMPLES, least))


def whole_picture_steps(scene: Any) -> list[str]:
    """What this scene does to a picture that can't be done to a part by itself, a word each; `adaptive` whatever its samples."""
    render, cycles = scene.render, scene.cycles
    composited = (scene.use_nodes and render.use_compositing and scene.node_tree is not None
                  and any(node.type not in PLAIN_NODES for node in scene.node_tree.nodes))
    found = {
        "engine": render.engine != "CYCLES",
        "denoise": cycles.use_denoising,
        "adaptive": cycles.use_adaptive_sampling,
        "compositing": composited,
        "freestyle": render.use_freestyle,
        "guiding": cycles.use_guiding,
        "experimental": cycles.feature_set == "EXPERIMENTAL",
    }
    return [name for name, is_so in found.items() if is_so]


def obstacles(scene: Any) -> list[str]:
    """Those of them that a render with the scene's present settings would meet."""
    least = adaptive_from_samples(scene)
    harmless = {"adaptive"} if least is None or scene.cycles.samples <= least else set()
    return [name for name in whole_picture_steps(scene) if name not in harmless]


def is_cut_afterwards(scene: Any) -> bool:
    """Whether the picture is written whole: it is dithered."""
    image = scene.render.image_settings
    return image.file_format == "PNG" and image.color_depth == "8" and scene.render.dither_intensity > 0


def set_border(scene: Any, box: Box) -> None:
    """Have Blender render these pixels alone. It cuts fractions off, so the middle of a pixel stands for where it begins."""
    render = scene.render
    width, height = render.resolution_x, render.resolution_y
    left, top, right, bottom = box
    if render.image_settings.file_format == "OPEN_EXR" and render.image_settings.exr_codec in LOSSY:
        render.image_settings.exr_codec = "ZIP"
    render.use_border, render.use_crop_to_border = True, not is_cut_afterwards(scene)
    render.border_min_x, render.border_max_x = _share(left, width), _share(right, width)
    render.border_min_y, render.border_max_y = _share(height - bottom, height), _share(height - top, height)


def clear_border(scene: Any) -> None:
    scene.render.use_border = scene.render.use_crop_to_border = False


def _share(pixel: int, pixels: int) -> float:
    return 0.0 if pixel == 0 else 1.0 if pixel == pixels else (pixel + 0.5) / pixels


def cut_out(path: str, box: Box) -> None:
    """Leave these pixels of a PNG, each as it is."""
    oiio = _image_library()
    source = oiio.ImageSpec()
    source["oiio:UnassociatedAlpha"] = 1  # else colours would be multiplied by their alpha, and rounded
    file = oiio.ImageInput.open(path, source)
    if file is None:
        raise OSError(f"the picture can't be read: {oiio.geterror()}")
    spec, pixels = file.spec(), file.read_image(file.spec().format)
    file.close()
    left, top, right, bottom = box
    part = oiio.ImageSpec(right - left, bottom - top, spec.nchannels, spec.format)
    part["oiio:UnassociatedAlpha"] = 1
    cut = f"{path}.cut.png"
    output = oiio.ImageOutput.create(cut)
    if not (output.open(cut, part) and output.write_image(pixels[top:bottom, left:right].copy()) and output.close()):
        raise OSError(f"the tile can't be written: {output.geterror()}")
    os.replace(cut, path)


def _image_library() -> Any:
    """OpenImageIO, which Blender brings along; the wheel keeps it in a folder of its own."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = os.path.join(bpy.utils.resource_path("LOCAL"), "python", "lib", version, "site-packages")
    if folder not in sys.path:
        sys.path.append(folder)
    import OpenImageIO

    return OpenImageIO
