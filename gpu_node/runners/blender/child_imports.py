"""Mesh files become scenes: imported into an empty one, with a camera that sees all of it and a sun. Inside the sandbox."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy

CAMERA_NAME = "Lightyard camera"
SUN_NAME = "Lightyard sun"
DEFAULT_SAMPLES = 64
CLAY = (0.5, 0.5, 0.5, 1.0)
PLAIN_GREYS = (0.8, 1.0)
MAX_FITTED_POINTS = 100_000
FITTED_MOMENTS = 5
SURFACES = ("MESH", "CURVE", "SURFACE", "META", "FONT")


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
    for mesh in bpy.data.meshes:
        _dress(bpy, mesh)


def _dress(bpy: Any, mesh: Any) -> None:
    """Clay for a mesh without material, and its vertex colours where nothing else gives it a colour."""
    colours = mesh.color_attributes.active_color
    if not any(mesh.materials):
        clay = bpy.data.materials.new("Lightyard clay")
        clay.use_nodes = True
        shader = _shader(clay)
        shader.inputs["Base Color"].default_value = CLAY
        mesh.materials.clear()
        mesh.materials.append(clay)
    elif colours is None or len({cloth.name for cloth in mesh.materials if cloth}) > 1 or not _is_plain(mesh.materials[0]):
        return
    if colours is not None:
        cloth = mesh.materials[0]
        source = cloth.node_tree.nodes.new("ShaderNodeVertexColor")
        source.layer_name = colours.name
        cloth.node_tree.links.new(source.outputs["Color"], _shader(cloth).inputs["Base Color"])


def _shader(cloth: Any) -> Any:
    return next((node for node in cloth.node_tree.nodes if node.type == "BSDF_PRINCIPLED"), None)


def _is_plain(cloth: Any) -> bool:
    """Whether a material is of the grey that exporters write when nobody chose a colour."""
    if cloth is None or not cloth.use_nodes or _shader(cloth) is None:
        return False
    base = _shader(cloth).inputs["Base Color"]
    return not base.is_linked and any(
        all(abs(channel - grey) < 0.01 for channel in base.default_value[:3]) for grey in PLAIN_GREYS)


def add_camera_and_light(bpy: Any, scene: Any) -> list[str]:
    """Adds a fitted camera, a sun and a pale sky to an imported scene, each only when it brought none. Says what it added."""
    added = []
    if not any(thing.type == "LIGHT" for thing in scene.objects):
        _add_sun(bpy, scene)
        added.append("the file has no light: a sun was added")
    if scene.world is None:
        _add_sky(bpy, scene)
    cameras = [thing for thing in scene.objects if thing.type == "CAMERA"]
    if scene.camera is None and cameras:
        scene.camera = cameras[0]
    if scene.camera is None:
        _add_camera(bpy, scene)
        added.append("the file has no camera: one that sees everything was added")
    return added


def _add_sun(bpy: Any, scene: Any) -> None:
    light = bpy.data.lights.new(SUN_NAME, "SUN")
    light.energy = 2.6
    light.angle = math.radians(5)
    sun = bpy.data.objects.new(SUN_NAME, light)
    sun.rotation_euler = (math.radians(48), 0.0, math.radians(-20))
    scene.collection.objects.link(sun)


def _add_sky(bpy: Any, scene: Any) -> None:
    world = bpy.data.worlds.new("Lightyard sky")
    world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (0.75, 0.82, 0.9, 1.0)
    background.inputs["Strength"].default_value = 0.4
    scene.world = world


def _add_camera(bpy: Any, scene: Any) -> None:
    """A camera looking down at the scene from the front right, as near as shows every corner of its bounds."""
    camera = bpy.data.objects.new(CAMERA_NAME, bpy.data.cameras.new(CAMERA_NAME))
    scene.collection.objects.link(camera)
    camera.rotation_euler = (math.radians(63), 0.0, math.radians(38))
    scene.camera = camera
    points = _points(bpy, scene)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    place, _ = camera.camera_fit_coords(depsgraph, points.ravel().tolist())
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    camera.location = [place[axis] + (place[axis] - centre[axis]) * 0.08 for axis in range(3)]
    distance = math.dist(camera.location, centre) or 1.0
    camera.data.clip_start, camera.data.clip_end = distance / 1000, distance * 10


def _points(bpy: Any, scene: Any) -> Any:
    """World-space points of everything that will be seen, at a few moments of its animation: an array of (n, 3)."""
    first, last = scene.frame_start, scene.frame_end
    moving = bool(bpy.data.actions) and last > first
    moments = range(first, last + 1, max(1, (last - first) // (FITTED_MOMENTS - 1))) if moving else [first]
    found = []
    for moment in moments:
        scene.frame_set(moment)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        seen = [thing for thing in scene.objects
                if thing.type in SURFACES and not thing.hide_render and thing.visible_get()]
        share = max(8, MAX_FITTED_POINTS // (len(moments) * max(1, len(seen))))
        found += [_points_of(thing.evaluated_get(depsgraph), share) for thing in seen]
    scene.frame_set(first)
    if not found:
        return numpy.array([(-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)])
    points = numpy.concatenate(found)
    return points[numpy.isfinite(points).all(axis=1)]


def _points_of(thing: Any, most: int) -> Any:
    """Some of a mesh's vertices, as many as `most`, and the corners of its bounds where it has no mesh."""
    count = len(thing.data.vertices) if thing.type == "MESH" else 0
    if count:
        local = numpy.empty(count * 3)
        thing.data.vertices.foreach_get("co", local)
        local = local.reshape(-1, 3)[:: -(-count // most)]
    else:
        local = numpy.array(thing.bound_box)
    matrix = numpy.array(thing.matrix_world)
    return local @ matrix[:3, :3].T + matrix[:3, 3]
