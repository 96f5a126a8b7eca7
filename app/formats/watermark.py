"""Small, watermarked pictures for clients who have not paid yet: enough to see that a render is right, and no more.

A mark that is laid over a picture can be taken off again by whoever knows it: from pictures of black and of white, or from many
pictures with the same mark, its colour and its strength follow, and a division undoes it. So nothing is laid over here. Where the
mark is, the picture itself is gone: what is drawn there are large cells of its mean colour, bent by a curve that is no function
backwards (two tones become one), in few steps. To know the mark exactly helps nobody to what was below.

Where the marks are is drawn from a secret of the job, the same for all its frames: a point that does not move is below them in
every frame, and no frame fills the gap of another. How the marks bend, their edges, and fine lines and grain between them are
each frame's own, so that no two frames' difference is the picture's alone.

What moves below the marks from frame to frame, or is rendered again in another job, may be pieced together from several previews
all the same: to a picture that is no larger than a preview. That is why they are small.
"""

import hashlib
import io
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from app.errors import TooLarge

VERSION = 1
QUALITY = 75
LEAST_PIXELS = 16
ENOUGH_PIXELS = 2048  # of a side, to make any preview from
TEXT = "PREVIEW"
BACKGROUND = (72, 72, 72)
LEVELS_BITS = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """What a watermark is drawn from: the job's secret, and the frame."""

    secret: bytes
    frame: int

    def of_job(self) -> random.Random:
        return random.Random(hashlib.sha256(b"job:" + self.secret).digest())

    def of_frame(self) -> random.Random:
        return random.Random(hashlib.sha256(b"frame:" + self.secret + str(self.frame).encode()).digest())


def draw(path: Path, format: str, mark: Mark, most_pixels: int, max_pixels: int) -> bytes:
    """A JPEG of the picture at most half as large, and `most_pixels` long; TooLarge for one of more than `max_pixels`."""
    small = shrink(read(path, format, max_pixels), most_pixels)
    written = io.BytesIO()
    apply(small, mark).save(written, "JPEG", quality=QUALITY)
    return written.getvalue()


