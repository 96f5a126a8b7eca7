"""The image that a container starts from: here already, or pulled from a public registry within bounds.

What this node pulled is kept for the next task, the least lately used going first, and none for long without use; an image that
its owner put here stays. What an engine keeps of a pull that broke off is its own (podman: perhaps whole
layers); here it counts as room that is gone.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.auth import resolve_repository_name
from docker.errors import APIError, DockerException, ImageNotFound, InvalidRepository, NotFound
from docker.utils import parse_repository_tag

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.container.engine import TROUBLES, Engine, words_of
from gpu_node.runners.container.pull import Event, Pull
from gpu_node.runners.container.registries import RegistryRules, check_registry
from gpu_node.runners.container.room import Room

log = logging.getLogger(__name__)

INVALID = "invalid reference"
UNKNOWN = ("manifest unknown", "not found", "no such image", "does not exist", "unauthorized", "denied", "name unknown",
           "name_unknown", INVALID, "short-name", "no matching manifest", "requested access")
WATCH_SECONDS = 0.25
Stopped = Callable[[], bool]
Book = dict[str, tuple[int, float]]


@dataclass(frozen=True)
class ImageRules:
    """Bytes and seconds. `silence_seconds`: a registry that sends nothing for so long is given up."""

    may_pull: bool = True
    max_bytes: int = 32 * 1024**3
    kept_bytes: int = 64 * 1024**3
    kept_seconds: float = 7 * 86400.0
    pull_seconds: float = 900.0
    silence_seconds: float = 180.0
    registries: RegistryRules = field(default_factory=RegistryRules)


class Images:
    """Those of one node. `book` says what was pulled, with its bytes and when it was used; the newest stands last."""

    def __init__(self, engine: Engine, rules: ImageRules, room: Room, book: Path) -> None:
        self._engine, self._rules, self._room, self._book = engine, rules, room, book
        self._lock = threading.Lock()
        self._lent: list[str] = []

    @contextmanager
    def lent(self, client: docker.APIClient, name: str, stopped: Stopped) -> Iterator[dict[str, Any]]:
        """What the engine says of the image, which is here as long as this lasts. Raises WorkFailed, WorkStopped or HostBusy."""
        with self._lock:
            self._lent.append(name)
        try:
            yield self._get(client, name, stopped)
        finally:
            with self._lock:
                self._lent.remove(name)

    def clean(self, client: docker.APIClient) -> None:
        """Lets go of what is too much or too old, and of what a node before this one had begun to pull."""
        with self._lock:
            self._let_go(client, self._read())

    def _get(self, client: docker.APIClient, name: str, stopped: Stopped) -> dict[str, Any]:
        found = _find(client, name)
        if found is None:
            found = self._fetch(client, name, stopped)
        size = int(found.get("Size") or 0)
        if size > self._rules.max_bytes:
            raise WorkFailed(FailureCode.IMAGE_TOO_LARGE, f"{name} has {size} bytes; this host takes {self._rules.max_bytes}")
        self._note(client, name, size)
        return found

    def _fetch(self, client: docker.APIClient, name: str, stopped: Stopped) -> dict[str, Any]:
        repository, tag = self._check(name)
        self._begin(client, name)
        is_good = False
        try:
            with self._room.for_image(self._rules.max_bytes) as allowed:
                self._pull(name, repository, tag, allowed, stopped)
            found = _find(client, name)
            if found is None:
                raise _unknown(f"{name} could not be pulled")
            is_good = int(found.get("Size") or 0) <= self._rules.max_bytes
            return found
        finally:
            if not is_good:
                self._forget(client, name)

    def _check(self, name: str) -> tuple[str, str]:
        """The image's repository and tag, if it may be pulled. Raises WorkFailed."""
        if not self._rules.may_pull:
            raise _unknown(f"{name} is not on this host, which pulls none")
        check_registry(_registry(name), self._rules.registries)
        repository, tag = parse_repository_tag(name)
        if repository != repository.lower():  # engines don't agree on whether such a beginning names a host
            raise _unknown(f"{name[:200]} is no image's name: it has capitals")
        return repository, tag or "latest"

    def _pull(self, name: str, repository: str, tag: str, allowed: int, stopped: Stopped) -> None:
        rules, progress = self._rules, _Progress(self._room, name, allowed, self._rules.max_bytes)
        deadline, heard = time.monotonic() + rules.pull_seconds, time.monotonic()
        log.info("pulling an image", extra={"image": name})
        with Pull(self._engine, repository, tag, rules.silence_seconds) as pull:
            while (event := _next(pull, name)) is not None:
                now = time.monotonic()
                heard = now if event else heard
                if event.get("error"):
                    raise failed(name, str(event["error"]))
                if stopped():
                    raise WorkStopped("the work is not wanted any more")
                if now > deadline:
                    raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"{name} took longer than {rules.pull_seconds:g} s to pull")
                if now - heard > rules.silence_seconds:
                    raise WorkFailed(FailureCode.INPUT_UNAVAILABLE,
                                     f"nothing came from the registry of {name} for {rules.silence_seconds:g} s")
                progress.check(event)

    def _begin(self, client: docker.APIClient, name: str) -> None:
        """Makes room for the largest image, and writes this one down: it is not the owner's, whatever becomes of this node."""
        with self._lock:
            book = self._read()
            book[name] = (book.pop(name, (0, 0.0))[0], time.time())
            self._let_go(client, book, self._rules.max_bytes)

    def _note(self, client: docker.APIClient, name: str, size: int) -> None:
        with self._lock:
            book = self._read()
            if book.pop(name, None) is not None:
                book[name] = (size, time.time())
            self._let_go(client, book)

    def _forget(self, client: docker.APIClient, name: str) -> None:
        """A pull that came to nothing: no image of it stays, unless another task has it by now.

        It stays in the book, without a size: an engine that was just writing the last of it down does not hear that the line is
        cut, and the next look removes what it made.
        """
        with self._lock:
            if self._lent.count(name) == 1:
                _remove(client, name)

    def _let_go(self, client: docker.APIClient, book: Book, wanted_bytes: int = 0) -> None:
        """The least lately used first: what is too old, too much, or where `wanted_bytes` are not free."""
        for old, (size, used_at) in [*book.items()]:
            is_old = time.time() - used_at > self._rules.kept_seconds or not size
            is_much = sum(held for held, _ in book.values()) > self._rules.kept_bytes
            if not (is_old or is_much or self._room.free_for_images() < wanted_bytes) or old in self._lent:
                continue
            if _remove(client, old):
                del book[old]
        self._write(book)

    def _write(self, book: Book) -> None:
        self._book.parent.mkdir(parents=True, exist_ok=True)
        self._book.write_text(json.dumps(book))

    def _read(self) -> Book:
        try:
            told = json.loads(self._book.read_text())
            return {str(name): (int(size), float(used_at)) for name, (size, used_at) in told.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


class _Progress:
    """How much one pull has taken: what the engine says of its layers (packed), and what is gone from the store (unpacked)."""

    def __init__(self, room: Room, name: str, allowed: int, max_bytes: int) -> None:
        self._room, self._name, self._allowed, self._max_bytes = room, name, allowed, max_bytes
        self._layers: dict[str, int] = {}
        self._free_before, self._was_alone = room.free_for_images(), not room.has_others()

    def check(self, event: Event) -> None:
        """Raises WorkFailed for an image that is too large, HostBusy where others have its room."""
        total = (event.get("progressDetail") or {}).get("total") or 0
        layer = str(event.get("id"))
        self._layers[layer] = max(self._layers.get(layer, 0), int(total))
        packed = sum(self._layers.values())
        free = self._room.free_for_images()
        was_alone = self._was_alone and not self._room.has_others()
        if packed > self._max_bytes or (was_alone and self._free_before - free > self._max_bytes):
            said = f"{self._name} is larger than the {self._max_bytes} bytes that this host takes"
            raise WorkFailed(FailureCode.IMAGE_TOO_LARGE, said)
        if packed > self._allowed or free < 0:
            raise self._room.short()


def _next(pull: Pull, name: str) -> Event | None:
    try:
        return pull.next(WATCH_SECONDS)
    except Exception as trouble:  # as in `Pull`: whatever a broken line is called, the registry or the engine is away
        raise failed(name, words_of(trouble)) from trouble


def _find(client: docker.APIClient, name: str) -> dict[str, Any] | None:
    """The image of this name. An engine also finds one by its id, or a part of that: any image of the host's owner, perhaps."""
    try:
        found = dict(client.inspect_image(name))
        known = [one for kind in ("RepoTags", "RepoDigests") for one in found.get(kind) or () if "<none>" not in one]
        return found if _whole(name) in map(_whole, known) else None
    except InvalidRepository as error:
        raise _unknown(f"{name[:200]} is no image's name") from error
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
        raise _unknown(f"{name[:200]} is no image's name") from error


def failed(name: str, said: str) -> WorkFailed:
    """What an engine's word on a pull means: an image that nobody has, or a registry out of reach. The word itself stays here."""
    log.warning("an image could not be pulled", extra={"image": name, "reason": said})
    if any(word in said.lower() for word in UNKNOWN):
        return _unknown(f"{name} is unknown to its registry, or not public")
    return WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"{name} could not be pulled: its registry is away, or refuses")


def _unknown(said: str) -> WorkFailed:
    return WorkFailed(FailureCode.IMAGE_NOT_FOUND, said)
