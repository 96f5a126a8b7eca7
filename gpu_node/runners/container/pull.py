"""One pull of the engine, read in a thread, so that a registry that falls silent holds nobody: it is broken off from here."""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import closing
from typing import Any

import docker
import requests

from gpu_node.runners.container.engine import CALL_SECONDS, Engine, words_of

log = logging.getLogger(__name__)

LAST_SECONDS = 5.0
Event = dict[str, Any]


class _Line(docker.APIClient):
    """docker-py gives a pull no time limit and no way to end it; both are had at the request below it."""

    silence_seconds: float
    answer: requests.Response | None = None

    def post(self, url: Any, data: Any = None, json: Any = None, **options: Any) -> requests.Response:
        options["timeout"] = (CALL_SECONDS, self.silence_seconds)
        self.answer = super().post(url, data, json, **options)
        return self.answer


class Pull:
    """`with Pull(…) as pull:` begins it, and breaks it off in the end: an engine stops a pull that nobody listens to."""

    def __init__(self, engine: Engine, repository: str, tag: str, silence_seconds: float) -> None:
        self._repository, self._tag = repository, tag
        self._events: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()
        self._line = _Line(base_url=engine.address, version="auto", timeout=int(CALL_SECONDS))
        # The thread waits a little longer than whoever reads `next`, and ends even before the engine's first answer.
        self._line.silence_seconds = silence_seconds + LAST_SECONDS
        self._thread = threading.Thread(target=self._read, name="image-pull", daemon=True)

    def __enter__(self) -> Pull:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        answer = self._line.answer
        if self._thread.is_alive() and answer is not None:
            try:
                answer.raw.shutdown()
            except (OSError, RuntimeError, ValueError) as ended:
                log.debug("a pull had ended by itself", extra={"reason": str(ended)})
        self._thread.join(LAST_SECONDS if answer is not None else 0)

    def next(self, wait_seconds: float) -> Event | None:
        """The next event; {} where there was none so long, None after the last one. Raises what the engine's client raised."""
        try:
            found = self._events.get(timeout=wait_seconds)
        except queue.Empty:
            return {}
        if isinstance(found, Exception):
            raise found
        return found

    def _read(self) -> None:
        last: Exception | None = None
        try:
            with closing(self._line) as line:
                # No credentials: those of this host's owner are not for strangers' images.
                for event in line.pull(self._repository, tag=self._tag, stream=True, decode=True, auth_config={}):
                    self._events.put(event)
        except Exception as trouble:  # what urllib3 says of a broken line has no common name with docker-py's and requests'
            log.info("a pull broke off", extra={"image": self._repository, "reason": words_of(trouble)})
            last = trouble
        self._events.put(last)