def read(path: Path, format: str, max_pixels: int) -> Image.Image:
    """Any accepted picture as 8-bit RGB, what is transparent on grey."""
    if format == "EXR":
        return _read_exr(path)
    with Image.open(path, formats=[format]) as opened:
        if opened.width * opened.height > max_pixels:
            raise TooLarge("this picture is too large for a preview")
        picture: Image.Image = opened
        if max(opened.size) >= 2 * ENOUGH_PIXELS and opened.mode in ("RGB", "RGBA", "L", "LA"):
            picture = opened.reduce(max(opened.size) // ENOUGH_PIXELS)  # before it is copied, which would take its memory twice
        if picture.mode.startswith("I"):  # 16 bits of grey
            return picture.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            over = picture.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", over.size, (*BACKGROUND, 255)), over).convert("RGB")
        return picture.convert("RGB")


def _read_exr(path: Path) -> Image.Image:
    """Linear light as a screen shows it; its size was checked when it was accepted."""
    import OpenEXR

    with OpenEXR.File(str(path)) as opened:
        channels: dict[str, Any] = opened.channels()
        pixels = channels[min(channels, key=_rank)].pixels
        step = max(1, max(pixels.shape) // ENOUGH_PIXELS)
        pixels = pixels[::step, ::step].astype("float32")
    pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
    pixels[pixels != pixels] = 0  # not a number
    shown = pixels.clip(0, 1) ** (1 / 2.2) * 255
    return Image.fromarray(shown.round().astype("uint8")).convert("RGB")


def _rank(channel: str) -> tuple[bool, bool, str]:
    """Colours come first, and among those of many layers the finished picture."""
    layer, _, name = channel.rpartition(".")
    return name not in ("RGB", "RGBA"), bool(layer) and not layer.endswith("Combined"), channel


def shrink(picture: Image.Image, most_pixels: int) -> Image.Image:
    longest = max(picture.size)
    wanted = min(most_pixels, max(longest // 2, LEAST_PIXELS))
    if wanted >= longest:
        return picture
    size = (max(1, picture.width * wanted // longest), max(1, picture.height * wanted // longest))
    return picture.resize(size, Image.Resampling.BOX if wanted * 4 < longest else Image.Resampling.LANCZOS)


def apply(small: Image.Image, mark: Mark) -> Image.Image:
    """The picture with its watermark; the same picture and mark give the same."""
    frame = mark.of_frame()
    core = _letters(small.size, mark.of_job())
    covered = ImageChops.lighter(core, _bent(core, frame))
    marked = Image.composite(_coarse(small, mark.of_job(), frame), small, covered)
    return _scratched(marked, frame)


def _letters(size: tuple[int, int], job: random.Random) -> Image.Image:
    """Where the marks are: rows of letters over all of the picture, aslant."""
    height = max(10, round(min(size) * job.uniform(0.17, 0.21)))
    font = ImageFont.load_default(height)
    stroke = max(1, height // 14)
    width = math.ceil(font.getlength(f"{TEXT} "))
    side = math.ceil(math.hypot(*size)) + 2 * height
    sheet = Image.new("L", (side, side))
    pen = ImageDraw.Draw(sheet)
    y = -job.uniform(0, height)
    while y < side:
        x = -job.uniform(0, width)
        while x < side:
            pen.text((x, y), TEXT, 255, font, stroke_width=stroke)
            x += width + stroke
        y += height * job.uniform(1.3, 1.45)
    turned = sheet.rotate(job.choice((-1, 1)) * job.uniform(18, 34), Image.Resampling.BICUBIC)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    return turned.crop((left, top, left + size[0], top + size[1]))


def _bent(mask: Image.Image, frame: random.Random) -> Image.Image:
    """The same marks with this frame's own edges: pulled a little this way and that, by a coarse net."""
    columns, rows, reach = 6, 5, max(1.5, min(mask.size) / 60)
    xs = [round(mask.width * index / columns) for index in range(columns + 1)]
    ys = [round(mask.height * index / rows) for index in range(rows + 1)]
    pull = {
        (x, y): (xs[x] + frame.uniform(-reach, reach), ys[y] + frame.uniform(-reach, reach))
        for x in range(columns + 1)
        for y in range(rows + 1)
    }
    net = [
        ((xs[x], ys[y], xs[x + 1], ys[y + 1]), (*pull[x, y], *pull[x, y + 1], *pull[x + 1, y + 1], *pull[x + 1, y]))
        for x in range(columns)
        for y in range(rows)
        if xs[x] < xs[x + 1] and ys[y] < ys[y + 1]
    ]
    return mask.transform(mask.size, Image.Transform.MESH, net, Image.Resampling.BILINEAR)


def _coarse(small: Image.Image, job: random.Random, frame: random.Random) -> Image.Image:
    """What is seen in the marks: cells of the mean colour, bent and in steps. The cells lie alike in all frames of the job, so
    that frames of one picture say no more than one."""
    cell = max(4, min(small.size) // 18)
    left, top = job.randrange(cell), job.randrange(cell)
    columns, rows = -(-(small.width + left) // cell), -(-(small.height + top) // cell)
    padded = Image.new("RGB", (columns * cell, rows * cell))
    padded.paste(small.resize(padded.size))  # what lies beyond the edge is of the picture, too
    padded.paste(small, (left, top))
    cells = ImageOps.posterize(padded.resize((columns, rows), Image.Resampling.BOX), LEVELS_BITS)
    tint = [frame.uniform(0.75, 1.0) for _ in range(3)]
    turns, phase = frame.uniform(1.1, 1.5), frame.uniform(0, math.tau)
    curve = [[_bend(value, strength, turns, phase) for value in range(256)] for strength in tint]
    drawn = cells.point([value for channel in curve for value in channel])
    return drawn.resize(padded.size, Image.Resampling.NEAREST).crop((left, top, left + small.width, top + small.height))


def _bend(value: int, strength: float, turns: float, phase: float) -> int:
    """Up and down again: two tones and more become one."""
    return round(strength * (127.5 + 127.5 * math.sin(math.tau * turns * value / 255 + phase)))


def _scratched(picture: Image.Image, frame: random.Random) -> Image.Image:
    """Fine lines that darken or lighten by what is below them, and grain, all of this frame alone."""
    lines = Image.new("L", picture.size)
    pen = ImageDraw.Draw(lines)
    for _ in range(14):
        ends = [(frame.uniform(0, picture.width), frame.uniform(0, picture.height)) for _ in range(2)]
        pen.line(ends, round(frame.uniform(90, 200)), 1)
    turned = ImageOps.solarize(ImageOps.invert(picture), round(frame.uniform(96, 160)))
    scratched = Image.composite(turned, picture, lines.filter(ImageFilter.SMOOTH))
    grain = Image.frombytes("L", picture.size, frame.randbytes(picture.width * picture.height))
    soft = grain.point([112 + value // 8 for value in range(256)])
    return ImageChops.soft_light(scratched, Image.merge("RGB", (soft,) * 3))
