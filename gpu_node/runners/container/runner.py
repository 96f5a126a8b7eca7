"""Runs compute tasks: a stranger's container, confined, bounded and watched; its results become one archive."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from gpu_node.failures import KILLED, FailureCode, WorkFailed
from gpu_node.runners.container import disk as disks
from gpu_node.runners.container import gpus
from gpu_node.runners.container.confinement import LABEL, Place, confine
from gpu_node.runners.container.disk import RESULTS, Disk
from gpu_node.runners.container.engine import TROUBLES, Engine, words_of
from gpu_node.runners.container.images import ImageRules, Images
from gpu_node.runners.container.life import Life, Manners
from gpu_node.runners.container.measures import Measures, Meter
from gpu_node.runners.container.order import Order, check_start, read_order
from gpu_node.runners.container.packing import GZIP_TYPE, pack
from gpu_node.runners.container.printing import Line, Printing
from gpu_node.runners.container.room import Room
from gpu_node.runners.outputs import Output
from gpu_node.session import Limits

log = logging.getLogger(__name__)

REMOVAL_TRIES, REMOVAL_SECONDS = 10, 0.5


@dataclass(frozen=True)
class Rules:
    """What this host's owner allows; bytes and seconds. `network` is the engine's network for tasks that ask for one."""

    network: str | None = None
    images: ImageRules = field(default_factory=ImageRules)
    max_processes: int = 1024
    grace_seconds: float = 10.0
    max_log_bytes: int = 1024**2
    must_bound_disk: bool = False


class ContainerRunner:
    """`node` marks this node's containers, so that those of a node that was killed are found and removed at the next start."""

    def __init__(self, engine: Engine, folder: Path, node: str, rules: Rules) -> None:
        self.engine, self.rules = engine, rules
        self._folder, self._node = folder, node
        self._remove_leftovers()
        self._room = Room(engine, folder, engine.store if engine.store.exists() else folder)
        self._images = Images(engine, rules.images, self._room, folder.parent / "images.json")
        self._clean_images()

    def run(self, settings: dict[str, Any], limits: Limits, stopped: Callable[[], bool],
            on_lines: Callable[[list[Line]], None] = lambda lines: None,
            on_measures: Callable[[Measures], None] = lambda measures: None,
            on_running: Callable[[bool], None] = lambda is_running: None) -> Output:
        """One task, whole: its results packed, and how long the container ran. `on_running` is told when it begins, its image
        fetched, and when it is over. Raises WorkFailed, WorkStopped or HostBusy. Thread-safe."""
        order = read_order(settings)
        if order.has_network and self.rules.network is None:
            raise WorkFailed(FailureCode.ENGINE_UNSUPPORTED, "this host gives containers no network")
        printing = Printing(on_lines, self.rules.max_log_bytes)
        manners = Manners(self.rules.grace_seconds, on_measures, on_running)
        try:
            with engine_troubles(), self._room.promised(order), gpus.lent(order, self.engine.gives_gpus) as uuids:
                return self._run(order, limits, uuids, printing, manners, stopped)
        finally:
            printing.end()

    def _run(self, order: Order, limits: Limits, uuids: tuple[str, ...], printing: Printing, manners: Manners,
             stopped: Callable[[], bool]) -> Output:
        with closing(self.engine.open()) as client, self._images.lent(client, order.image, stopped) as image:
            config = image.get("Config") or {}
            check_start(order, config.get("Entrypoint") or [], config.get("Cmd") or [])
            folder, must = self._folder / uuid.uuid4().hex, self.rules.must_bound_disk
            with Disk(folder, order.storage_bytes, config.get("Volumes") or (), must) as disk:
                with self._made(client, order, disk, uuids) as container:
                    disk.find_process = partial(_first_process, client, container)
                    meter = Meter(client, container, order, disk, uuids)
                    life = Life(self.engine, client, container, order, disk, printing, meter)
                    seconds = life.live(manners, stopped)
                try:
                    disk.check(is_due=True)
                    return Output(self._pack(disk, limits, printing, stopped), GZIP_TYPE, seconds)
                except WorkFailed as failed:  # what it left is too much: it has run all the same
                    failed.seconds = seconds
                    raise

    @contextmanager
    def _made(self, client: docker.APIClient, order: Order, disk: Disk, uuids: tuple[str, ...]) -> Iterator[str]:
        """A container that is made, not started; removed in the end, whatever happened."""
        place = Place(
            node=self._node, folders=disk.folders, network=self.rules.network, gpu_uuids=uuids,
            user_namespace=self.engine.user_namespace, max_processes=self.rules.max_processes,
            # Root in a rootless engine's container is this user, who can then remove what it leaves.
            user="0:0" if self.engine.is_rootless else None,
        )
        container = str(client.create_container(**confine(order, place), use_config_proxy=False)["Id"])
        try:
            gpus.check_given(uuids, client.inspect_container(container))
            _check_seen(client, container, disk)
            yield container
        finally:
            _remove(client, container)

    def _pack(self, disk: Disk, limits: Limits, printing: Printing, stopped: Callable[[], bool]) -> Path:
        target = self._folder / f"{uuid.uuid4().hex}.tar.gz"
        try:
            left_out = pack(disk.results, target, limits.max_output_bytes, stopped)
        except RecursionError:
            raise WorkFailed(FailureCode.OUTPUT_LIMIT, "folders in /results are nested too deeply", exit_code=KILLED) from None
        if left_out:
            shown = ", ".join(left_out[:5])
            printing.say(f"{len(left_out)} entries of /results are neither files nor folders, and left out: {shown}")
        return target

    def _clean_images(self) -> None:
        try:
            with closing(self.engine.open()) as client:
                self._images.clean(client)
        except TROUBLES as trouble:
            log.error("old images could not be let go", extra={"reason": words_of(trouble)})

    def _remove_leftovers(self) -> None:
        """What a node before this one left when it was killed: containers, disks, archives."""
        try:
            with closing(self.engine.open()) as client:
                for found in client.containers(all=True, filters={"label": f"{LABEL}={self._node}"}):
                    log.warning("removing a container of a node before this one", extra={"container": found["Id"]})
                    _remove(client, found["Id"])
        except TROUBLES as trouble:
            log.error("containers of a node before this one could not be looked for", extra={"reason": str(trouble)})
        for left in self._folder.iterdir() if self._folder.exists() else ():
            if left.is_dir():
                disks.remove(left)
            else:
                left.unlink()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)


