"""The riskiest real thing: real scenes through real processes: gunicorn, Celery, Valkey, PostgreSQL, the SVM, Blender."""

import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from PIL import Image

from tests.e2e.artist import Artist
from tests.e2e.conftest import NODE_PYTHON, running_stack

SIZE = {"resolution": {"width": 64, "height": 48}, "samples": 2}
SAVE = "bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1])"
TEXTURE = """
image = bpy.data.images.new('oak', 4, 4); image.source = 'FILE'; image.filepath = '//textures/oak.png'
material = bpy.data.objects['Cube'].active_material; material.use_nodes = True
node = material.node_tree.nodes.new('ShaderNodeTexImage'); node.image = image
material.node_tree.links.new(node.outputs[0], material.node_tree.nodes['Principled BSDF'].inputs[0])
"""


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_stack(tmp_path_factory.mktemp("stack"), NODES="2") as found:
        yield found


@pytest.fixture
def artist(endpoints: dict[str, str]) -> Artist:
    return Artist(endpoints)


def blend(path: Path, change: str) -> bytes:
    """Blender's start scene with a change, saved by Blender."""
    command = [str(NODE_PYTHON), "-c", f"import bpy, sys\n{change}\n{SAVE}", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path.read_bytes()


def buy(artist: Artist, scene: bytes, settings: dict, name: str = "scene.blend") -> dict:
    payment = artist.quote(scene, settings, name)
    artist.announce(payment, artist.send_money(payment))
    job = artist.wait(payment["jobId"])
    assert job["status"] == "completed", job
    return payment


def assert_is_a_picture(image: Image.Image) -> None:
    assert image.size == (64, 48)
    low, high = image.convert("L").getextrema()
    assert high - low > 20, "the picture is of one colour"


def test_a_real_blend_is_paid_rendered_and_downloaded(artist: Artist, cube: bytes) -> None:
    payment = buy(artist, cube, SIZE)
    assert_is_a_picture(artist.picture(payment["jobId"], 1))


def test_an_animation_is_spread_over_nodes_and_comes_as_a_zip(artist: Artist, cube: bytes, endpoints: dict[str, str]) -> None:
    settings = {"resolution": {"width": 256, "height": 192}, "samples": 32, "frames": {"start": 1, "end": 12}}
    payment = buy(artist, cube, settings)
    archive = zipfile.ZipFile(io.BytesIO(artist.call("GET", f"/render/{payment['jobId']}/result").content))
    assert archive.namelist() == [f"frame_{frame:04d}.png" for frame in range(1, 13)]
    assert Image.open(io.BytesIO(archive.read("frame_0007.png"))).size == (256, 192)
    with psycopg.connect(endpoints["database_url"]) as connection:
        query = """SELECT count(DISTINCT a.node_id) FROM attempts a JOIN work_units u ON u.id = a.unit_id
                   WHERE u.job_id = %s AND u.kind = 'frame' AND a.state = 'completed'"""
        assert connection.execute(query, [payment["jobId"]]).fetchone() == (2,)


@pytest.mark.parametrize(
    ("kind", "magic"), [("JPEG", b"\xff\xd8\xff"), ("PNG", b"\x89PNG"), ("EXR", b"\x76\x2f\x31\x01")]
)
def test_the_asked_format_is_what_comes(artist: Artist, cube: bytes, kind: str, magic: bytes) -> None:
    payment = buy(artist, cube, {**SIZE, "outputFormat": kind})
    answer = artist.call("GET", f"/render/{payment['jobId']}/result")
    assert answer.content.startswith(magic)
    if kind != "EXR":
        assert_is_a_picture(Image.open(io.BytesIO(answer.content)))


def test_a_missing_texture_is_named_in_the_quote(artist: Artist, tmp_path: Path) -> None:
    payment = artist.quote(blend(tmp_path / "texture.blend", TEXTURE), SIZE)
    assert any("oak.png" in warning for warning in payment["warnings"]), payment
    job = artist.call("GET", f"/render/{payment['jobId']}").json()["data"]
    assert job["warnings"] == payment["warnings"]


def test_a_scene_without_a_camera_is_refused(artist: Artist, tmp_path: Path) -> None:
    scene = blend(tmp_path / "blind.blend", "bpy.data.objects.remove(bpy.data.objects['Camera'])")
    form = {"clientWallet": artist.wallet.address, "settings": json.dumps(SIZE)}
    answer = artist.call("POST", "/render", data=form, files={"file": ("blind.blend", scene)})
    assert (answer.status_code, answer.json()["success"]) == (400, False)
    assert "camera" in answer.json()["error"]
