"""What frames will take, from what was measured: the same settings, other ones, probes, and nothing at all."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.values.frame_times import GUESSED, MEASURED, PROBED, Load, Timing, expect, extra_seconds, load_of, start_seconds

HD = Load("cycles", 1920, 1080, 128)
SMALL = Load("cycles", 480, 270, 32)


@pytest.mark.parametrize(
    ("settings", "report", "load"),
    [
        ({}, None, HD),
        ({"quality": "low"}, {"samples": 4096, "width": 10, "height": 20}, Load("cycles", 10, 20, 32)),
        ({"samples": 7, "quality": "high", "engine": "Eevee"}, {"samples": 9}, Load("eevee", 1920, 1080, 7)),
        ({"width": True, "height": 0}, {"width": "x", "height": -4, "samples": None}, HD),
    ],
)
def test_what_is_not_asked_for_is_as_the_scene_has_it(settings: dict, report: dict | None, load: Load) -> None:
    assert load_of(settings, report) == load


def test_the_same_settings_count_most_then_others_of_the_engine_then_a_guess() -> None:
    same, other = Timing(HD, 40, 8.0, 0.5), Timing(SMALL, 5, 1.5, None)
    assert (expect([other, same], HD, 60).seconds, expect([same], HD, 60).basis) == (8.0, MEASURED)
    assert expect([], HD, 60).seconds == 60
    assert expect([replace(same, load=replace(HD, engine="eevee"))], HD, 60).basis == GUESSED
    near = expect([other], replace(SMALL, samples=SMALL.samples * 8), 60)  # half a second does not grow
    assert (near.seconds, near.basis) == (pytest.approx(0.5 + 8), MEASURED)
    line = expect([other, Timing(Load("cycles", 960, 540, 32), 5, 3.0, None)], HD, 60)
    assert line.seconds == pytest.approx(1.0 + 0.5 * 64)  # what both show together: a second, and half a second per part
    assert expect([replace(other, is_probe=True)], HD, 60).basis == PROBED


def test_a_tiny_picture_says_little_of_a_large_one() -> None:
    tiny = Load("cycles", 32, 24, 1)
    light = expect([Timing(tiny, 24, 1.1, 0.2)], Load("cycles", 160, 120, 32), 60)  # 800 times the work
    assert light.seconds < 2 and 6 < light.total_high(1) < 20
    assert expect([Timing(tiny, 24, 30.0, 0.2)], Load("cycles", 160, 120, 32), 60).seconds > 20_000, "a heavy one says a lot"
    assert expect([Timing(tiny, 24, 1.1, 0.2)], HD, 60).seconds > 60, "never less than a guess of its size"
    other, wanted = Timing(replace(tiny, samples=4), 6, 5.1, 0.2), Load("cycles", 320, 180, 64)
    for seconds in (5.1, 5.4):  # two that took about as long: their time does not hang on their size
        flat = expect([Timing(tiny, 6, seconds, 0.2), other], wanted, 60)
        assert 5 < flat.seconds < 7 and flat.total_high(6) > 6 * 40
    rising = expect([Timing(tiny, 6, 3.9, 0.2), other], wanted, 60)  # a quarter of a second for each sample more, far beyond
    assert rising.seconds == pytest.approx(3.5 + 0.4 * 1200 * 4) and rising.total_high(6) > 6 * rising.seconds * 7.9


def test_the_less_is_known_the_further_the_bound_is() -> None:
    def width(timing: Timing, wanted: Load = HD) -> float:
        found = expect([timing], wanted, 60)
        return found.total_high(100) / (found.seconds * 100)

    steady, wild = width(Timing(HD, 500, 8.0, 0.1)), width(Timing(HD, 500, 8.0, 8.0))
    once, probed = width(Timing(HD, 1, 8.0, None)), width(Timing(SMALL, 1, 8.0, None, is_probe=True))
    assert steady == 1.25 < wild < once < probed
    guess = expect([], HD, 60)
    assert (guess.total_low(10), guess.total_high(10)) == (75, 4800)


def test_tiles_and_a_video_take_more_than_their_frames() -> None:
    plain = {"width": 1920, "height": 1080}
    assert extra_seconds(plain, 100) == (0, 0)
    assert extra_seconds(plain | {"tiles": {"columns": 3, "rows": 2}}, 1) == (2.5, 10)
    expected, most = extra_seconds(plain | {"video": {"format": "MP4"}}, 100)
    assert 20 < expected < 25 and most == 4 * expected


# Real scenes on two cores of a CPU, the slowest of each size: seconds of the first frame, and of another one.
@pytest.mark.parametrize(
    ("load", "first", "next_one"),
    [(Load("cycles", 64, 64, 1), 1.2, 4.7), (Load("cycles", 480, 270, 16), 2.8, 5.1), (Load("cycles", 960, 540, 64), 23.6, 23.6)],
)
def test_a_first_render_is_within_its_bound_on_a_slow_host(load: Load, first: float, next_one: float) -> None:
    found, starting = expect([], load, 60), start_seconds(GUESSED, 1)[1]
    assert found.total_high(1) + starting > 2 * max(first, next_one)
    assert found.total_high(24) + starting > first + 23 * next_one
    assert found.total_low(1) < found.seconds < next_one


TIMINGS = st.lists(
    st.builds(
        Timing,
        st.builds(Load, st.just("cycles"), st.integers(1, 65_536), st.integers(1, 65_536), st.integers(1, 65_536)),
        st.integers(1, 10_000),
        st.floats(0.0, 3600),
        st.none() | st.floats(0, 3600),
        st.booleans(),
    ),
    max_size=5,
)


@given(TIMINGS, st.integers(1, 10_000))
def test_whatever_was_measured_low_is_below_expected_is_below_high(timings: list[Timing], frames: int) -> None:
    found = expect(timings, HD, 60)
    expected = found.seconds * frames
    assert 0 < found.total_low(frames) <= expected * 1.000001
    assert expected <= found.total_high(frames) < float("inf")
