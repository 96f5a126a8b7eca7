"""Taking turns: every side once, then every side again, so that a machine whose speed drifts is fair to all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How long to measure: `rounds` turns of each side; `quick` makes each turn small."""

    rounds: int = 5
    quick: bool = False

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def turns(self, full: int) -> int:
        """Turns of a measurement whose turns are long: at most `full`."""
        return min(self.rounds, full)


def take_turns(label: str, turns: int, sides: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Run each side `turns` times, A B A B; what each returned, in order, by its name."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    with tqdm(total=turns * len(sides), desc=label, unit="turn", leave=False) as bar:
        for _ in range(turns):
            for name, side in sides.items():
                bar.set_postfix_str(name)
                found[name].append(side())
                bar.update()
    return found
