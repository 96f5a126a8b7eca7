"""What nodes say of themselves is a stranger's word."""

from typing import Any

import pytest

from app.core.nodes import _largest_gpu_bytes


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
    assert _largest_gpu_bytes({"gpus": gpus}) == found
