"""What nodes say of themselves is a stranger's word."""

from typing import Any

import pytest

from app.core.nodes import _means


@pytest.mark.parametrize(
    ("gpus", "found"),
    [
        ([{"memory_total_bytes": 5}, {"memory_total_bytes": 7}, {}], 7),
        (None, None), (True, None), (1.5, None),
        ({"a": 1}, None), ("x", None), ([{"memory_total_bytes": True}], None), ([1, "x", None], None),
        ([{"memory_total_bytes": 2**70}, {"memory_total_bytes": "9"}, {"memory_total_bytes": -1}], None),
    ],
)
def test_the_largest_gpu_is_found_or_unknown(gpus: Any, found: int | None) -> None:
    assert _means({"gpus": gpus})["gpu_memory_bytes"] == found


@pytest.mark.parametrize(
    ("said", "found"), [(2**34, 2**34), ("lots", None), (True, None), (10**400, None), (-1, None), (1.5, None), ({}, None)]
)
def test_a_machines_memory_is_what_it_says_where_that_makes_sense(said: Any, found: int | None) -> None:
    assert _means({"memory_bytes": said})["memory_bytes"] == found
    assert _means({"engines": said})["engines"] is None
