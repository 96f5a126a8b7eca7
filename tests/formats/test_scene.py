"""Uploaded scenes: what is taken, what is refused and with which code, and how little memory that takes."""

import io
import random
import stat
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.formats.limits import MIB, SceneLimits, parse_version
from app.formats.scene import inspect_scene
from tests.formats import scene_bytes as made

LIMITS = SceneLimits(
    max_blender_version=(5, 0),
    max_uncompressed_bytes=16 * MIB,
    ratio_floor_bytes=2 * MIB,
    max_archive_entries=50,
)
REAL_SCENES = Path(__file__).parents[3] / "shared" / "scenes"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def inspect(data, name="a.blend", limits=LIMITS):
    return inspect_scene(io.BytesIO(data), name, limits)


def refusal(data, name="a.blend", limits=LIMITS):
    with pytest.raises(InvalidInput) as caught:
        inspect(data, name, limits)
    return caught.value.code


@pytest.mark.parametrize("name", made.SCENES)
def test_whole_scenes_are_taken(name, tmp_path):
    data = made.SCENES[name]
    facts = inspect(data, name)
    (tmp_path / name).write_bytes(data)
    assert inspect_scene(tmp_path / name, name, LIMITS) == facts
    if not name.endswith(".zip"):
        assert facts.format == Path(name).suffix


