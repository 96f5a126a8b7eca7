"""What a hub with work in it tells at /metrics: the right figures, each by a way of its own to know them."""

import io
import json
import uuid
from dataclasses import replace
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from app import counts
from app.core import audit, ledger, payout_delays
from app.core import payouts as core_payouts
from app.core import watched as core_watched
from app.core.figures import Figure
from app.core.ledger import Party
from app.flows import payouts
from app.observability import metrics, watched
from app.observability.reporter import Reporter
from app.values.money import DECIMALS, Money
from app.wiring import Hub
from devnet.payer import Payer
from tests.api.conftest import TRIANGLE, FakeNode, Market
from tests.api.test_paid_render import paid
from tests.factories import metrics_table
from tests.factories.payouts import SignerProcess, earner, order
from tests.factories.ton import TON, TonChain
from tests.observability.conftest import GPU
from workers import sweeps, watches

Figures = dict[tuple[str, ...], float]
SETTINGS = '{"resolution":{"width":8,"height":6},"frames":{"start":1,"end":4}}'


def scrape(client: FlaskClient) -> Figures:
    """Values by name and labels' values, these in the order of their names."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    found = {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples), "a sample is told twice"
    return found


def of(found: Figures, name: str) -> Figures:
    """One family's, without its name."""
    return {key[1:]: value for key, value in found.items() if key[0] == name}


@pytest.mark.usefixtures("sweep")
def test_nodes_and_gpus_are_told_as_they_report_and_nothing_is_made_up(client: FlaskClient, gpu_node: FakeNode) -> None:
    watches.watch_nodes()
    found, node = scrape(client), str(gpu_node.id)
    assert of(found, "lightyard_node_info") == {("gpu", node): 1}
    assert of(found, "lightyard_node_up") == {(node,): 1} and of(found, "lightyard_node_load") == {(node,): 0.5}
    assert of(found, "lightyard_node_slots") == {(node, "busy"): 0, (node, "idle"): 3}
    assert 0 <= found["lightyard_node_heartbeat_age_seconds", node] < 60
    for name in ("utilization_percent", "memory_used_bytes", "memory_total_bytes", "temperature_celsius", "power_watts"):
        assert of(found, f"lightyard_gpu_{name}") == {("0", node): GPU[name]}, "the second tells nothing, the third is no other"
    assert found["lightyard_nodes_unlisted",] == 0


@pytest.mark.usefixtures("sweep")
def test_a_node_that_tells_nothing_of_itself_has_no_idle_slots(client: FlaskClient, node: FakeNode) -> None:
    watches.watch_nodes()
    assert of(scrape(client), "lightyard_node_slots") == {(str(node.id), "busy"): 0}
    assert node.post("heartbeat", current_load=0.0, machine={"slots": -1, "gpus": "many"}).status_code == 200
    watches.watch_nodes()
    assert of(scrape(client), "lightyard_node_slots") == {(str(node.id), "busy"): 0}


