"""What a node offers and what a unit asks for. Most names stand for themselves; `compute` covers some small kinds too."""

from collections.abc import Iterable

COVERED: dict[str, tuple[str, ...]] = {"compute": ("echo", "cpu_benchmark")}


def offered(names: Iterable[str]) -> list[str]:
    """The kinds of work that a node with these capabilities takes, in its own order, each once."""
    return list(dict.fromkeys(kind for name in names for kind in (name, *COVERED.get(name, ()))))


def fitting(kind: str) -> list[str]:
    """The capabilities of which a node needs one to take this kind of work."""
    return [kind, *(name for name, kinds in COVERED.items() if kind in kinds)]
