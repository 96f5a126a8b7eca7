"""Places by name."""

import pytest

from app.errors import InvalidInput
from app.values import locations


def test_one_form_for_a_place_and_all_that_it_lies_in() -> None:
    assert {locations.read(text) for text in ("us-east", " US East ", "us_east", "US.EAST", "us/east")} == {"us-east"}
    assert locations.around("us-east-1") == ["us", "us-east", "us-east-1"]


@pytest.mark.parametrize("text", ["", "-", "us-", "a" * 65, "é", "us'; --", "us%", "\0", "us east!"])
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        locations.read(text)
