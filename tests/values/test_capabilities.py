"""What a node's names and its machine's offers come to."""

import uuid
from typing import Any

import pytest

from app.core.doorbells import queue_of
from app.values import broker_users, capabilities


@pytest.mark.parametrize(
    ("names", "machine", "found"),
    [
        (["render", "inference"], {}, ["render", "inference"]),
        (["inference"], {"offers": ["chat", "images"]}, ["inference", "images"]),
        (["inference", "render"], {"offers": ["video", "images"]}, ["images", "video", "render"]),
        (["inference"], {"offers": []}, ["inference"]),
        (["inference"], {"offers": "images"}, ["inference"]),
        (["inference"], {"offers": [["images"], {"video": 1}, None]}, ["inference"]),
        (["render", "images", "video"], {"offers": ["images"]}, ["render"]),
        (["render"], {"offers": ["images"]}, ["render"]),
    ],
)
def test_inference_is_what_the_machine_offers(names: list[str], machine: dict[str, Any], found: list[str]) -> None:
    assert capabilities.told(names, machine) == found


@pytest.mark.parametrize(
    ("names", "has", "kinds"),
    [
        (["inference"], ["inference", "images"], ["inference", "images"]),
        (["inference"], ["images", "video"], ["images", "video"]),
        (["images", "render"], ["images", "render"], ["images", "render"]),  # as the relay asks
        (["render"], ["render", "images"], ["render"]),
        (["compute"], ["compute"], ["compute", "echo", "cpu_benchmark"]),
        (["images", "video"], ["inference"], []),
    ],
)
def test_who_asks_for_inference_gets_what_it_offers(names: list[str], has: list[str], kinds: list[str]) -> None:
    assert capabilities.asked(names, has) == kinds


def test_prompts_have_the_queue_of_inference() -> None:
    owner = uuid.UUID(int=7)
    assert (queue_of("images", None, True), queue_of("video", owner, False)) == ("inference", f"inference.{owner}")
    assert broker_users.queues(owner, ["images", "render"]) == {"images": f"inference.{owner}", "render": f"render.{owner}"}
    assert broker_users.queues(None, ["video"]) == {"video": "inference"}
