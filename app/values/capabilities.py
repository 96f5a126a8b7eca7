"""What a node offers and what a unit asks for. Most names stand for themselves; `compute` covers some small kinds too, and what a
node with `inference` does is told by its machine's report."""

from collections.abc import Iterable, Mapping
from typing import Any

COVERED: dict[str, tuple[str, ...]] = {"compute": ("echo", "cpu_benchmark")}
INFERENCE, CHAT = "inference", "chat"
IMAGES, VIDEO = "images", "video"
# What is made of text prompts: kinds of work of their own, on the queue and under the name of `inference`.
PROMPTED = (IMAGES, VIDEO)
OFFERS = "offers"  # in a machine's report; where it is missing, a node with `inference` answers chats and no more


def offered(names: Iterable[str]) -> list[str]:
    """The kinds of work that a node with these capabilities takes, in its own order, each once."""
    return list(dict.fromkeys(kind for name in names for kind in (name, *COVERED.get(name, ()))))


def fitting(kind: str) -> list[str]:
    """The capabilities of which a node needs one to take this kind of work."""
    return [kind, *(name for name, kinds in COVERED.items() if kind in kinds)]


def queue(name: str) -> str:
    """The name of the queue that is rung for a capability or a kind of work."""
    return INFERENCE if name in PROMPTED else name


def told(names: Iterable[str], machine: Mapping[str, Any]) -> list[str]:
    """The capabilities of a node that registers as `names`: of what `inference` may mean, those that its machine offers. What its
    model makes of prompts is taken from nowhere else, and without `chat` among the offers it is handed no chats."""
    plain = [name for name in dict.fromkeys(names) if name not in PROMPTED]
    return [kind for name in plain for kind in (of_inference(machine) if name == INFERENCE else [name])]


def of_inference(machine: Mapping[str, Any]) -> list[str]:
    """What `inference` means on this machine. A node may say anything: what is no list of known words offers chats alone."""
    said = machine.get(OFFERS)
    known = [word for word in (CHAT, *PROMPTED) if isinstance(said, list) and word in said]
    return [INFERENCE if word == CHAT else word for word in known] or [INFERENCE]


def asked(names: Iterable[str], has: Iterable[str]) -> list[str]:
    """The kinds of work for a node that has these capabilities and asks by these names."""
    names, has = list(names), list(has)
    prompted = [kind for kind in PROMPTED if kind in has and INFERENCE in names]
    return list(dict.fromkeys([*offered(name for name in names if name in has), *prompted]))
