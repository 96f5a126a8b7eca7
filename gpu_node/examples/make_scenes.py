"""Makes the project's own example scenes with bpy: `python gpu_node/examples/make_scenes.py FOLDER [name …]`.

studio.blend: a still worth looking at. turntable.blend: frames 1-120 that render fast. no_camera.blend,
textured_missing.blend and scripted.blend: what a marketplace meets in the wild. Needs only bpy.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import bpy

Colour = tuple[float, float, float, float]


def empty_scene(width: int, height: int, samples: int) -> Any:
    """A new file with nothing in it but Cycles settings. Returns the scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.cycles.samples = samples
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.render.image_settings.file_format = "PNG"
    return scene


def material(name: str, colour: Colour, roughness: float = 0.5, metallic: float = 0.0, glass: float = 0.0,
             coat: float = 0.4) -> Any:
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    shader = next(node for node in made.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = colour
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    shader.inputs["Transmission Weight"].default_value = glass
    shader.inputs["Coat Weight"].default_value = 0.0 if glass or metallic else coat
    return made


def dress(thing: Any, cloth: Any, smooth: bool = True) -> Any:
    thing.data.materials.append(cloth)
    for polygon in thing.data.polygons:
        polygon.use_smooth = smooth
    return thing


def soften(thing: Any, width: float) -> Any:
    bevel = thing.modifiers.new("Bevel", "BEVEL")
    bevel.width, bevel.segments = width, 4
    return thing


def add_world(scene: Any, colour: Colour, strength: float) -> None:
    world = bpy.data.worlds.new("World")
    world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = colour
    background.inputs["Strength"].default_value = strength
    scene.world = world


def add_camera(scene: Any, place: tuple[float, float, float], target: tuple[float, float, float], lens: float) -> Any:
    bpy.ops.object.camera_add(location=place)
    camera = bpy.context.object
    camera.name = "Camera"
    camera.data.lens = lens
    aim(camera, target)
    scene.camera = camera
    return camera


def aim(thing: Any, target: tuple[float, float, float]) -> None:
    """Turns a camera or lamp so that it looks at a point."""
    away = [thing.location[axis] - target[axis] for axis in range(3)]
    thing.rotation_euler = (math.acos(away[2] / math.hypot(*away)), 0.0, math.atan2(away[0], -away[1]) + 0.0)


def add_area(place: tuple[float, float, float], size: float, watts: float, colour: tuple[float, float, float]) -> None:
    bpy.ops.object.light_add(type="AREA", location=place)
    lamp = bpy.context.object
    lamp.data.size, lamp.data.energy, lamp.data.color = size, watts, colour
    aim(lamp, (0.0, 0.0, 0.6))


def add_backdrop() -> None:
    """A floor that curves up into a wall, as in a photographer's studio."""
    profile = [(-9.0, 0.0), (2.5, 0.0)]
    profile += [(2.5 + 3 * math.sin(step * math.pi / 24), 3 - 3 * math.cos(step * math.pi / 24)) for step in range(1, 13)]
    profile.append((5.5, 12.0))
    points = [(x, y, z) for y, z in profile for x in (-20.0, 20.0)]
    faces = [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(len(profile) - 1)]
    mesh = bpy.data.meshes.new("Backdrop")
    mesh.from_pydata(points, [], faces)
    backdrop = bpy.data.objects.new("Backdrop", mesh)
    bpy.context.collection.objects.link(backdrop)
    dress(backdrop, material("Paper", (0.16, 0.22, 0.30, 1), 0.9, coat=0.0))


def studio(folder: Path) -> None:
    """Five shapes on a paper sweep: lacquer, gold, glass, rubber and steel."""
    scene = empty_scene(960, 540, 64)
    scene.cycles.use_denoising = scene.cycles.use_adaptive_sampling = True
    add_backdrop()
    add_world(scene, (0.05, 0.07, 0.10, 1), 0.6)
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.75, location=(-0.15, 0.5, 0.75), segments=64, ring_count=32)
    dress(bpy.context.object, material("Lacquer", (0.75, 0.04, 0.03, 1), 0.12))
    bpy.ops.mesh.primitive_torus_add(major_radius=0.5, minor_radius=0.19, location=(1.35, -0.35, 0.19),
                                     major_segments=96, minor_segments=32)
    dress(bpy.context.object, material("Gold", (1.0, 0.62, 0.18, 1), 0.18, 1.0))
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.42, location=(0.25, -1.05, 0.42), segments=64, ring_count=32)
    dress(bpy.context.object, material("Glass", (0.95, 1.0, 0.98, 1), 0.0, 0.0, 1.0))
    bpy.ops.mesh.primitive_cube_add(size=0.95, location=(-1.65, -0.15, 0.475), rotation=(0, 0, math.radians(28)))
    dress(soften(bpy.context.object, 0.08), material("Rubber", (0.02, 0.32, 0.36, 1), 0.35))
    bpy.ops.mesh.primitive_cone_add(radius1=0.5, depth=1.5, location=(1.75, 1.05, 0.75), vertices=96)
    dress(soften(bpy.context.object, 0.03), material("Steel", (0.8, 0.82, 0.86, 1), 0.25, 1.0))
    add_area((-4.0, -3.5, 4.5), 3.0, 420, (1.0, 0.92, 0.82))
    add_area((4.5, -1.5, 3.0), 2.0, 160, (0.75, 0.86, 1.0))
    add_area((0.5, 3.5, 5.0), 2.5, 220, (1.0, 0.97, 0.92))
    camera = add_camera(scene, (0.4, -6.4, 2.1), (0.0, 0.0, 0.55), 50)
    camera.data.dof.use_dof, camera.data.dof.focus_distance, camera.data.dof.aperture_fstop = True, 5.9, 4.0
    save(folder / "studio.blend")


