"""A real node of gpu_node, Celery worker, agent, claims and delivery, that paints a plain picture instead of starting Blender.

`celery -A bench.painting_node worker -Q render`, with the node's own environment. PAINTING_SECONDS: it waits so long before each
picture, as for a GPU; nothing by default.
"""

import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import gpu_node.agent
from bench.fake_node import tiny_picture
from gpu_node.config import NodeSettings
from gpu_node.runners.blender.runner import BlenderRunner, Host, Picture, Scene
from gpu_node.session import Limits

PAINTING_SECONDS = float(os.environ.get("PAINTING_SECONDS", "0"))


class PaintingRunner(BlenderRunner):
    """A slot's runner that renders at once, and starts no child."""

    def render(
        self,
        scene: Scene,
        settings: dict[str, Any],
        limits: Limits,
        frame: int,
        stopped: Callable[[], bool] = lambda: False,
        on_progress: Callable[[float], None] = lambda share: None,
        tile: dict[str, int] | None = None,
    ) -> Picture:
        time.sleep(PAINTING_SECONDS)  # what a host's CPU does while its GPU renders
        path = self._work_folder / f"{uuid.uuid4().hex}.png"
        path.write_bytes(tiny_picture())
        seconds = PAINTING_SECONDS + 0.001
        return Picture(path, seconds, seconds, "CPU", False, None, dict(settings))

    def prepare_spare(self) -> None:
        """There is no Blender to be kept warm."""


def find_host(_settings: NodeSettings) -> tuple[Host, str]:
    return Host(python=sys.executable, sandbox="none"), "4.5.15"


gpu_node.agent.BlenderRunner = PaintingRunner  # type: ignore[misc]
gpu_node.agent.find_host = find_host  # type: ignore[assignment]

from gpu_node.celery_app import app  # noqa: E402  the worker joins the hub with what was replaced above

__all__ = ["app"]