@pytest.mark.parametrize(
    "name",
    [
        "02_suzanne.blend",
        "03_animated_cube.blend",
        "04_lights.blend",
        "simpletest.blend",
        "suz.glb",
        "suz.obj",
    ],
)
def test_real_scenes_are_taken_and_refused_when_cut(name):
    if not (REAL_SCENES / name).exists():
        pytest.skip("the scenes made by others are not beside this checkout")
    data = (REAL_SCENES / name).read_bytes()
    facts = inspect(data, name)
    assert facts.blender_version in {None, "2.78", "3.6"}
    if not name.endswith(".obj"):  # a text of lines is whole wherever it ends
        assert refusal(data[: len(data) * 2 // 3], name) == "SCENE_TRUNCATED"
        assert refusal(data[:-1], name) == "SCENE_TRUNCATED"


@pytest.mark.parametrize(
    ("data", "version", "compressed"),
    [
        (made.blend(b"278"), "2.78", None),
        (made.blend(b"306", pointer=4), "3.6", None),
        (made.blend(b"250", order=">"), "2.50", None),
        (made.blend5(), "5.0", None),
        (made.packed_zstd(made.blend()), "4.5", "zstd"),
        (made.packed_gzip(made.blend(b"279")), "2.79", "gzip"),
        (made.packed_zstd(made.blend()[:50]) + made.packed_zstd(made.blend()[50:]), "4.5", "zstd"),
        (made.packed_gzip(made.blend()[:50]) + made.packed_gzip(made.blend()[50:]), "4.5", "gzip"),
    ],
)
def test_blend_files_of_all_ages(data, version, compressed):
    facts = inspect(data)
    assert (facts.blender_version, facts.compressed) == (version, compressed)


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.blend", b"", "SCENE_EMPTY"),
        ("a.zip", b"", "SCENE_EMPTY"),
        ("a.txt", b"hello", "SCENE_FORMAT_UNSUPPORTED"),
        ("blend", made.blend(), "SCENE_FORMAT_UNSUPPORTED"),
        ("a.blend", LFS_POINTER, "SCENE_LFS_POINTER"),
        ("a.glb", LFS_POINTER, "SCENE_LFS_POINTER"),
        ("a.zip", LFS_POINTER, "SCENE_LFS_POINTER"),
        ("a.blend", b"hello world, this is no scene", "SCENE_UNREADABLE"),
        ("a.blend", b"BLENDER-v4", "SCENE_TRUNCATED"),
        ("a.blend", made.blend(b"501"), "SCENE_TOO_NEW"),
        ("a.blend", made.blend5(b"0501"), "SCENE_TOO_NEW"),
        ("a.blend", made.packed_zstd(made.blend5(b"0600")), "SCENE_TOO_NEW"),
        ("a.blend", made.blend(blocks=[(b"DATA", b"x")]), "SCENE_UNREADABLE"),
        ("a.blend", made.blend(blocks=[(b"\0\xff\0\0", b"x")]), "SCENE_UNREADABLE"),
        ("a.blend", made.blend()[:-30], "SCENE_TRUNCATED"),
        ("a.blend", made.packed_zstd(made.blend())[:-9], "SCENE_TRUNCATED"),
        ("a.blend", made.packed_gzip(made.blend())[:-20], "SCENE_TRUNCATED"),
        ("a.blend", made.packed_zstd(b"not a scene" * 10), "SCENE_UNREADABLE"),
        ("a.blend", made.glb(), "SCENE_EXTENSION_MISMATCH"),
        ("a.glb", made.blend(), "SCENE_EXTENSION_MISMATCH"),
        ("a.obj", made.packed_zip([("a.obj", made.obj())]), "SCENE_EXTENSION_MISMATCH"),
        ("a.zip", made.blend(), "SCENE_EXTENSION_MISMATCH"),
        ("a.obj", made.packed_gzip(made.obj()), "SCENE_EXTENSION_MISMATCH"),
        ("a.gltf", made.glb(), "SCENE_EXTENSION_MISMATCH"),
        ("a.glb", made.glb()[:-4], "SCENE_TRUNCATED"),
        ("a.glb", b"glTF" + struct.pack("<II", 1, 40) + bytes(40), "SCENE_UNREADABLE"),
        ("a.glb", made.glb({"asset": {"version": "1.0"}, "meshes": [1]}), "SCENE_UNREADABLE"),
        ("a.glb", made.glb({"asset": {"version": "2.0"}}), "SCENE_UNREADABLE"),
        ("a.gltf", made.gltf()[:-3], "SCENE_TRUNCATED"),
        ("a.gltf", b"[" * 100_000, "SCENE_UNREADABLE"),
        ("a.gltf", b"[" * 3_000_000, "SCENE_UNREADABLE"),
        ("a.gltf", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "SCENE_UNREADABLE"),
        ("a.gltf", made.gltf(buffers=[{"uri": "a.bin"}]), "SCENE_FILES_MISSING"),
        ("a.gltf", made.gltf(buffers=[{"uri": "../../etc/passwd"}]), "SCENE_UNREADABLE"),
        ("a.gltf", made.gltf(images=[{"uri": "http://127.0.0.1/x.png"}]), "SCENE_UNREADABLE"),
        ("a.gltf", made.gltf(images=[{"uri": "%2e%2e/x.png"}]), "SCENE_UNREADABLE"),
        ("a.stl", made.stl()[:-1], "SCENE_TRUNCATED"),
        ("a.stl", made.stl(0), "SCENE_UNREADABLE"),
        ("a.stl", made.stl_text()[:-12], "SCENE_TRUNCATED"),
        ("a.stl", b"solid a\nendsolid a\n", "SCENE_UNREADABLE"),
        ("a.stl", b"short", "SCENE_UNREADABLE"),
        ("a.fbx", made.fbx()[:150], "SCENE_TRUNCATED"),
        ("a.fbx", made.fbx()[:10], "SCENE_TRUNCATED"),
        ("a.fbx", made.fbx(6100), "SCENE_UNREADABLE"),
        ("a.fbx", made.fbx(names=(b"Foo",)), "SCENE_UNREADABLE"),
        ("a.fbx", made.fbx_text()[:-4], "SCENE_TRUNCATED"),
        ("a.fbx", b"hello", "SCENE_UNREADABLE"),
        ("a.obj", b"v 0 0 0\n\0\0\0", "SCENE_UNREADABLE"),
        ("a.obj", b"hello world\n", "SCENE_UNREADABLE"),
        ("a\0.blend", made.blend(), "NAME_INVALID"),
        ("../../a.blend", made.blend(), "NAME_INVALID"),
    ],
)
def test_what_is_refused(name, data, code):
    assert refusal(data, name) == code


def test_messages_tell_what_to_do():
    with pytest.raises(InvalidInput, match="git lfs pull"):
        inspect(LFS_POINTER)
    with pytest.raises(InvalidInput, match=r"5\.1.*4\.5"):
        inspect(made.blend(b"501"), limits=SceneLimits())


