from itertools import product

import pytest

from app.errors import Conflict
from app.values import states
from app.values.states import TRANSITIONS

PAIRS = [pair for kind in TRANSITIONS for pair in product(kind, kind)]


@pytest.mark.parametrize(("current", "wanted"), PAIRS, ids=lambda state: f"{type(state).__name__}.{state}")
def test_every_pair_is_allowed_or_refused_by_the_table(current, wanted) -> None:
    if wanted in TRANSITIONS[type(current)][current]:
        assert states.advance(current, wanted) is wanted
    else:
        with pytest.raises(Conflict):
            states.advance(current, wanted)


def test_every_state_has_its_row() -> None:
    for kind, table in TRANSITIONS.items():
        assert set(table) == set(kind)
