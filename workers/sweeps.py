"""What must happen though every message were lost: beat's tasks. One of a kind runs at a time, and each starts over by itself."""

import uuid

import structlog
from celery import shared_task

from app import outbox
from app.adapters.pace import PushPace
from app.adapters.turns import turn
from app.core import (
    accounts,
    allocation,
    audit,
    doorbells,
    idempotency,
    inspections,
    job_events,
    outcomes,
    payments,
    payout_reconciliation,
    presence,
    provider_outcomes,
    render_probes,
    render_queue,
    reputation,
    sign_ins,
    stakes,
    stale_jobs,
    tallies,
    task_deadlines,
    task_logs,
    ton_hub,
    wallet_challenges,
    x402_settlements,
)
from app.core.anchors import Rules
from app.errors import ChainUnreadable, LightyardError
from app.flows import (
    anchors,
    billing,
    payout_lookup,
    payout_values,
    payouts,
    previews,
    proposals,
    push,
    retention,
    scene_uploads,
    ton_payments,
)
from app.flows import payments as payment_flows
from app.flows.anchors import Patience
from app.flows.scene_uploads import Scenes
from app.observability import metrics
from workers.parts import hub
from workers.seats import seat

log = structlog.get_logger()
NEVER_SEEN_SECONDS = 600
AT_ONCE = 100
JOBS_AT_ONCE = 10
HELD_MOST = 4  # times the longest work on one frame: a node has several, one after the other
DAY_SECONDS = 86_400
RESULT_KEPT_SECONDS = 86_400  # far longer than an upload's address is good, and any node's patience
# A turn whose holder was killed is over after this long; a sweep that takes longer is doubled, which is harmless.
TURN_SECONDS = 10
BILLING_TURN_SECONDS = 60
SCENE_TURN_SECONDS = 120
PAYOUT_TURN_SECONDS = 120  # the wallet's row keeps two that sweep at once from paying twice; this only saves the work
WHOLE_AUDIT_SECONDS = 600
X402_TURN_SECONDS = 30  # what two do at once is harmless
TON_TURN_SECONDS = 120  # a long walk on a slow server; who begins it again finds the cursor moved and leaves it


@shared_task(name="hub.sweep")
def sweep_work() -> None:
    """Take back lost leases, ring for what waits, and carry away what the outbox still holds."""
    settings, database = hub().settings, hub().database
    with turn(hub().cache, "work", TURN_SECONDS) as is_ours:
        if not is_ours:
            return
        with database.unit_of_work() as session:
            outcomes.expire_leases(session, (settings.max_failures, settings.max_attempts))
        with database.unit_of_work() as session:
            doorbells.ring_again(session, settings.ring_again_seconds)
        with database.unit_of_work() as session:
            provider_outcomes.end_noted_failures(session)
            inspections.drop_stale(session)
            inspections.feed(session)
        with database.unit_of_work() as session:
            render_queue.raise_overdue(session, settings.economy_wait_seconds, settings.node_unhealthy_seconds)
        with database.unit_of_work() as session:
            task_deadlines.end_overdue(session, settings.task_pull_seconds)
        with database.unit_of_work() as session:
            for topic, key, origin in outbox.take_waiting(session):
                outbox.resend(session, topic, key, origin)


@shared_task(name="hub.sweep_payments")
def sweep_payments() -> None:
    """Ask the chain again about undecided transactions, and find payments that nobody told us of."""
    with seat("payments") as is_free, turn(hub().cache, "payments", TURN_SECONDS) as is_ours:
        if not (is_free and is_ours):
            return
        try:
            payment_flows.find_unannounced(hub().database, hub().chain)
            asked = _verify_pending()
        except LightyardError as error:
            if not error.retryable:
                raise
            log.warning("payments.not_now", error=error.message)
            return
        with hub().database.unit_of_work() as session:
            payments.give_up(session, asked, NEVER_SEEN_SECONDS)


