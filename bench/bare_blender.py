"""The baseline of the render figures: `python bare_blender.py SCENE FOLDER WIDTH HEIGHT SAMPLES FRAME [FRAME …]`.

One Blender process that opens a scene and renders frame after frame into files, as anybody would without a marketplace.
Needs only bpy.
"""

import os
import sys
from pathlib import Path

import bpy


def main() -> None:
    scene_file, folder, width, height, samples = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6])
    bpy.ops.wm.open_mainfile(filepath=scene_file, use_scripts=False, load_ui=False)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = samples
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_depth = "8"
    for frame in map(int, sys.argv[6:]):
        scene.frame_set(frame)
        scene.render.filepath = str(folder / f"frame_{frame:04d}.png")
        bpy.ops.render.render(write_still=True)
    sys.stdout.flush()
    # Blender may hang while the interpreter takes it down; the files are written, so leave at once.
    os._exit(0)


if __name__ == "__main__":
    main()
