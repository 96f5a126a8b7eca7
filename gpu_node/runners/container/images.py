"""The image that a container starts from: here already, or pulled from its registry within bounds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.utils import parse_repository_tag

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.container.engine import TROUBLES

log = logging.getLogger(__name__)

INVALID = "invalid reference"
UNKNOWN = ("manifest unknown", "not found", "no such image", "does not exist", "unauthorized", "denied", "name unknown",
           "name_unknown", INVALID, "short-name", "no matching manifest", "requested access")


def get(client: docker.APIClient, name: str, may_pull: bool, max_bytes: int, max_seconds: float,
        stopped: Callable[[], bool]) -> dict[str, Any]:
    """What the engine says of the image, which is here from now on. Raises WorkFailed or WorkStopped."""
    found = _find(client, name)
    if found is None:
        if not may_pull:
            raise _unknown(f"{name} is not on this host, which pulls none")
        _pull(client, name, max_seconds, stopped)
        found = _find(client, name)
        if found is None:
            raise _unknown(f"{name} could not be pulled")
    if (found.get("Size") or 0) > max_bytes:
        raise WorkFailed(FailureCode.IMAGE_TOO_LARGE, f"{name} has {found['Size']} bytes; this host takes {max_bytes}")
    return found


def _find(client: docker.APIClient, name: str) -> dict[str, Any] | None:
    try:
        return dict(client.inspect_image(name))
    except (ImageNotFound, NotFound):
        return None
    except APIError as error:
        if INVALID in str(error.explanation):
            raise _unknown(f"{name[:200]} is no image's name") from error
        raise


def _pull(client: docker.APIClient, name: str, max_seconds: float, stopped: Callable[[], bool]) -> None:
    repository, tag = parse_repository_tag(name)
    deadline = time.monotonic() + max_seconds
    log.info("pulling an image", extra={"image": name})
    try:
        for event in client.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if event.get("error"):
                raise failed(name, str(event["error"]))
            if stopped():
                raise WorkStopped("the work is not wanted any more")
            if time.monotonic() > deadline:
                raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"pulling {name} took longer than the {max_seconds:g} s allowed")
    except TROUBLES as trouble:
        raise failed(name, str(getattr(trouble, "explanation", None) or trouble)) from trouble


def failed(name: str, said: str) -> WorkFailed:
    """What an engine's word on a pull means: an image that nobody has, or a registry out of reach."""
    if any(word in said.lower() for word in UNKNOWN):
        return _unknown(f"{name} is unknown to its registry, or not public: {said[:300]}")
    return WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"{name} could not be pulled: {said[:300]}")


def _unknown(said: str) -> WorkFailed:
    return WorkFailed(FailureCode.IMAGE_NOT_FOUND, said)
