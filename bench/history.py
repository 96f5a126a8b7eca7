"""A marketplace's past, written straight into its tables: finished jobs with their units, attempts, payments and books."""

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session
from tqdm import tqdm

from app.core import audit, ledger, tallies
from app.core.ledger import Party
from app.db import Database
from bench import seeding
from bench.stack import BenchError

PRICE_MINOR, FEE_MINOR, ASSET = 7_350_000, 350_000, "SOL"
CHUNK = 10_000

# One made-up past for everything: a job a second, the last one an hour ago.
_PAST = """
CREATE TEMPORARY TABLE past ON COMMIT DROP AS SELECT gen_random_uuid() AS job_id, gen_random_uuid() AS unit_id,
    gen_random_uuid() AS attempt_id, gen_random_uuid() AS payment_id, gen_random_uuid() AS paid_id, gen_random_uuid() AS fee_id,
    now() - make_interval(secs => 3600 + :first + n) AS at, :first + n AS number FROM generate_series(1, :count) AS n
"""
_ROWS = (
    """
    INSERT INTO jobs (id, dialect, kind, name, client_wallet, provider_id, scene_id, state, payment_state, settings, breakdown,
        price_minor, asset, priority, tier, units_total, units_completed, render_seconds, created_at, expires_at, paid_at,
        started_at, ended_at)
    SELECT job_id, 'rayment', 'render', 'past', 'past', :provider_id, :scene_id, 'completed', 'confirmed',
        '{"width": 8, "height": 6, "samples": 1, "engine": "cycles", "output_format": "PNG", "frame_list": [1]}',
        '{"platform_fee": "0.00035"}', :price, :asset, 0, 'priority', 1, 1, 1.5, at, at, at, at, at FROM past""",
    """
    INSERT INTO work_units (id, job_id, ordinal, kind, frame, capability, provider_id, priority, is_parked, state, queued_at,
        rung_at, fence, attempt_id, progress, failures, losses, blocked_nodes, result_key, result_sha256, result_bytes, seconds,
        completed_at)
    SELECT unit_id, job_id, 0, 'frame', 1, 'render', :provider_id, 0, false, 'completed', at, at, 1, attempt_id, 1, 0, 0, '{}',
        'accepted/past/' || number, repeat('0', 64), 80, 1.5, at FROM past""",
    """
    INSERT INTO attempts (id, unit_id, fence, state, upload_key, started_at, ended_at)
    SELECT attempt_id, unit_id, 1, 'completed', 'results/past/' || number, at, at FROM past""",
    """
    INSERT INTO payments (id, job_id, purpose, chain, asset, amount_minor, rate, rate_source, pay_to, memo, state, tx_signature,
        created_at, expires_at, confirmed_at)
    SELECT payment_id, job_id, 'job', 'solana', :asset, :price, 1, 'none', 'past', 'past:' || payment_id, 'confirmed',
        'past' || number, at, at, at FROM past""",
    """
    INSERT INTO chain_transactions (id, chain, signature, payment_id, state, received_minor, created_at, decided_at)
    SELECT gen_random_uuid(), 'solana', 'past' || number, payment_id, 'accepted', :price, at, at FROM past""",
    """
    INSERT INTO transfers (id, source_id, destination_id, amount_minor, asset, reference, job_id, created_at)
    SELECT paid_id, CAST(:chain AS uuid), CAST(:external AS uuid), CAST(:price AS bigint), :asset, 'payment:past:' || number,
        job_id, at FROM past UNION ALL
    SELECT fee_id, :debt, :fees, :fee, :asset, 'fee:' || job_id, job_id, at FROM past""",
    """
    INSERT INTO entries (id, transfer_id, account_id, direction, amount_minor, balance_after_minor, created_at)
    SELECT gen_random_uuid(), leg.transfer_id, leg.account_id, leg.direction, leg.amount, leg.after, past.at
    FROM past CROSS JOIN (SELECT balance_minor AS paid FROM ledger_accounts WHERE id = :external) AS paid
    CROSS JOIN (SELECT balance_minor AS owed FROM ledger_accounts WHERE id = :debt) AS owed
    CROSS JOIN LATERAL (VALUES
        (paid_id, CAST(:chain AS uuid), 'DEBIT', CAST(:price AS bigint), NULL),
        (paid_id, :external, 'CREDIT', :price, paid.paid + (past.number - :first) * CAST(:price AS bigint)),
        (fee_id, :debt, 'DEBIT', :fee, owed.owed - (past.number - :first) * CAST(:fee AS bigint)),
        (fee_id, :fees, 'CREDIT', :fee, NULL)) AS leg (transfer_id, account_id, direction, amount, after)
    ORDER BY past.number""",
    "UPDATE ledger_accounts SET balance_minor = balance_minor + :count * CAST(:price AS bigint) WHERE id = :external",
    "UPDATE ledger_accounts SET balance_minor = balance_minor - :count * CAST(:fee AS bigint) WHERE id = :debt",
)


def write_history(database: Database, jobs: int) -> None:
    """`jobs` finished jobs of one frame for the local provider; the books agree afterwards, and statistics are fresh."""
    scene_id = seeding.make_scene(database)
    with tqdm(total=jobs, desc="writing finished jobs", unit="job", leave=False) as bar:
        for first in range(0, jobs, CHUNK):
            count = min(CHUNK, jobs - first)
            with database.unit_of_work() as session:
                _write(session, scene_id, first, count)
            with database.unit_of_work() as session:
                tallies.fold(session, {"render"})
            bar.update(count)
    with database.unit_of_work() as session:
        audit.number_entries(session, look_back=8 * jobs)
        problems = audit.differences(session) + audit.differences_since(session, 1)
    if problems:
        raise BenchError(f"the made-up past does not balance: {problems[:3]}")
    with database.unit_of_work() as session:
        session.execute(text("ANALYZE"))


def _write(session: Session, scene_id: uuid.UUID, first: int, count: int) -> None:
    provider = seeding.local_provider(session)
    parties = {
        "chain": Party("chain"),
        "fees": Party("fees"),
        "external": Party("external", provider.account_id),
        "debt": Party("debt", provider.account_id),
    }
    values = {name: ledger.open_account(session, party, ASSET).id for name, party in parties.items()} | {
        "provider_id": provider.id,
        "scene_id": scene_id,
        "price": PRICE_MINOR,
        "fee": FEE_MINOR,
        "asset": ASSET,
        "first": first,
        "count": count,
    }
    for statement in (_PAST, *_ROWS):
        session.execute(text(statement), values)