def turntable(folder: Path) -> None:
    """A light animation: a block and a knob turning once in 120 frames."""
    scene = empty_scene(320, 180, 8)
    scene.frame_start, scene.frame_end = 1, 120
    add_world(scene, (0.6, 0.7, 0.85, 1), 0.5)
    bpy.ops.mesh.primitive_plane_add(size=14)
    dress(bpy.context.object, material("Floor", (0.35, 0.37, 0.40, 1), 0.6), smooth=False)
    bpy.ops.mesh.primitive_cube_add(size=1.5, location=(0, 0, 0.75))
    block = dress(soften(bpy.context.object, 0.1), material("Block", (0.8, 0.22, 0.05, 1), 0.3))
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.4, location=(1.3, 0, 0.4), segments=32, ring_count=16)
    knob = dress(bpy.context.object, material("Knob", (0.1, 0.3, 0.7, 1), 0.2))
    knob.parent = block
    knob.matrix_parent_inverse = block.matrix_world.inverted()
    spin(block, 1, 121)
    bpy.ops.object.light_add(type="SUN", location=(0, 0, 5), rotation=(math.radians(45), 0, math.radians(35)))
    bpy.context.object.data.energy = 3.0
    add_camera(scene, (4.5, -4.5, 3.2), (0.0, 0.0, 0.5), 45)
    save(folder / "turntable.blend")


def spin(thing: Any, first: int, last: int) -> None:
    thing.keyframe_insert("rotation_euler", index=2, frame=first)
    thing.rotation_euler[2] = math.tau
    thing.keyframe_insert("rotation_euler", index=2, frame=last)
    thing.rotation_euler[2] = 0.0
    for curve in thing.animation_data.action.fcurves:
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"


def small_scene() -> Any:
    """A cube, a lamp and a camera: the base of the awkward ones."""
    scene = empty_scene(64, 48, 4)
    add_world(scene, (0.7, 0.7, 0.7, 1), 1.0)
    bpy.ops.mesh.primitive_cube_add(size=2)
    dress(bpy.context.object, material("Grey", (0.5, 0.5, 0.5, 1)), smooth=False)
    bpy.ops.object.light_add(type="SUN", rotation=(0.6, 0.2, 0.4))
    add_camera(scene, (5.0, -5.0, 4.0), (0.0, 0.0, 0.0), 50)
    return scene


def no_camera(folder: Path) -> None:
    scene = small_scene()
    bpy.data.objects.remove(scene.camera)
    save(folder / "no_camera.blend")


def textured_missing(folder: Path) -> None:
    """Its texture was left behind on somebody's disk."""
    small_scene()
    cloth = bpy.data.materials["Grey"]
    image = bpy.data.images.new("wood", 8, 8)
    image.source = "FILE"
    image.filepath = "//textures/wood.png"
    node = cloth.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    shader = next(each for each in cloth.node_tree.nodes if each.type == "BSDF_PRINCIPLED")
    cloth.node_tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    save(folder / "textured_missing.blend")


def scripted(folder: Path) -> None:
    """Everything a hostile scene tries: a script that registers, a driver in Python, writes to other places."""
    scene = small_scene()
    mark = str(folder.resolve() / "PWNED")
    text = bpy.data.texts.new("escape.py")
    text.write(f"open({mark + '_script'!r}, 'w').write('x')\n")
    text.use_module = True
    driver = bpy.data.objects["Cube"].driver_add("location", 0).driver
    driver.type = "SCRIPTED"
    driver.expression = f"(open({mark + '_driver'!r}, 'w').write('x'), 0.0)[1]"
    scene.use_nodes = True
    output = scene.node_tree.nodes.new("CompositorNodeOutputFile")
    output.base_path = str(folder.resolve())
    output.file_slots[0].path = "PWNED_node_"
    layers = next(node for node in scene.node_tree.nodes if node.type == "R_LAYERS")
    scene.node_tree.links.new(layers.outputs["Image"], output.inputs[0])
    scene.render.filepath = "//../PWNED_path_"
    save(folder / "scripted.blend")


def save(path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)


SCENES = {"studio": studio, "turntable": turntable, "no_camera": no_camera, "textured_missing": textured_missing,
          "scripted": scripted}


def main() -> NoReturn:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or SCENES:
        SCENES[name](folder)
        print(folder / f"{name}.blend")
    sys.stdout.flush()
    # Blender may hang while the interpreter takes it down; the files are written, so leave at once.
    os._exit(0)


if __name__ == "__main__":
    main()
