"""Pictures joined to a film by Blender's own sequencer and FFmpeg. Runs inside the sandbox; no scene of anybody's is open."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import bpy

PICTURE = "{:06d}.png"
CHANNEL = 1
RATE_MOST = 32767  # render.fps


def join(folder: str, frames: int, settings: dict[str, Any], target: str, tell: Callable[[float], None]) -> str:
    """Writes `frames` pictures, named 000001.png and so on, as H.264 in an MP4, their colours as they are; the file's path."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = settings["width"], settings["height"], 100
    render.fps, render.fps_base = rate_of(float(settings["fps"]))
    scene.frame_start, scene.frame_end, scene.frame_step = 1, frames, 1
    render.use_sequencer, render.use_compositing, render.use_stamp = True, False, False
    show_as_it_is(scene)
    lay_out(scene, folder, frames)
    write_h264(render)
    render.filepath = os.path.join(target, "film.part.mp4")
    bpy.app.handlers.render_post[:] = [lambda *_: tell(scene.frame_current / frames)]
    bpy.ops.render.render(animation=True, scene=scene.name)
    found = glob.glob(os.path.join(target, "film.part*.mp4"))
    if len(found) != 1:
        raise RuntimeError("Blender ended without writing the film's file")
    return found[0]


def rate_of(fps: float) -> tuple[int, float]:
    """A whole rate and what it is divided by, whole too: Blender rounds the times of 12.5 as 13 by 1.04, but not as 25 by 2."""
    exact = Fraction(str(fps)).limit_denominator(max(1, int(RATE_MOST / (fps + 1))))
    return exact.numerator, float(exact.denominator)


def show_as_it_is(scene: Any) -> None:
    """What the pictures have is what the film has: they were given their look when they were rendered."""
    scene.display_settings.display_device = "sRGB"
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    scene.view_settings.exposure, scene.view_settings.gamma = 0.0, 1.0
    scene.sequencer_colorspace_settings.name = "sRGB"
    scene.render.dither_intensity = 0.0


def lay_out(scene: Any, folder: str, frames: int) -> None:
    """One strip of all pictures, one after the other."""
    editor = scene.sequence_editor_create()
    first = os.path.join(folder, PICTURE.format(1))
    strip = editor.strips.new_image(name="frames", filepath=first, channel=CHANNEL, frame_start=1, fit_method="ORIGINAL")
    for number in range(2, frames + 1):
        strip.elements.append(PICTURE.format(number))
    strip.frame_final_duration = frames
    strip.colorspace_settings.name = "sRGB"
    strip.alpha_mode = "STRAIGHT"


def write_h264(render: Any) -> None:
    render.image_settings.file_format = "FFMPEG"
    render.image_settings.color_mode = "RGB"
    film = render.ffmpeg
    film.format, film.codec, film.audio_codec = "MPEG4", "H264", "NONE"
    film.constant_rate_factor, film.ffmpeg_preset = "HIGH", "GOOD"
    film.use_autosplit = False
