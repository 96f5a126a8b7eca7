"""What one session may spend. An order is counted before it is sent, with all that it may cost; the rest of that comes back."""

import threading
from collections.abc import Mapping
from typing import Any

from app.errors import Refused
from app.mcp.tally import Order, Tally
from app.values.money import Money

WITHOUT = "Nothing was ordered."


class Purse:
    """Caps of a session and of each job of it, in one asset; with a `tally`, of all sessions that count there. Safe to use from
    many threads."""

    def __init__(self, session_cap: Money, job_cap: Money, tally: Tally | None = None) -> None:
        self.session_cap, self.job_cap, self._tally = session_cap, job_cap, tally
        self._orders = {} if tally is None else tally.read()
        self._lock = threading.Lock()

    @property
    def asset(self) -> str:
        return self.session_cap.asset

    def assert_within(self, amount: Money, key: str = "") -> None:
        """Refused, with what would fit, if an order (in place of what is known under its key) would cross a cap."""
        with self._lock:
            self._assert_within(key, amount)

    def set_aside(self, key: str, amount: Money, job_id: str | None = None) -> Order | None:
        """Count an order of at most `amount`, or a job that is known; returns what was counted under its key before. Refused as
        `assert_within`.

        What is to cost less than before counts as before until the hub has agreed: an answer that gets lost may have been a no.
        """
        with self._lock:
            self._assert_within(key, amount)
            before = self._orders.get(key)
            most = amount if before is None or before.is_over else max(before.amount, amount)
            self._write({key: Order(most, job_id or (before.job_id if before else None))})
            return before

    def give_back(self, key: str, before: Order | None) -> None:
        """What was set aside for an order that the hub refused."""
        with self._lock:
            self._write({key: before})

    def agree(self, key: str, job_id: str, amount: Money) -> None:
        """The order is this job, and costs at most `amount`: the hub has said so."""
        with self._lock:
            self._write({key: Order(amount, job_id)})

    def settle(self, job_id: str, cost: Money) -> None:
        """The job is over and has cost so much: the rest is free again."""
        with self._lock:
            over = Order(cost, job_id, is_over=True)
            self._write({key: over for key, order in self._orders.items() if order.job_id == job_id and order != over})

    def job_of(self, key: str) -> str | None:
        """What an order became; None while that is not known."""
        with self._lock:
            return self._orders[key].job_id if key in self._orders else None

    def key_of(self, job_id: str) -> str | None:
        with self._lock:
            return next((key for key, order in self._orders.items() if order.job_id == job_id), None)

    def open_jobs(self) -> list[str]:
        with self._lock:
            return [order.job_id for order in self._orders.values() if order.job_id and not order.is_over]

    def told(self) -> dict[str, Any]:
        """How the session stands, in words of the hub."""
        with self._lock:
            spent = self._counted("")
            unclear = [key for key, order in self._orders.items() if order.job_id is None]
        return {
            "asset": self.asset,
            "session_cap": str(self.session_cap),
            "job_cap": str(self.job_cap),
            "counted": str(spent),
            "left": str(self.session_cap - spent),
            "unclear_order_keys": unclear,
        }

    def _write(self, changes: Mapping[str, Order | None]) -> None:
        """Into the tally first: what can't be kept there is not ordered either."""
        changed = {key: order for key, order in {**self._orders, **changes}.items() if order is not None}
        if self._tally is not None and changes:
            self._tally.write(changed)
        self._orders = changed

    def _assert_within(self, key: str, amount: Money) -> None:
        if amount > self.job_cap:
            raise Refused(
                f"this may cost up to {amount} {self.asset}, and a job of this session may cost {self.job_cap}. {WITHOUT} "
                "Ask for fewer frames, a smaller picture or fewer samples, take the tier economy, or give a lower max_amount",
                code="JOB_CAP",
            )
        counted = self._counted(key)
        if counted + amount > self.session_cap:
            raise Refused(
                f"this may cost up to {amount} {self.asset}; {counted} of the session's {self.session_cap} are counted for other "
                f"orders, so {self.session_cap - counted} are left. {WITHOUT} Wait for jobs to end (what they did not cost comes "
                "back), ask for less, or have your user start `lightyard mcp` with a higher --max-spend",
                code="SESSION_CAP",
            )

    def _counted(self, but: str) -> Money:
        return sum((order.amount for key, order in self._orders.items() if key != but), Money(0, self.asset))