def test_missing_pictures_and_materials_are_warnings():
    assert inspect(made.gltf(images=[{"uri": "wood%20a.png"}]), "a.gltf").warnings == (
        "missing file: wood a.png",
    )
    assert inspect(made.obj(b"mtllib a.mtl\n"), "a.obj").warnings == ("missing file: a.mtl",)
    assert inspect(made.gltf(buffers=[{"uri": "data:;base64,AAAA"}]), "a.gltf").warnings == ()


def test_a_blend_of_very_many_blocks_is_taken_with_a_warning():
    data = made.blend(blocks=[(b"DNA1", b"x")] + [(b"DATA", b"")] * 200)
    assert inspect(data).warnings == ()
    assert "first were checked" in inspect(data, limits=SceneLimits(max_blocks=100)).warnings[0]


@pytest.mark.parametrize(
    "packer",
    [lambda: zstandard.ZstdCompressor().compressobj(), lambda: zlib.compressobj(9, wbits=31)],
    ids=["zstd", "gzip"],
)
def test_compression_bombs_stop_early_in_little_memory(packer):
    big_block = struct.pack("<4si", b"DATA", 2**31 - 1) + bytes(16)
    packed = packer()
    data = packed.compress(made.blend(blocks=[])[:12] + big_block)
    data += b"".join(packed.compress(bytes(MIB)) for _ in range(200)) + packed.flush()
    tracemalloc.start()
    assert (
        refusal(data, limits=SceneLimits(ratio_floor_bytes=2 * MIB, max_uncompressed_bytes=64 * MIB))
        == "SCENE_BOMB"
    )
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


def test_what_hides_behind_the_end_of_a_packed_scene_is_counted_too():
    assert refusal(made.packed_zstd(made.blend() + bytes(17 * MIB))) == "SCENE_BOMB"


def test_a_zstd_window_that_would_eat_memory_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=28, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    assert refusal(packer.compress(made.blend()) + packer.flush()) == "SCENE_UNREADABLE"


# --- zips ---


def test_a_zip_gives_the_facts_of_its_scene():
    document = made.gltf(buffers=[{"uri": "data/a.bin"}], images=[{"uri": "gone.png"}])
    data = made.packed_zip(
        [
            ("x/a.gltf", document),
            ("x/data/a.bin", bytes(5000)),
            ("__MACOSX/x/._a.gltf", b"junk"),
            (".DS_Store", b"x"),
        ]
    )
    facts = inspect(data, "a.zip")
    assert (facts.format, facts.archive_member) == (".gltf", "x/a.gltf")
    assert facts.uncompressed_bytes == len(document) + 5000
    assert facts.warnings == ("missing file: gone.png",)


def with_entry(**attributes):
    """A zip with a scene and one entry that has something odd about it."""
    info = zipfile.ZipInfo(attributes.pop("name", "b.png"))
    for name, value in attributes.items():
        setattr(info, name, value)
    return made.packed_zip([("a.obj", made.obj()), (info, b"target")])


def encrypted():
    data = bytearray(made.packed_zip([("a.obj", made.obj())]))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    return bytes(data)


def twice():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return made.packed_zip([("a.obj", made.obj()), ("a.obj", made.obj())])


