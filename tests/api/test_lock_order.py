"""Several attempts in one report: their jobs are locked before anything else, in the one order that everybody keeps."""

import threading
from typing import Any

import pytest
from sqlalchemy import text

from devnet.payer import Payer
from tests.api.conftest import FakeNode, Market
from tests.api.test_paid_render import paid
from tests.factories.stacks import wait_until

WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
LOCK = text("SELECT id FROM jobs WHERE id = :job_id FOR UPDATE")
LOCK_AT_ONCE = text("SELECT id FROM jobs WHERE id = :job_id FOR UPDATE NOWAIT")


@pytest.mark.parametrize("verb", ["failures", "releases"])
def test_a_report_of_two_jobs_waits_for_the_first_job_and_holds_nothing(
    market: Market, payer: Payer, node: FakeNode, verb: str
) -> None:
    low, high = sorted(paid(market, payer)["jobId"] for _ in range(2))
    attempts = held_in_order(node, [high, low])
    engine, answers = market.hub.database.engine, list[Any]()
    with engine.begin() as holder:
        holder.execute(LOCK, {"job_id": low})
        caller = threading.Thread(target=lambda: answers.append(node.post(verb, **report(verb, attempts))))
        caller.start()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:  # a transaction sees one moment only
            wait_until(lambda: watcher.execute(WAITING).scalar_one() == 1, "the report waits for the job that is locked")
        with engine.begin() as other:
            other.execute(LOCK_AT_ONCE, {"job_id": high})  # it would be held already, had the attempts' order been followed
    caller.join()
    assert answers[0].status_code == 200, answers[0].json


def held_in_order(node: FakeNode, job_ids: list[str]) -> list[dict[str, Any]]:
    """One attempt at each of these jobs, whose ids are in this order; attempts' ids are drawn anew until they are."""
    while True:
        attempts = sorted(node.claim(2), key=lambda item: item["attempt_id"])
        if [item["job_id"] for item in attempts] == job_ids:
            return attempts
        assert node.post("releases", **report("releases", attempts)).json["released"] == 2


def report(verb: str, attempts: list[dict[str, Any]]) -> dict[str, Any]:
    named = [{"attempt_id": item["attempt_id"], "fence": item["fence"]} for item in attempts]
    if verb == "releases":
        return {"attempts": named, "reason": "draining"}
    return {"failures": [{**item, "code": "CRASHED", "message": "m", "log_tail": ""} for item in named]}
