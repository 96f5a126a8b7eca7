"""What to do where a part of the real world is not on this machine."""

import os
from typing import NoReturn

import pytest


def go_without(reason: str) -> NoReturn:
    """Loud where somebody counts on it, a skip with its reason elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