def _verify_pending() -> list[uuid.UUID]:
    """One transaction that cannot be judged does not keep the others waiting; a chain that is away does.

    Returns which were asked for.
    """
    with hub().database.unit_of_work() as session:
        pending = payments.pending(session)
    for transaction_id in pending:
        _verify(transaction_id)
    return pending


def _verify(transaction_id: uuid.UUID) -> None:
    try:
        payment_flows.verify(hub().database, hub().chain, transaction_id)
    except ChainUnreadable as error:
        log.warning("payments.not_readable", transaction_id=str(transaction_id), error=error.message)
    except LightyardError:
        raise
    except Exception:  # noqa: BLE001  logged, still pending, and asked again by the next sweep
        log.exception("payments.not_judged", transaction_id=str(transaction_id))


@shared_task(name="hub.sweep_ton")
def sweep_ton() -> None:
    """Find what came in on TON, where a TON is configured; what it can't tell now is found by a later sweep."""
    if not hub().ton.is_configured:
        return
    with seat("ton") as is_free, turn(hub().cache, "ton", TON_TURN_SECONDS) as is_ours:
        if not (is_free and is_ours):
            return
        try:
            ton_payments.find_arrivals(hub().database, hub().ton, ton_hub.read(hub().settings))
        except LightyardError as error:
            if not error.retryable:
                raise
            log.warning("ton.not_now", error=error.message)
            return
        with hub().database.unit_of_work() as session:
            payments.give_up(session, payments.pending(session, chain="ton"), NEVER_SEEN_SECONDS)


@shared_task(name="hub.sweep_pushes")
def sweep_pushes() -> None:
    """Push again what a provider was too busy for, and ask after what its software holds."""
    with seat("providers") as is_free:
        if not is_free:
            return
        push.check_held(hub().database, hub().outbound, hub().settings)
        push.push_waiting(hub().database, hub().store, hub().outbound, PushPace(hub().cache), hub().settings)


@shared_task(name="hub.sweep_providers")
def sweep_providers() -> None:
    """Add what was noted of providers' work to their reputation, and write down who is there in this minute."""
    with hub().database.unit_of_work() as session:
        reputation.fold(session)
    with hub().database.unit_of_work() as session:
        presence.note_minutes(session, hub().settings.node_unhealthy_seconds)


@shared_task(name="hub.sweep_allocations")
def sweep_allocations() -> None:
    """Nodes come and go, and frames take longer or less than expected: renders under way get their new part of them."""
    with turn(hub().cache, "allocations", TURN_SECONDS) as is_ours:
        if not is_ours:
            return
        with hub().database.unit_of_work() as session:
            found = allocation.waiting(session)
        for first in range(0, len(found), JOBS_AT_ONCE):  # few, for their results wait meanwhile
            with hub().database.unit_of_work() as session:
                allocation.look_again(session, hub().estimate_terms.nodes, found[first : first + JOBS_AT_ONCE])


@shared_task(name="hub.sweep_quotes")
def sweep_quotes() -> None:
    """Withdraw quotes that nobody paid, refund paid jobs that nobody takes, take back what nodes have had for too long, and end
    probes that nobody came for."""
    with hub().database.unit_of_work() as session:
        stale_jobs.withdraw_old_quotes(session, hub().settings.unpaid_kept_seconds)
    with hub().database.unit_of_work() as session:
        stale_jobs.fail_untaken_jobs(session, hub().settings.untaken_seconds)
    with hub().database.unit_of_work() as session:
        limits = (hub().settings.max_failures, hub().settings.max_attempts)
        outcomes.expire_leases(session, limits, most_seconds=HELD_MOST * hub().settings.unit_max_seconds)
    with hub().database.unit_of_work() as session:
        render_probes.drop_stale(session)


