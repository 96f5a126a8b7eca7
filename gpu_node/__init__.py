"""A GPU host's half of the marketplace. Installs alone; PROTOCOL.md says how it talks to the hub.

`celery -A gpu_node worker -Q render` finds the Celery app here; it is imported only when asked for, so that every other
part of this package stays cheap to import.
"""

from __future__ import annotations

from typing import Any

__version__ = "1.0.0"
AGENT_NAME = f"gpu_node/{__version__}"


def __getattr__(name: str) -> Any:
    if name in ("app", "celery"):
        from gpu_node.celery_app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
