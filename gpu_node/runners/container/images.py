"""The image that a container starts from: here already, or pulled from a public registry within bounds.

What this node pulled is kept for the next task, the least lately used going first; an image that its owner put here stays.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.auth import resolve_repository_name
from docker.errors import APIError, DockerException, ImageNotFound, InvalidRepository, NotFound
from docker.utils import parse_repository_tag

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.container.engine import TROUBLES
from gpu_node.runners.container.registries import check_public

log = logging.getLogger(__name__)

INVALID = "invalid reference"
UNKNOWN = ("manifest unknown", "not found", "no such image", "does not exist", "unauthorized", "denied", "name unknown",
           "name_unknown", INVALID, "short-name", "no matching manifest", "requested access")
RESERVE_BYTES = 1024**3
Stopped = Callable[[], bool]


@dataclass(frozen=True)
class ImageRules:
    """Bytes and seconds. `own_registries` are pulled from wherever they are, others only at public addresses."""

    may_pull: bool = True
    max_bytes: int = 32 * 1024**3
    kept_bytes: int = 64 * 1024**3
    pull_seconds: float = 900.0
    own_registries: tuple[str, ...] = ()


class Images:
    """Those of one node. `store` is where the engine keeps them, as far as this node can see it; `book` says what was pulled."""

    def __init__(self, rules: ImageRules, store: Path, book: Path) -> None:
        self._rules, self._store, self._book = rules, store, book
        self._lock = threading.Lock()

    def get(self, client: docker.APIClient, name: str, stopped: Stopped) -> dict[str, Any]:
        """What the engine says of the image, which is here from now on. Raises WorkFailed or WorkStopped."""
        found = _find(client, name)
        was_pulled = found is None
        if found is None:
            self._pull(client, name, stopped)
            found = _find(client, name)
            if found is None:
                raise _unknown(f"{name} could not be pulled")
        size = int(found.get("Size") or 0)
        self._note(client, name, size, was_pulled)
        if size > self._rules.max_bytes:
            raise WorkFailed(FailureCode.IMAGE_TOO_LARGE, f"{name} has {size} bytes; this host takes {self._rules.max_bytes}")
        return found

    def _pull(self, client: docker.APIClient, name: str, stopped: Stopped) -> None:
        rules = self._rules
        if not rules.may_pull:
            raise _unknown(f"{name} is not on this host, which pulls none")
        check_public(_registry(name), rules.own_registries)
        repository, tag = parse_repository_tag(name)
        if repository != repository.lower():  # engines don't agree on whether such a beginning names a host
            raise _unknown(f"{name[:200]} is no image's name: it has capitals")
        deadline, free_before = time.monotonic() + rules.pull_seconds, self._free_bytes()
        log.info("pulling an image", extra={"image": name})
        try:
            # No credentials: those of this host's owner are not for strangers' images.
            for event in client.pull(repository, tag=tag or "latest", stream=True, decode=True, auth_config={}):
                if event.get("error"):
                    raise failed(name, str(event["error"]))
                if stopped():
                    raise WorkStopped("the work is not wanted any more")
                if time.monotonic() > deadline:
                    raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"{name} took longer than {rules.pull_seconds:g} s to pull")
                free = self._free_bytes()
                if free_before - free > rules.max_bytes or free < RESERVE_BYTES:
                    raise WorkFailed(FailureCode.IMAGE_TOO_LARGE, f"{name} is larger than this host takes")
        except TROUBLES as trouble:
            raise failed(name, str(getattr(trouble, "explanation", None) or trouble)) from trouble

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._store).free

    def _note(self, client: docker.APIClient, name: str, size: int, was_pulled: bool) -> None:
        """Writes down what was pulled and when it was used, and lets go of what is too much."""
        with self._lock:
            book = self._read()
            if was_pulled or name in book:
                book.pop(name, None)
                book[name] = size  # the newest stands last
            for old in [*book][:-1]:
                if sum(book.values()) <= self._rules.kept_bytes:
                    break
                if _remove(client, old):
                    del book[old]
            self._book.parent.mkdir(parents=True, exist_ok=True)
            self._book.write_text(json.dumps(book))

    def _read(self) -> dict[str, int]:
        try:
            return {str(name): int(size) for name, size in json.loads(self._book.read_text()).items()}
        except (OSError, ValueError, AttributeError):
            return {}


def _find(client: docker.APIClient, name: str) -> dict[str, Any] | None:
    """The image of this name. An engine also finds one by its id, or a part of that: any image of the host's owner, perhaps."""
    try:
        found = dict(client.inspect_image(name))
        known = [one for kind in ("RepoTags", "RepoDigests") for one in found.get(kind) or () if "<none>" not in one]
        return found if _whole(name) in map(_whole, known) else None
    except InvalidRepository as error:
        raise _unknown(f"{name[:200]} is no image's name: {error}") from error
    except (ImageNotFound, NotFound):
        return None
    except APIError as error:
        if INVALID in str(error.explanation):
            raise _unknown(f"{name[:200]} is no image's name") from error
        raise


def _whole(name: str) -> str:
    """A name with the registry, and the tag or digest, that it means."""
    repository, tag = parse_repository_tag(name)
    if "@" in name:
        repository = parse_repository_tag(repository)[0]
    registry, path = resolve_repository_name(repository)
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return f"{registry}/{path.removeprefix('docker.io/')}:{tag or 'latest'}"


def _remove(client: docker.APIClient, name: str) -> bool:
    """False where a container still uses it."""
    try:
        client.remove_image(name)
    except (ImageNotFound, NotFound):
        return True
    except TROUBLES as trouble:
        log.info("an image stays", extra={"image": name, "reason": str(trouble)})
        return False
    return True


def _registry(name: str) -> str:
    try:
        return str(resolve_repository_name(parse_repository_tag(name)[0])[0])
    except DockerException as error:
        raise _unknown(f"{name[:200]} is no image's name: {error}") from error


def failed(name: str, said: str) -> WorkFailed:
    """What an engine's word on a pull means: an image that nobody has, or a registry out of reach."""
    if any(word in said.lower() for word in UNKNOWN):
        return _unknown(f"{name} is unknown to its registry, or not public: {said[:300]}")
    return WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"{name} could not be pulled: {said[:300]}")


def _unknown(said: str) -> WorkFailed:
    return WorkFailed(FailureCode.IMAGE_NOT_FOUND, said)
