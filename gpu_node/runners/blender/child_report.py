"""What a scene holds and what it lacks, without rendering it. Runs inside the sandbox."""

from __future__ import annotations

import os
from typing import Any

import child_tiles

MAX_NAMES = 100
MAX_CHARACTERS = 300
BYTES_PER_VERTEX = 600
BYTES_PER_PIXEL = 16
BASE_BYTES = 300 * 1024**2

opened_in = ""  # the folder of the scene, as this process sees it


def missing_files(bpy: Any) -> list[str]:
    """Textures, fonts, caches and libraries that the scene names and that are not here, as the scene names them."""
    here = bpy.utils.blend_paths(absolute=True, packed=False, local=False)
    named = bpy.utils.blend_paths(absolute=False, packed=False, local=False)
    found = {name for path, name in zip(here, named, strict=True) if not os.path.exists(path)}
    found.update(image.filepath for image in bpy.data.images if _is_missing(bpy, image))
    # Importers name files by where they looked for them on this host, which is nobody's business.
    return shorten(os.path.relpath(name, opened_in) if name.startswith(f"{opened_in}/") else name for name in found)


def shorten(names: Any) -> list[str]:
    """As many names, and as much of each, as a report may carry, in order. What is no UTF-8 is replaced."""
    clean = {str(name).encode("utf-8", "replace").decode("utf-8")[:MAX_CHARACTERS] for name in names}
    return sorted(clean)[:MAX_NAMES]


def sees_something(bpy: Any, scene: Any) -> bool:
    """Whether anything but lights and cameras takes part in the picture."""
    objects = [thing for thing in scene.objects if not thing.hide_render and thing.visible_get()]
    return any(thing.type not in ("CAMERA", "LIGHT", "LIGHT_PROBE", "SPEAKER", "LATTICE", "ARMATURE")
               and (thing.type != "EMPTY" or thing.instance_type == "COLLECTION") for thing in objects)


def _is_missing(bpy: Any, image: Any) -> bool:
    if image.source not in ("FILE", "MOVIE") or image.packed_file or not image.filepath:
        return False
    return not os.path.exists(bpy.path.abspath(image.filepath, library=image.library))


def preflight_warnings(bpy: Any) -> list[str]:
    """What a client should know before paying for a picture."""
    warnings = [f"missing file: {name}" for name in missing_files(bpy)]
    if scripts(bpy):
        warnings.append(f"scripts in the file are not run: {', '.join(scripts(bpy))}")
    if any(scene.sequence_editor and scene.sequence_editor.sequences_all for scene in bpy.data.scenes):
        warnings.append("the video sequencer's strips are not rendered: the picture is what the camera sees")
    if bpy.app.autoexec_fail:
        warnings.append(f"a driver or script was not run: {bpy.app.autoexec_fail_message}"[:300])
    if not any(layer.use for layer in bpy.context.scene.view_layers):
        warnings.insert(0, "every view layer is switched off for rendering: the picture will be black")
    if not sees_something(bpy, bpy.context.scene):
        warnings.insert(0, "nothing in the scene can be seen: the picture will show the background only")
    nodes = output_nodes(bpy)
    if nodes:
        warnings.append(f"{nodes} file output node(s) were removed: only the rendered picture is delivered")
    return warnings


def scripts(bpy: Any) -> list[str]:
    """Text blocks that ask to be run, and any text that is a Python module."""
    return shorten(text.name for text in bpy.data.texts if text.use_module or text.name.endswith(".py"))


def drivers(bpy: Any) -> int:
    """How many values in the file are computed by a driver, those inside materials' and worlds' nodes included."""
    count = 0
    for property in bpy.data.bl_rna.properties:
        if property.type != "COLLECTION":
            continue
        for block in getattr(bpy.data, property.identifier):
            for owner in (block, getattr(block, "node_tree", None)):
                animation = getattr(owner, "animation_data", None)
                count += len(animation.drivers) if animation else 0
    return count


def output_nodes(bpy: Any) -> int:
    trees = [scene.node_tree for scene in bpy.data.scenes if scene.use_nodes and scene.node_tree]
    trees += [group for group in bpy.data.node_groups if group.bl_idname == "CompositorNodeTree"]
    return sum(node.bl_idname == "CompositorNodeOutputFile" for tree in trees for node in tree.nodes)


def estimated_memory_bytes(bpy: Any, scene: Any) -> int:
    """A rough upper figure from vertices, textures and picture size; subdivision is counted by its level."""
    total = BASE_BYTES + scene.render.resolution_x * scene.render.resolution_y * BYTES_PER_PIXEL * 4
    for thing in scene.objects:
        if thing.type == "MESH":
            levels = sum(modifier.render_levels for modifier in thing.modifiers if modifier.type == "SUBSURF")
            total += len(thing.data.vertices) * 4 ** min(levels, 11) * BYTES_PER_VERTEX
    return total + sum(image.size[0] * image.size[1] * 4 for image in bpy.data.images)


def inspect(bpy: Any, imported: bool, output_format: str, added: list[str]) -> dict[str, Any]:
    """The report of PROTOCOL.md section 7. `added` says what was added to a mesh file so that it can be seen."""
    scene = bpy.context.scene
    render = scene.render
    cycles = render.engine == "CYCLES"
    warnings = preflight_warnings(bpy)
    if scene.camera is None:
        warnings.insert(0, "the scene has no active camera: set one, or name one in the settings")
    if render.engine not in ("CYCLES",) and "EEVEE" not in render.engine:
        warnings.append(f"the scene's engine {render.engine} is not offered: it is rendered with Cycles")
    warnings += added
    return {
        "cameras": shorten(thing.name for thing in scene.objects if thing.type == "CAMERA"),
        "active_camera": scene.camera.name[:MAX_CHARACTERS] if scene.camera else None,
        "frame_start": scene.frame_start,
        "frame_end": scene.frame_end,
        "fps": round(render.fps / render.fps_base, 4),
        "engine": "cycles" if cycles else "eevee" if "EEVEE" in render.engine else render.engine.lower(),
        "width": render.resolution_x * render.resolution_percentage // 100,
        "height": render.resolution_y * render.resolution_percentage // 100,
        "samples": scene.cycles.samples if cycles else scene.eevee.taa_render_samples,
        "output_format": output_format,
        "missing_files": missing_files(bpy),
        "libraries": shorten(library.filepath for library in bpy.data.libraries),
        "scripts": scripts(bpy),
        "drivers": drivers(bpy),
        "output_nodes": output_nodes(bpy),
        "blender_version": None if imported else ".".join(map(str, bpy.data.version)),
        "objects": len(scene.objects),
        "whole_picture_steps": child_tiles.whole_picture_steps(scene),
        "adaptive_from_samples": child_tiles.adaptive_from_samples(scene),
        "estimated_memory_bytes": estimated_memory_bytes(bpy, scene),
        "warnings": [warning[:MAX_CHARACTERS] for warning in warnings[:MAX_NAMES]],
    }