@pytest.mark.usefixtures("sweep")
def test_so_many_nodes_are_listed_and_their_names_break_nothing(
    client: FlaskClient, hub: Hub, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ['a"b\\c\nd{}=,é # HELP x', "n" * 100, "one more"]
    nodes = [FakeNode(market, name).join() for name in names]
    monkeypatch.setattr(core_watched, "MOST_NODES", 2)
    watches.watch_nodes()
    found = scrape(client)
    assert {key[0] for key in of(found, "lightyard_node_info")} == {names[0], "n" * 64}, "those that came first"
    assert found["lightyard_nodes_unlisted",] == 1 and found["lightyard_nodes", "healthy"] == len(nodes)


@pytest.mark.usefixtures("sweep")
def test_work_is_told_while_it_is_done(client: FlaskClient, hub: Hub, market: Market, payer: Payer, gpu_node: FakeNode) -> None:
    paid(market, payer, SETTINGS)
    first, second = gpu_node.claim(2)
    assert gpu_node.finish(first).status_code == 200
    watches.watch_nodes()
    watches.watch_queues()
    found, node = scrape(client), str(gpu_node.id)
    assert of(found, "lightyard_node_slots") == {(node, "busy"): 1, (node, "idle"): 2}
    assert found["lightyard_attempts_total", "completed"] == 2  # an inspection was one
    assert {key[0] for key in of(found, "lightyard_queue_depth")} == {
        "hub", "render", "inference", "compute", "render.*", "inference.*", "compute.*",
    }
    broker = redis.Redis.from_url(hub.settings.redis_url)
    for queue in ("hub", "render"):
        assert found["lightyard_queue_depth", queue] == broker.llen(queue)
    assert broker.llen("render") > 0 and found["lightyard_queue_depth", "render.*"] == 0
    error = {"attempt_id": second["attempt_id"], "fence": second["fence"], "code": "CRASHED", "message": "boom"}
    assert gpu_node.post("failures", failures=[error]).status_code == 200
    assert scrape(client)["lightyard_attempts_total", "failed"] == 1


@pytest.mark.usefixtures("sweep", "gpu_node")
def test_providers_own_queues_are_told_together(client: FlaskClient, hub: Hub, market: Market) -> None:
    for _ in range(3):
        hub.celery.send_task("gpu_node.ring", args=["x"], queue=f"render.{market.provider_id}")
    watches.watch_queues()
    found = of(scrape(client), "lightyard_queue_depth")
    assert found["render.*",] == 3 and found["render",] == found["compute.*",] == 0


@pytest.mark.usefixtures("sweep")
def test_a_broker_that_is_away_has_no_depths(client: FlaskClient, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    away = replace(hub, settings=replace(hub.settings, broker_url="redis://127.0.0.1:9/0"))
    monkeypatch.setattr(watches, "hub", lambda: away)
    watches.watch_queues()
    found = scrape(client)
    assert of(found, "lightyard_queue_depth") == {} and ("lightyard_sweep_age_seconds", "queues") not in found


@pytest.mark.usefixtures("sweep")
def test_requests_are_told_by_dialect_and_by_what_became_of_them(client: FlaskClient) -> None:
    for path, times in (("/stats", 3), ("/render/nothing", 2), ("/api/v1/health", 1), ("/nobody/knows", 4)):
        for _ in range(times):
            client.get(path)
    found = scrape(client)
    told = of(found, "lightyard_dialect_requests_total")
    seen = {key: value for key, value in told.items() if value}
    assert seen == {("2xx", "rayment"): 3, ("4xx", "rayment"): 2, ("2xx", "rendertrust"): 1, ("4xx", "other"): 4}
    assert len(told) == 4 * 7, "zeros too, so that a first error is a rise"
    assert found["lightyard_dialect_request_seconds_count", "rayment"] == 5
    assert ("lightyard_dialect_request_seconds_count", "rendertrust") in found
    again = scrape(client)
    assert of(again, "lightyard_dialect_requests_total") == told, "scrapes don't count"


@pytest.mark.usefixtures("sweep")
def test_that_no_provider_takes_a_job_is_no_error_of_the_hub(client: FlaskClient, payer: Payer) -> None:
    """Anybody may ask for what nobody does: that must wake no operator."""
    form = {"file": (io.BytesIO(TRIANGLE), "part.stl"), "clientWallet": payer.address}
    assert client.post("/render", data=form).status_code == 503
    told = of(scrape(client), "lightyard_dialect_requests_total")
    assert told["4xx", "rayment"] == 1 and told["5xx", "rayment"] == 0


def test_what_waits_for_a_person_is_not_told_as_waiting_for_the_signer(client: FlaskClient, hub: Hub) -> None:
    account, _ = earner(hub.database, Money(3 * 10**8, "SOL"))
    held, delayed, waiting = (order(hub.database, account, Money(10**8, "SOL")) for _ in range(3))
    with hub.database.unit_of_work() as session:
        core_payouts.hold(session, held, "an operator looks into it")
        payout_delays.delay(session, {delayed: "no account"})
    found = scrape(client)
    assert found["lightyard_payouts_held", "solana"] == 1 and ("lightyard_payout_age_seconds", "solana") in found
    with hub.database.unit_of_work() as session:
        core_payouts.cancel(session, waiting)
    found = scrape(client)
    assert found["lightyard_payouts", "solana", "created"] == 2 and ("lightyard_payout_age_seconds", "solana") not in found


def test_a_difference_that_valkey_forgot_is_looked_for_at_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a whole audit knows of it, which beat asks for once an hour."""
    monkeypatch.setattr(sweeps, "hub", lambda: hub)
    broker = redis.Redis.from_url(hub.settings.redis_url)
    for _ in range(2):
        sweeps.keep_books()
    (asked,) = broker.lrange("hub", 0, -1)
    assert json.loads(asked)["headers"]["task"] == "hub.audit", "once, not with every look"


def test_what_a_worker_of_another_version_left_costs_no_scrape(client: FlaskClient, hub: Hub) -> None:
    strange = [Figure("of_tomorrow", 1), Figure("queue_depth", 2), Figure("queue_depth", 3, {"queue": "hub"})]
    watched.note(hub.cache, "queues", strange)
    found = scrape(client)
    assert of(found, "lightyard_queue_depth") == {("hub",): 3} and ("lightyard_of_tomorrow",) not in found


def watch_money(hub: Hub) -> None:
    with hub.database.unit_of_work() as session:
        audit.number_entries(session)
    watches.watch_money()


@pytest.mark.usefixtures("sweep")
def test_the_ledger_s_sums_are_the_ledger_s(client: FlaskClient, hub: Hub, market: Market, payer: Payer) -> None:
    paid(market, payer, SETTINGS)
    account, _ = earner(hub.database, Money(7_500_000, "USDC"), Money(2 * TON, "TON"))
    order(hub.database, account, Money(2_500_000, "USDC"))
    for more in (0, 3):  # sums go on from where they were
        if more:
            earner(hub.database, Money(more * TON, "TON"))
        watch_money(hub)
        found = of(scrape(client), "lightyard_ledger_balance")
        assert found["USDC", "balance"] == 5 and found["USDC", "payout"] == 2.5 and found["TON", "balance"] == 2 + more
        with hub.database.unit_of_work() as session:
            for (asset, kind), value in found.items():
                if kind in ledger.PLATFORM_KINDS:
                    assert value == float(ledger.balance(session, Party(kind), asset).decimal), kind
        for asset in {key[0] for key in found}:
            assert abs(sum(value for key, value in found.items() if key[0] == asset)) < 10 ** -DECIMALS[asset], "nothing is lost"
    assert scrape(client)["lightyard_database_size_bytes",] > 1_000_000


@pytest.mark.usefixtures("sweep")
def test_other_books_than_those_that_were_summed_are_summed_anew(client: FlaskClient, hub: Hub) -> None:
    earner(hub.database, Money(7, "USDC"))
    hub.cache.set(watches.BOOKS_KEY, f'{{"number": 1, "entry_id": "{uuid.uuid4()}", "sums": [["fees", "SOL", 99]]}}')
    watch_money(hub)
    found = of(scrape(client), "lightyard_ledger_balance")
    assert ("SOL", "fees") not in found and found["USDC", "issued"] == -0.000007


@pytest.mark.usefixtures("sweep")
def test_chains_wallets_and_payouts(
    client: FlaskClient, hub: Hub, signer: SignerProcess, ton_chain: TonChain, payer: Payer
) -> None:
    addresses = signer.client.addresses()
    payer.rpc("requestAirdrop", addresses["solana"], 3 * 10**9)
    payer.rpc("svm_advanceSlots", 40)  # it is final now
    ton_chain.fund(addresses["ton"], 5 * TON)
    account, _ = earner(hub.database, Money(10**9, "SOL"))
    order(hub.database, account, Money(250_000_000, "SOL"))
    watches.watch_chains()
    found = scrape(client)
    assert of(found, "lightyard_chain_up") == {("solana",): 1, ("ton",): 1}
    assert found["lightyard_chain_head_block", "ton"] == ton_chain.call("getMasterchainInfo")["last"]["seqno"]
    assert of(found, "lightyard_chain_lag_blocks") == {("solana",): 0, ("ton",): 0}
    assert found["lightyard_signer_up",] == 1
    has = of(found, "lightyard_hot_wallet_balance")
    assert (has["SOL", "solana"], has["TON", "ton"], has["USDC", "solana"]) == (3, 5, 0)
    assert of(found, "lightyard_payout_amount") == {("SOL", "solana"): 0.25}
    assert found["lightyard_chain_rpc_seconds_count", "solana", "getSlot"] == 1
    assert found["lightyard_chain_rpc_errors_total", "solana", "unavailable", "getSlot"] == 0
    [solana] = [chain for chain in hub.payout_chains if chain.name == "solana"]
    for _ in range(200):
        payouts.advance(hub.database, solana, hub.signer)
        if not of(found := scrape(client), "lightyard_payout_amount"):
            break
    assert of(found, "lightyard_payout_amount") == {} and found["lightyard_payout_seconds_count", "solana"] == 1
    signer.kill()
    watches.watch_chains()
    found = scrape(client)
    assert found["lightyard_signer_up",] == 0
    assert 2.7 < found["lightyard_hot_wallet_balance", "SOL", "solana"] < 2.75, "its address is known from before"


@pytest.mark.usefixtures("sweep")
def test_a_chain_that_is_away_is_away_and_its_errors_are_counted(client: FlaskClient, hub: Hub, ton_chain: TonChain) -> None:
    watches.watch_chains()
    before = scrape(client)["lightyard_chain_head_age_seconds", "ton"]
    ton_chain.end()
    watches.watch_chains()
    found = scrape(client)
    assert of(found, "lightyard_chain_up") == {("solana",): 1, ("ton",): 0}
    assert ("lightyard_chain_head_block", "ton") not in found and before >= 0, "what nobody says has no figure"
    assert found["lightyard_chain_rpc_errors_total", "ton", "unavailable", "getAddressInformation"] >= 1


def test_what_sweeps_left_grows_old_and_is_told_no_more(
    client: FlaskClient, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = metrics.Figure("chain_head_age_seconds", 5, {"chain": "ton"})
    watched.note(hub.cache, "chains", [head, metrics.Figure("signer_up", 1)])
    now = watched.time.time()
    monkeypatch.setattr(metrics.time, "time", lambda: now + 60)
    found = scrape(client)
    assert found["lightyard_chain_head_age_seconds", "ton"] == pytest.approx(65, abs=1) and found["lightyard_signer_up",] == 1
    monkeypatch.setattr(metrics.time, "time", lambda: now + 91)
    found = scrape(client)
    assert ("lightyard_signer_up",) not in found and found["lightyard_sweep_age_seconds", "chains"] == pytest.approx(91, abs=1)


def test_processes_are_told_by_role_and_their_counts_outlive_them(client: FlaskClient, hub: Hub) -> None:
    counts.take()
    used = {"role": "worker", "state": "used"}
    worker, other = (
        Reporter(hub.cache, "worker", lambda count=count: iter([metrics.Figure("database_pool_connections", count, used)]))
        for count in (3, 4)
    )
    for reporter, times in ((worker, 2), (other, 3)):
        for _ in range(times):
            counts.add("task_failures", "hub.sweep")
            counts.observe("task_seconds", 0.2, "hub.sweep")
        assert reporter.report()
    found = scrape(client)
    assert of(found, "lightyard_processes") == {("api",): 1, ("worker",): 2, ("beat",): 0, ("poller",): 0}
    assert found["lightyard_database_pool_connections", "worker", "used"] == 7
    assert found["lightyard_database_pool_limit", "api"] == 2 * hub.settings.database_pool_size
    assert found["lightyard_task_failures_total", "hub.sweep"] == 5 and found["lightyard_task_seconds_count", "hub.sweep"] == 5
    assert [found["lightyard_task_seconds_bucket", edge, "hub.sweep"] for edge in ("0.1", "0.5", "+Inf")] == [0, 5, 5]
    assert found["lightyard_task_seconds_sum", "hub.sweep"] == pytest.approx(1.0)
    assert found["lightyard_process_resident_bytes", "worker"] > 2 * 10**7
    other.stop()
    found = scrape(client)
    assert found["lightyard_processes", "worker"] == 1 and found["lightyard_task_failures_total", "hub.sweep"] == 5


@pytest.mark.usefixtures("sweep")
def test_every_family_of_the_table_is_told_with_its_type_and_labels(
    client: FlaskClient, hub: Hub, market: Market, payer: Payer, gpu_node: FakeNode, signer: SignerProcess
) -> None:
    paid(market, payer, SETTINGS)
    watches.watch_nodes()
    watches.watch_queues()
    watches.watch_chains()
    watches.watch_money()
    table, found = metrics_table.told_by_the_hub(), metrics_table.exposed(client.get("/metrics").text)
    assert found.keys() <= table.keys(), "docs/metrics.md lacks what is told"
    assert {name: family.kind for name, family in found.items()} == {name: table[name].kind for name in found}
    labelled = {name: family.labels for name, family in found.items() if family.labels}
    assert labelled == {name: table[name].labels for name in labelled}
    pollers, later = {name for name in table if name.startswith("cocoon_")}, {"lightyard_http_request_exceptions_total"}
    assert table.keys() - found.keys() <= pollers | later
    assert len(labelled) > 40


def test_a_backup_under_way_is_no_transaction_that_was_forgotten(client: FlaskClient, hub: Hub) -> None:
    with hub.database.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("SET LOCAL application_name = 'pg_dump'")
        assert scrape(client)["lightyard_database_oldest_transaction_seconds",] == 0


def test_the_database_s_own_figures(client: FlaskClient, hub: Hub) -> None:
    with hub.database.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("SELECT 1")
        found = scrape(client)
    states: Any = {key[0]: value for key, value in of(found, "lightyard_database_connections").items()}
    assert states.keys() == {"active", "idle", "idle_in_transaction", "other"}
    assert states["idle_in_transaction"] == 1 and states["active"] == 1
    assert found["lightyard_database_oldest_transaction_seconds",] > 0
    assert found["lightyard_database_transactions_total", "commit"] > 0 and found["lightyard_database_connections_limit",] >= 20
    assert found["lightyard_database_work_seconds_count", "api"] > 0
