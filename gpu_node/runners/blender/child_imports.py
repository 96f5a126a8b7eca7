"""Mesh files become scenes: imported into an empty one, with a camera that sees all of it and a sun. Inside the sandbox."""

from __future__ import annotations

import math
import os
from typing import Any

CAMERA_NAME = "Lightyard camera"
SUN_NAME = "Lightyard sun"
DEFAULT_SAMPLES = 64


def import_file(bpy: Any, path: str) -> None:
    """Imports by extension. Raises RuntimeError, as Blender's own operators do, when the file can't be read."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    extension = os.path.splitext(path)[1].lower()
    bpy.context.scene.render.engine = "CYCLES"
    bpy.context.scene.cycles.samples = DEFAULT_SAMPLES
    operators = {
        ".obj": bpy.ops.wm.obj_import,
        ".stl": bpy.ops.wm.stl_import,
        ".fbx": bpy.ops.import_scene.fbx,
        ".gltf": bpy.ops.import_scene.gltf,
        ".glb": bpy.ops.import_scene.gltf,
    }
    if extension not in operators:
        raise RuntimeError(f"{extension} is not a format this node imports")
    try:
        operators[extension](filepath=path)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RuntimeError(f"the importer failed: {type(error).__name__}: {error}") from error
    if not any(thing.type == "MESH" and thing.data.polygons for thing in bpy.data.objects):
        raise RuntimeError("nothing to render was found in the file")


def add_camera_and_light(bpy: Any, scene: Any) -> None:
    """Adds a fitted camera, a sun and a pale sky to an imported scene, each only when it brought none."""
    if not any(thing.type == "LIGHT" for thing in scene.objects):
        _add_sun(bpy, scene)
    if scene.world is None:
        _add_sky(bpy, scene)
    cameras = [thing for thing in scene.objects if thing.type == "CAMERA"]
    if scene.camera is None and cameras:
        scene.camera = cameras[0]
    if scene.camera is None:
        _add_camera(bpy, scene)


def _add_sun(bpy: Any, scene: Any) -> None:
    light = bpy.data.lights.new(SUN_NAME, "SUN")
    light.energy = 3.0
    light.angle = math.radians(3)
    sun = bpy.data.objects.new(SUN_NAME, light)
    sun.rotation_euler = (math.radians(45), math.radians(10), math.radians(30))
    scene.collection.objects.link(sun)


def _add_sky(bpy: Any, scene: Any) -> None:
    world = bpy.data.worlds.new("Lightyard sky")
    world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (0.75, 0.82, 0.9, 1.0)
    background.inputs["Strength"].default_value = 0.5
    scene.world = world


def _add_camera(bpy: Any, scene: Any) -> None:
    """A camera looking down at the scene from the front right, as near as shows every corner of its bounds."""
    camera = bpy.data.objects.new(CAMERA_NAME, bpy.data.cameras.new(CAMERA_NAME))
    scene.collection.objects.link(camera)
    camera.rotation_euler = (math.radians(63), 0.0, math.radians(38))
    scene.camera = camera
    bpy.context.view_layer.update()
    corners = _corners(bpy, scene)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    place, _ = camera.camera_fit_coords(depsgraph, [value for corner in corners for value in corner])
    centre = [sum(corner[axis] for corner in corners) / len(corners) for axis in range(3)]
    camera.location = [place[axis] + (place[axis] - centre[axis]) * 0.08 for axis in range(3)]
    distance = math.dist(camera.location, centre) or 1.0
    camera.data.clip_start, camera.data.clip_end = distance / 1000, distance * 10


def _corners(bpy: Any, scene: Any) -> list[tuple[float, ...]]:
    """World-space corners of the box around everything that has a surface."""
    corners = []
    for thing in scene.objects:
        if thing.type in ("MESH", "CURVE", "SURFACE", "META", "FONT"):
            matrix = thing.matrix_world
            for corner in thing.bound_box:
                corners.append(tuple(
                    sum(matrix[row][column] * corner[column] for column in range(3)) + matrix[row][3]
                    for row in range(3)
                ))
    return corners or [(-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)]