@shared_task(name="hub.sweep_uploads")
def sweep_uploads() -> None:
    """Delete what nodes uploaded and never became a result (of lost attempts, or sent again after they were accepted), and what
    users uploaded and no job needs."""
    deleted = hub().store.delete_older("results", RESULT_KEPT_SECONDS)
    log.info("uploads.deleted", count=deleted)
    settings = hub().settings
    unneeded = retention.delete_uploads(
        hub().database, hub().store, settings.upload_unused_seconds, settings.upload_kept_seconds
    )
    log.info("uploads.forgotten", count=unneeded)
    log.info("scenes.deleted", count=scene_uploads.sweep(Scenes(hub().database, hub().store, settings)))


@shared_task(name="hub.sweep_scenes")
def sweep_scenes() -> None:
    """Look at scenes that have come and that nobody looked at: the request that brought the last byte broke off."""
    with turn(hub().cache, "scenes", SCENE_TURN_SECONDS) as is_ours:
        if is_ours:
            scene_uploads.finish_waiting(Scenes(hub().database, hub().store, hub().settings))


@shared_task(name="hub.sweep_task_logs")
def sweep_task_logs() -> None:
    """Delete what compute tasks wrote that ended long ago."""
    forgotten = AT_ONCE
    while forgotten == AT_ONCE:
        with hub().database.unit_of_work() as session:
            forgotten = task_logs.forget_old(session, hub().settings.task_log_kept_days, AT_ONCE)


@shared_task(name="hub.sweep_renders")
def sweep_renders() -> None:
    """Delete events of renders that ended long ago, and previews that are drawn anew when they are asked for."""
    settings, forgotten = hub().settings, AT_ONCE
    while forgotten == AT_ONCE:
        with hub().database.unit_of_work() as session:
            forgotten = job_events.forget_old(session, settings.job_event_kept_days, AT_ONCE)
    hub().store.delete_older(previews.PREFIX, settings.preview_kept_days * DAY_SECONDS)
    with hub().database.unit_of_work() as session:
        x402_settlements.forget_refused(session, DAY_SECONDS)


@shared_task(name="hub.keep_books")
def keep_books() -> None:
    """Number the ledger's new entries, hold them against the books, and fold what was counted."""
    with hub().database.unit_of_work() as session:
        first, _ = audit.number_entries(session)
        accounts.forget_used_messages(session)
        idempotency.forget_expired(session)
        sign_ins.forget_expired(session)
        wallet_challenges.forget_expired(session)
    with hub().database.unit_of_work() as session:
        _tell(audit.differences_since(session, first))
    with hub().database.unit_of_work() as session:
        tallies.fold(session, hub().prices)


@shared_task(name="hub.sweep_proposals")
def sweep_proposals() -> None:
    """Propose what participants' workers earned in periods that are over; an operator approves it."""
    made = proposals.propose_all(hub().database, hub().proposal_terms)
    log.info("proposals.made", count=made)


@shared_task(name="hub.sweep_stakes")
def sweep_stakes() -> None:
    """Give back stakes whose delay is over; one that can't be does not keep the others waiting."""
    with hub().database.unit_of_work() as session:
        waiting = stakes.due(session)
    for unstaking_id in waiting:
        try:
            with hub().database.unit_of_work() as session:
                stakes.release(session, unstaking_id)
        except Exception:  # noqa: BLE001  logged, still pending, and tried by the next sweep
            log.exception("stakes.not_released", unstaking_id=str(unstaking_id))


@shared_task(name="hub.sweep_billing")
def sweep_billing() -> None:
    """Keep looking at where deposits come in, ask for top-ups that are due, and issue the invoices of months that are over."""
    database, settings = hub().database, hub().settings
    with turn(hub().cache, "billing", BILLING_TURN_SECONDS) as is_ours:
        if not is_ours:
            return
        asked, issued = billing.keep_up(database, settings)
    log.info("billing.kept_up", topups=asked, invoices=issued)