@contextmanager
def engine_troubles() -> Iterator[None]:
    """What the engine refuses or does not answer is this host's trouble."""
    try:
        yield
    except TROUBLES as trouble:
        # Its words name files and addresses of this host, which are no stranger's business.
        log.error("the container engine failed", extra={"reason": words_of(trouble)})
        raise WorkFailed(FailureCode.SANDBOX_ERROR, "the container engine of this host failed") from trouble


def _first_process(client: docker.APIClient, container: str) -> int:
    """Its number on this host; 0 before its start."""
    try:
        return int((client.inspect_container(container).get("State") or {}).get("Pid") or 0)
    except TROUBLES as trouble:
        log.debug("a container's process is not known", extra={"reason": words_of(trouble)})
        return 0


def _check_seen(client: docker.APIClient, container: str, disk: Disk) -> None:
    """An engine that sees other files than this node, which may be in a container, makes up an empty folder without a bound."""
    mark = disk.results / uuid.uuid4().hex
    mark.touch()
    try:
        stream, _ = client.get_archive(container, f"{RESULTS}/{mark.name}")
        for _ in stream:
            pass
    except NotFound:
        said = "the container engine does not see this node's files: both must run on the host itself"
        raise WorkFailed(FailureCode.SANDBOX_ERROR, said) from None
    finally:
        mark.unlink()


def _remove(client: docker.APIClient, container: str) -> None:
    """With the anonymous volumes that an engine made for it. podman tidies up after a container that has just ended, and until
    then refuses; what stays is removed at the next start."""
    for left in reversed(range(REMOVAL_TRIES)):
        try:
            return client.remove_container(container, force=True, v=True)
        except NotFound:
            return None
        except TROUBLES as trouble:
            if not left:
                log.error("a container could not be removed", extra={"container": container, "reason": str(trouble)})
        time.sleep(REMOVAL_SECONDS)
    return None
