"""Whether a part answers now: asked in a thread of its own, so that a part that hangs costs the asker a moment, never more."""

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Check:
    """One question to one part. It is asked once at a time: while an answer is awaited for ever, nobody waits behind it."""

    def __init__(self, name: str, ask: Callable[[], object]) -> None:
        self._name, self._ask, self._asking = name, ask, threading.Lock()

    def is_answered(self, within_seconds: float) -> bool:
        """Ask; False when the part refuses or says nothing in time."""
        if not self._asking.acquire(timeout=within_seconds):
            return False
        answered: list[bool] = []
        asker = threading.Thread(target=self._run, args=(answered,), daemon=True)
        asker.start()
        asker.join(within_seconds)
        return bool(answered)

    def _run(self, answered: list[bool]) -> None:
        try:
            self._ask()
            answered.append(True)
        except Exception as error:  # noqa: BLE001  whatever a driver says, the part is not there
            log.warning("readiness.unavailable", part=self._name, error=str(error))
        finally:
            self._asking.release()