@shared_task(name="hub.sweep_usd")
def sweep_usd() -> None:
    """Give every payout that was sent its worth at that time, once."""
    with turn(hub().cache, "usd", TURN_SECONDS) as is_ours:
        if is_ours:
            payout_values.price(hub().database, hub().usd_rates)


@shared_task(name="hub.sweep_anchors")
def sweep_anchors() -> None:
    """Build trees over entries that wait for one, and take their roots onto the chain, where one is configured."""
    settings = hub().settings
    rules = Rules(settings.anchor_entries, settings.anchor_tree_entries, settings.anchor_interval_seconds)
    with seat("anchors") as is_free, turn(hub().cache, "anchors", TURN_SECONDS) as is_ours:
        if not (is_free and is_ours):
            return
        entries = anchors.build(hub().database, rules)
        if entries:
            log.info("anchors.built", entries=entries)
        if hub().evm.can_sign:
            patience = Patience(settings.anchor_confirmations, settings.anchor_replace_seconds)
            anchors.advance_if_possible(hub().database, hub().evm, patience)


@shared_task(name="hub.audit")
def audit_books() -> None:
    """Read every entry: what the numbering's own checks could not see."""
    with hub().database.unit_of_work() as session:
        audit.number_entries(session, look_back=2**62)
    with hub().database.unit_of_work() as session:
        _tell(audit.differences(session), is_whole=True)


def _tell(differences: list[str], is_whole: bool = False) -> None:
    """A difference stays on the dashboard until a whole audit finds none."""
    if differences:
        log.error("ledger.differences", differences=differences[:20], count=len(differences))
    if not is_whole and not metrics.is_audited(hub().cache):
        hub().celery.send_task("hub.audit", expires=WHOLE_AUDIT_SECONDS)  # Valkey was emptied: what it knew is found again now
    metrics.note_audit(hub().cache, len(differences), is_whole)


@shared_task(name="hub.sweep_payouts")
def sweep_payouts() -> None:
    """Open what is due, and take every chain's payouts as far as chain and signer allow. Nothing where no signer runs."""
    with seat("payouts") as is_free, turn(hub().cache, "payouts", PAYOUT_TURN_SECONDS) as is_ours:
        if not (is_free and is_ours):
            return
        if not hub().settings.signer_socket_path.exists():
            return
        made = payouts.open_due(hub().database, hub().payout_rules)
        if made:
            log.info("payouts.opened", count=made)
        for chain in hub().payout_chains:
            try:
                payouts.advance_if_possible(hub().database, chain, hub().signer)
            except Exception:  # noqa: BLE001  logged, and tried again by the next sweep; the other chain must not wait for it
                log.exception("payouts.broken", chain=chain.name)


@shared_task(name="hub.sweep_x402")
def sweep_x402() -> None:
    """Say that payments by x402 are taken, and follow those on their way. Nothing where no signer runs."""
    with seat("x402") as is_free, turn(hub().cache, "x402", X402_TURN_SECONDS) as is_ours:
        if is_free and is_ours and hub().settings.signer_socket_path.exists():
            hub().facilitator.follow_if_possible()


@shared_task(name="hub.look_up_payouts")
def look_up_payouts() -> None:
    """Look for the transactions of payouts that somebody else made and wrote down here."""
    with seat("payouts") as is_free, turn(hub().cache, "recorded payouts", PAYOUT_TURN_SECONDS) as is_ours:
        if is_free and is_ours and hub().ton.is_configured:
            payout_lookup.look_up_if_possible(hub().database, hub().ton)


@shared_task(name="hub.audit_payouts")
def audit_payouts() -> None:
    """Hold every payout against the ledger."""
    with hub().database.unit_of_work() as session:
        found = payout_reconciliation.ledger_differences(session)
    if found:
        log.error("payouts.ledger_differences", differences=found[:20], count=len(found))
    metrics.note_payout_audit(hub().cache, len(found))