def overlong_directory():
    data = bytearray(made.packed_zip([("a.obj", made.obj())]))
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, 50 * MIB)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (made.packed_zip([("readme.txt", b"x")]), "SCENE_ARCHIVE_INVALID"),
        (made.packed_zip([("a.obj", made.obj()), ("b.glb", made.glb())]), "SCENE_ARCHIVE_INVALID"),
        (made.packed_zip([]), "SCENE_ARCHIVE_INVALID"),
        (with_entry(name="../b.png"), "NAME_INVALID"),
        (with_entry(name="/etc/passwd"), "NAME_INVALID"),
        (with_entry(name="C:/b.png"), "NAME_INVALID"),
        (with_entry(name="x\\..\\b.png"), "NAME_INVALID"),
        (with_entry(name="x//b.png"), "NAME_INVALID"),
        (with_entry(name="x/\u2024\u2024/b.png"), "NAME_INVALID"),
        (with_entry(name="b\u202egnp.exe"), "NAME_INVALID"),
        (with_entry(external_attr=(stat.S_IFLNK | 0o777) << 16), "SCENE_ARCHIVE_INVALID"),
        (with_entry(external_attr=(stat.S_IFCHR | 0o777) << 16), "SCENE_ARCHIVE_INVALID"),
        (with_entry(name="A.OBJ"), "SCENE_ARCHIVE_INVALID"),
        (with_entry(name="a.obj/b.png"), "SCENE_ARCHIVE_INVALID"),
        (with_entry(name="inner.zip"), "SCENE_ARCHIVE_INVALID"),
        (made.packed_zip([("a.obj", made.obj())], zipfile.ZIP_LZMA), "SCENE_ARCHIVE_INVALID"),
        (encrypted(), "SCENE_ARCHIVE_INVALID"),
        (twice(), "SCENE_ARCHIVE_INVALID"),
        (overlong_directory(), "SCENE_ARCHIVE_INVALID"),
        (
            made.packed_zip([("a.obj", made.obj())] + [(f"{n}.png", b"") for n in range(60)]),
            "SCENE_ARCHIVE_INVALID",
        ),
        (made.packed_zip([("a.obj", made.obj())])[:-30], "SCENE_TRUNCATED"),
        (made.packed_zip([("a.obj", made.obj()), ("z.bin", bytes(3 * MIB))]), "SCENE_BOMB"),
        (
            made.packed_zip([("a.obj", made.obj()), ("z.bin", random.Random(1).randbytes(MIB) * 17)]),
            "SCENE_BOMB",
        ),
        (made.packed_zip([("a.blend", made.packed_zstd(made.blend() + bytes(17 * MIB)))]), "SCENE_BOMB"),
        (made.packed_zip([("a.gltf", made.gltf(buffers=[{"uri": "a.bin"}]))]), "SCENE_FILES_MISSING"),
        (made.packed_zip([("a.blend", b"hello hello hello")]), "SCENE_UNREADABLE"),
        (b"hello hello hello", "SCENE_UNREADABLE"),
    ],
)
def test_zips_that_are_refused(data, code):
    assert refusal(data, "a.zip") == code


def test_sizes_that_a_zip_announces_are_not_believed():
    """The bomb claims a single byte; what comes out is counted."""
    data = bytearray(made.packed_zip([("a.obj", made.obj() + b"#" * 20 * MIB)]))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 1)
    assert refusal(bytes(data), "a.zip") in {"SCENE_BOMB", "SCENE_ARCHIVE_INVALID"}


# --- anything at all ---

MUTATION = st.tuples(
    st.sampled_from(["set", "cut", "insert", "remove", "copy"]),
    st.integers(0, 10_000),
    st.binary(min_size=1, max_size=12),
)


def mutate(data, mutations):
    for kind, place, noise in mutations:
        at = place % (len(data) + 1)
        match kind:
            case "set":
                data = data[:at] + noise + data[at + len(noise) :]
            case "cut":
                data = data[:at]
            case "insert":
                data = data[:at] + noise + data[at:]
            case "remove":
                data = data[:at] + data[at + len(noise) :]
            case "copy":
                data = data[:at] + data[at : at + 64] + data[at:]
    return data


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(made.SCENES)), st.lists(MUTATION, min_size=1, max_size=4))
def test_damaged_scenes_are_taken_or_refused_in_bounded_memory(name, mutations):
    tracemalloc.start()
    try:
        facts = inspect(mutate(made.SCENES[name], mutations), name)
        assert facts.uncompressed_bytes <= LIMITS.max_uncompressed_bytes
    except InvalidInput as error:
        assert error.code != "INVALID_INPUT"
        assert error.message
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * MIB


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(made.SCENES)), st.binary(max_size=300))
def test_noise_behind_any_name_is_refused_or_taken(name, noise):
    try:
        inspect(noise, name)
    except InvalidInput as error:
        assert error.code.startswith("SCENE_") or error.code == "NAME_INVALID"


def test_versions_are_read_from_settings():
    assert parse_version("4.5") == (4, 5) == parse_version("4.5.15")
