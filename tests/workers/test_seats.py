"""Strangers that never answer hold some of the hub's worker threads, never all of them."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workers import seats, sweeps, tasks

ROOT = Path(__file__).resolve().parent.parent.parent
HANGING = [
    (tasks.push, "push", lambda: tasks.push_job(str(uuid.uuid4())), "providers"),
    (sweeps.push, "check_held", lambda: sweeps.sweep_pushes(), "providers"),
    (tasks.payments, "verify", lambda: tasks.verify_payment(str(uuid.uuid4())), "payments"),
    (sweeps.payment_flows, "find_unannounced", lambda: sweeps.sweep_payments(), "payments"),
    (sweeps.ton_payments, "find_arrivals", lambda: sweeps.sweep_ton(), "ton"),
    (sweeps.anchors, "build", lambda: sweeps.sweep_anchors(), "anchors"),
]


class AnyHub:
    """A hub whose parts are never used: what would use them hangs. Its turns are always ours, as they are once they ran out."""

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(
            is_configured=True, ton_wallet="", ton_jetton_masters="",
            anchor_entries=1, anchor_tree_entries=1, anchor_interval_seconds=1,
            lock=lambda *_, **__: SimpleNamespace(acquire=lambda **_: True, do_release=lambda _: None),
        )


@pytest.mark.parametrize(("module", "name", "task", "kind"), HANGING)
def test_what_waits_for_strangers_leaves_threads_free(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, task: Callable[[], None], kind: str
) -> None:
    end, hanging = threading.Event(), threading.Semaphore(0)

    def hang(*_: object) -> int:
        hanging.release()
        end.wait(60)
        raise sweeps.ChainUnreadable("it never answered")

    for place in (tasks, sweeps):
        monkeypatch.setattr(place, "hub", AnyHub)
    monkeypatch.setattr(module, name, hang)
    with ThreadPoolExecutor(seats.THREADS) as pool:
        running = [pool.submit(task) for _ in range(seats.THREADS)]
        try:
            for _ in range(seats.SEATS[kind]):
                assert hanging.acquire(timeout=60)
            others = seats.THREADS - seats.SEATS[kind]
            assert len(list(islice(as_completed(running, 30), others))) == others  # their threads are free again
        finally:
            end.set()
        for done in running:
            done.exception(60)
    assert not hanging.acquire(blocking=False)


def test_some_threads_never_wait_for_strangers() -> None:
    assert sum(seats.SEATS.values()) < seats.THREADS
    stack = (ROOT / "app" / "stack" / "stack.py").read_text()
    assert f'"threads", "-c", "{seats.THREADS}"' in stack  # the compose file is held to the same command by its own test
