"""The smallest files that are what they say, built by hand, for tests that then damage them."""

import gzip
import io
import json
import struct
import zipfile

import zstandard


def blend(version=b"405", pointer=8, order="<", blocks=((b"DATA", b"x" * 100), (b"DNA1", b"SDNA" * 10))):
    mark = (b"-" if pointer == 8 else b"_") + (b"v" if order == "<" else b"V")
    parts = [b"BLENDER" + mark + version]
    for code, body in (*blocks, (b"ENDB", b"")):
        parts.append(
            struct.pack(f"{order}4si", code, len(body))
            + bytes(pointer)
            + struct.pack(f"{order}ii", 0, 1)
            + body
        )
    return b"".join(parts)


def blend5(version=b"0500", blocks=((b"DATA", b"x" * 100), (b"DNA1", b"SDNA" * 10))):
    parts = [b"BLENDER17-01v" + version]
    for code, body in (*blocks, (b"ENDB", b"")):
        parts.append(struct.pack("<4siQqq", code, 0, 0, len(body), 1) + body)
    return b"".join(parts)


def gltf_document(**extra):
    return {"asset": {"version": "2.0"}, "meshes": [{"primitives": []}], **extra}


def gltf(**extra):
    return json.dumps(gltf_document(**extra)).encode()


def glb(document=None, binary=b"\0" * 16):
    text = json.dumps(document or gltf_document()).encode()
    text += b" " * (-len(text) % 4)
    body = (
        struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def stl(triangles=2, header=b"made by hand"):
    return header.ljust(80, b"\0") + struct.pack("<I", triangles) + bytes(50 * triangles)


def stl_text():
    corners = b"vertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\n"
    facet = b"facet normal 0 0 1\nouter loop\n" + corners + b"endloop\nendfacet\n"
    return b"solid a\n" + facet + b"endsolid a\n"


def fbx(version=7400, names=(b"FBXHeaderExtension", b"Objects", b"Connections")):
    head = struct.Struct("<QQQB" if version >= 7500 else "<IIIB")
    data = b"Kaydara FBX Binary  \x00\x1a\x00" + struct.pack("<I", version)
    for name in names:
        end = len(data) + head.size + len(name) + 20
        data += head.pack(end, 0, 0, len(name)) + name + bytes(20)
    return data + bytes(head.size) + bytes(160)


def fbx_text():
    return b"; FBX 7.4.0 project file\nFBXHeaderExtension:  {\n}\nObjects:  {\n Model: 1 { }\n}\n"


def obj(materials=b""):
    return materials + b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def packed_zstd(data):
    return zstandard.compress(data)


def packed_gzip(data):
    return gzip.compress(data)


def packed_zip(files, method=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return target.getvalue()


SCENES = {
    "a.blend": blend(),
    "b.blend": blend5(),
    "c.blend": packed_zstd(blend()),
    "d.blend": packed_gzip(blend()),
    "a.glb": glb(),
    "a.gltf": gltf(),
    "a.stl": stl(),
    "b.stl": stl_text(),
    "a.fbx": fbx(),
    "b.fbx": fbx(7700),
    "c.fbx": fbx_text(),
    "a.obj": obj(),
    "a.zip": packed_zip([("tour/a.obj", obj(b"mtllib a.mtl\n")), ("tour/a.mtl", b"newmtl a\n")]),
}
