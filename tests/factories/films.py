"""MP4 files that say what they hold, made by hand: a film's index, without a picture that could be shown."""

import struct

SAMPLE = b"picture"


def film(frames: int, fps: int = 24, size: tuple[int, int] = (64, 48), codec: bytes = b"avc1", handler: bytes = b"vide") -> bytes:
    """So many pictures of so many bytes each, one after the other."""
    head = _box(b"ftyp", b"isom\0\0\0\0isom")
    data = _box(b"mdat", SAMPLE * frames)
    entry = _box(codec, bytes(24) + struct.pack(">HH", *size) + bytes(50))
    table = _box(
        b"stbl",
        _box(b"stsd", struct.pack(">II", 0, 1) + entry),
        _box(b"stts", struct.pack(">IIII", 0, 1, frames, 1)),
        _box(b"stsz", struct.pack(">III", 0, 0, frames) + struct.pack(">I", len(SAMPLE)) * frames),
        _box(b"stco", struct.pack(">III", 0, 1, len(head) + 8)),
    )
    media = _box(
        b"mdia",
        _box(b"mdhd", struct.pack(">IIIII", 0, 0, 0, fps, frames)),
        _box(b"hdlr", bytes(8) + handler + bytes(12)),
        _box(b"minf", table),
    )
    return head + data + _box(b"moov", _box(b"trak", media))


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body
