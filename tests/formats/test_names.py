"""File names given by strangers."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.formats.names import NAME_LIMIT_BYTES, clean_file_name, clean_member_path, extension_of


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("scene.blend", "scene.blend"),
        ("/home/me/scene.blend", "scene.blend"),
        ("C:\\fakepath\\scene.blend", "scene.blend"),
        ("  scene.blend . ", "scene.blend"),
        (".hidden.blend", "hidden.blend"),
        ("Küche 2.blend", "Küche 2.blend"),
        ("場面.blend", "場面.blend"),
        ("a:b|c?.obj", "a_b_c_.obj"),
        ("con.blend", "_con.blend"),
        ("ｓｃｅｎｅ．ｂｌｅｎｄ", "scene.blend"),
        ("a..b.blend", "a..b.blend"),
    ],
)
def test_names_are_made_harmless(name, clean):
    assert clean_file_name(name) == clean


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../a.blend",
        "a/../b.blend",
        "..\\a.blend",
        "a\0.blend",
        "a\n.blend",
        "a\x7f.blend",
        "a\u202edneld.exe",
        "a\u200b.blend",
        "．．／a.blend",
        "\ud800.blend",
        "/",
        "...",
        "a" * 5000,
        None,
        3,
    ],
)
def test_names_with_tricks_are_refused(name):
    with pytest.raises(InvalidInput) as caught:
        clean_file_name(name)
    assert caught.value.code == "NAME_INVALID"


def test_long_names_keep_their_extension():
    clean = clean_file_name("ä" * 300 + ".blend")
    assert clean.endswith("ä.blend")
    assert len(clean.encode()) <= NAME_LIMIT_BYTES


@given(st.text(max_size=200))
def test_a_clean_name_is_plain_and_stays_as_it_is(name):
    try:
        clean = clean_file_name(name)
    except InvalidInput:
        return
    assert clean and not set(clean) & set('/\\\0<>:"|?*')
    assert clean not in {".", ".."} and not clean.startswith(".")
    assert all(unicodedata.category(char)[0] != "C" for char in clean)
    assert len(clean.encode()) <= NAME_LIMIT_BYTES
    assert clean_file_name(clean) == clean


@pytest.mark.parametrize("name", ["d" * 256 + "/scene.blend", "d/" + "ä" * 130 + ".blend"])
def test_a_member_that_no_disk_takes_is_refused(name):
    with pytest.raises(InvalidInput, match="longer than 255 bytes"):
        clean_member_path(name)


@given(st.text(alphabet="ab./\\:\u2024．／ ", max_size=20))
def test_a_clean_member_path_stays_inside(name):
    try:
        path = clean_member_path(name)
    except InvalidInput:
        return
    assert not path.startswith("/") and "\\" not in path
    assert not {"", ".", ".."} & set(path.rstrip("/").split("/"))


def test_extensions():
    assert [extension_of(name) for name in ("a.BLEND", "a", "a.b.glb", "a.")] == [".blend", "", ".glb", "."]
