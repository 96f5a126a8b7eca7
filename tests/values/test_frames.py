"""The frame grammar, by example and by property."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.values.frames import FRAME_LIMIT, FrameSet, from_bounds, parse

FRAMES = st.sets(st.integers(-FRAME_LIMIT, FRAME_LIMIT), min_size=1, max_size=40)
CLOSE_FRAMES = st.sets(st.integers(-60, 60), min_size=1, max_size=80)


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("7", [7]),
        ("1,3,5-9:2", [1, 3, 5, 7, 9]),
        (" 3 , 1 - 2 ", [1, 2, 3]),
        ("5-9,7-11", [5, 6, 7, 8, 9, 10, 11]),
        ("-5--1", [-5, -4, -3, -2, -1]),
        ("-2-1", [-2, -1, 0, 1]),
        ("1-10:4", [1, 5, 9]),
        ("4-4", [4]),
        ("0007", [7]),
        ("\t1 - 9 : 4 ", [1, 5, 9]),
        ("-3--1:2,-3", [-3, -1]),
        (f"{FRAME_LIMIT}", [FRAME_LIMIT]),
    ],
)
def test_reads_the_grammar(text, frames):
    assert list(parse(text, 100)) == frames


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "1,",
        "1-",
        "-",
        "--1",
        "9-5",
        "1-9:0",
        "1-9:-2",
        "1-9:",
        "5:2",
        "1.5",
        "1e3",
        "a",
        "1;2",
        "1 2",
        "١",
        "１-３",
        "1–3",
        "−1",
        "- 1",
        "1\u00a0",
        "1-1000000000:1000000000",
        "1\n",
        "1\x00",
        "+1",
        str(FRAME_LIMIT + 1),
        f"-{FRAME_LIMIT + 1}",
        "9" * 40,
        "1," * 40_000,
    ],
)
def test_refuses_with_a_stable_code(text):
    with pytest.raises(InvalidInput) as caught:
        parse(text, 100)
    assert caught.value.code == "FRAMES_INVALID"


@pytest.mark.parametrize("text", ["1-101", "0-1048574", "1-60,50-120", ",".join(str(n) for n in range(101))])
def test_refuses_too_many_frames(text):
    with pytest.raises(InvalidInput) as caught:
        parse(text, 100)
    assert caught.value.code == "TOO_MANY_FRAMES"


def test_a_billion_frames_are_refused_without_counting_them_out():
    tracemalloc.start()
    for ask in (lambda: from_bounds(1, 10**9, 10_000), lambda: parse("1-1000000000", 10_000)):
        with pytest.raises(InvalidInput):
            ask()
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(("start", "end"), [(2, 1), (True, 2), (1.0, 2), ("1", 2), (1, None)])
def test_bounds_must_be_whole_and_in_order(start, end):
    with pytest.raises(InvalidInput):
        from_bounds(start, end, 100)


def test_bounds_include_both_ends():
    assert list(from_bounds(-1, 2, 4)) == [-1, 0, 1, 2]


@given(st.one_of(FRAMES, CLOSE_FRAMES))
def test_canonical_text_gives_the_same_frames(frames):
    wanted = FrameSet(tuple(sorted(frames)))
    again = parse(wanted.text, len(frames))
    assert again == wanted
    assert again.text == wanted.text


@given(
    st.lists(st.tuples(st.integers(-200, 200), st.integers(0, 30), st.integers(1, 7)), min_size=1, max_size=8)
)
def test_ranges_agree_with_python_ranges(parts):
    text = ", ".join(f"{start}-{start + length}:{step}" for start, length, step in parts)
    expected = sorted({n for start, length, step in parts for n in range(start, start + length + 1, step)})
    assert list(parse(text, len(expected))) == expected


@given(st.text(alphabet="0123456789-:, ٣x", max_size=30))
def test_any_text_is_read_or_refused(text):
    try:
        frames = parse(text, 50)
    except InvalidInput:
        return
    assert 1 <= len(frames) <= 50
    assert list(frames) == sorted(set(frames))
