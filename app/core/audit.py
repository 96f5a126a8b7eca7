"""The books held against themselves: new entries at each numbering, everything once in a while."""

from sqlalchemy import text
from sqlalchemy.orm import Session

# Entries commit out of order, so numbering looks back this far for one that came late; the whole audit looks everywhere.
LOOK_BACK_ENTRIES = 200_000

LEGS = """
    SELECT t.id::text FROM transfers t LEFT JOIN entries e ON e.transfer_id = t.id
    WHERE {where} GROUP BY t.id, t.amount_minor
    HAVING count(e.id) <> 2 OR sum(CASE e.direction WHEN 'DEBIT' THEN -e.amount_minor ELSE e.amount_minor END) <> 0
    OR max(e.amount_minor) <> t.amount_minor"""

WHOLE = {
    "a transfer without exactly two equal legs": LEGS.format(where="true"),
    "a balance that its entries do not add up to": """
        SELECT a.id::text FROM ledger_accounts a LEFT JOIN entries e ON e.account_id = a.id
        WHERE a.balance_minor IS NOT NULL GROUP BY a.id HAVING a.balance_minor <>
        coalesce(sum(CASE e.direction WHEN 'DEBIT' THEN -e.amount_minor ELSE e.amount_minor END), 0)""",
    "a balance below zero": """
        SELECT id::text FROM ledger_accounts WHERE balance_minor < 0 AND NOT may_be_negative""",
    "a task that is over and still holds money": """
        SELECT h.job_id::text FROM task_holds h JOIN jobs j ON j.id = h.job_id
        WHERE h.state = 'held' AND j.state IN ('completed', 'failed', 'cancelled')""",
    "what is held for a task and is not in the ledger": """
        SELECT h.job_id::text FROM task_holds h LEFT JOIN transfers t ON t.job_id = h.job_id
        LEFT JOIN ledger_accounts s ON s.id = t.source_id AND s.kind = 'held'
        LEFT JOIN ledger_accounts d ON d.id = t.destination_id AND d.kind = 'held'
        GROUP BY h.id HAVING CASE h.state WHEN 'held' THEN h.amount_minor ELSE 0 END <>
            coalesce(sum(t.amount_minor) FILTER (WHERE d.id IS NOT NULL), 0)
            - coalesce(sum(t.amount_minor) FILTER (WHERE s.id IS NOT NULL), 0)""",
    "what a task cost and nobody got": """
        SELECT t.job_id::text FROM tasks t JOIN task_holds h ON h.job_id = t.job_id
        WHERE t.billed_minor <> coalesce(h.earned_minor + h.fee_minor, 0)""",
    "a render that is over and still holds money": """
        SELECT h.job_id::text FROM render_holds h JOIN jobs j ON j.id = h.job_id
        WHERE h.amount_minor > 0 AND j.state IN ('completed', 'failed', 'cancelled')""",
    "what is held for a render and is not in the ledger": """
        SELECT h.job_id::text FROM render_holds h LEFT JOIN transfers t ON t.job_id = h.job_id
        LEFT JOIN ledger_accounts s ON s.id = t.source_id AND s.kind = 'held'
        LEFT JOIN ledger_accounts d ON d.id = t.destination_id AND d.kind = 'held'
        GROUP BY h.id HAVING h.amount_minor <> coalesce(sum(t.amount_minor) FILTER (WHERE d.id IS NOT NULL), 0)
            - coalesce(sum(t.amount_minor) FILTER (WHERE s.id IS NOT NULL), 0)""",
    "what a render was charged and its frames do not cost": """
        SELECT o.job_id::text FROM render_orders o LEFT JOIN work_units u ON u.job_id = o.job_id
        GROUP BY o.job_id HAVING o.charged_minor <> coalesce(sum(u.cost_minor), 0)""",
    "what a render was charged and nobody got": """
        SELECT o.job_id::text FROM render_orders o LEFT JOIN transfers t ON t.job_id = o.job_id
        LEFT JOIN ledger_accounts s ON s.id = t.source_id AND s.kind = 'held'
        WHERE o.mode <> 'pay_before_download' OR o.settled_at IS NOT NULL
        GROUP BY o.job_id HAVING o.charged_minor <> coalesce(
            sum(t.amount_minor) FILTER (WHERE s.id IS NOT NULL AND t.reference NOT LIKE 'render:release:%'), 0)""",
}

FRESH = "SELECT entry_id FROM entry_numbers WHERE number >= :first"
NEW = {
    "a transfer without exactly two equal legs": LEGS.format(
        where=f"t.id IN (SELECT transfer_id FROM entries WHERE id IN ({FRESH}))"
    ),
    "a balance that does not follow from the one before": f"""
        SELECT e.id::text FROM entries e LEFT JOIN LATERAL (
            SELECT p.balance_after_minor FROM entries p WHERE p.account_id = e.account_id AND p.sequence < e.sequence
            ORDER BY p.sequence DESC LIMIT 1) before ON true
        WHERE e.id IN ({FRESH}) AND e.balance_after_minor IS NOT NULL AND e.balance_after_minor <>
        coalesce(before.balance_after_minor, 0) + CASE e.direction WHEN 'DEBIT' THEN -e.amount_minor ELSE e.amount_minor END""",
    "a balance that is not its last entry's": f"""
        SELECT a.id::text FROM ledger_accounts a JOIN LATERAL (
            SELECT e.balance_after_minor FROM entries e WHERE e.account_id = a.id ORDER BY e.sequence DESC LIMIT 1) last ON true
        WHERE a.id IN (SELECT account_id FROM entries WHERE id IN ({FRESH}))
        AND a.balance_minor IS NOT NULL AND a.balance_minor <> last.balance_after_minor""",
}


def number_entries(session: Session, look_back: int = LOOK_BACK_ENTRIES) -> tuple[int, int]:
    """Give committed entries their gap-free integers; one numbering pass runs at a time.

    Returns (first new number, how many). An entry that is already numbered keeps its integer for ever.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('entry_numbers'))"))
    last = session.execute(text("SELECT coalesce(max(number), 0) FROM entry_numbers")).scalar_one()
    rows = session.execute(
        text("""
        INSERT INTO entry_numbers (number, entry_id)
        SELECT :last + row_number() OVER (ORDER BY e.sequence), e.id
        FROM entries e LEFT JOIN entry_numbers n ON n.entry_id = e.id
        WHERE n.entry_id IS NULL AND e.sequence > (SELECT coalesce(max(sequence), 0) - :look_back FROM entries)
        RETURNING number"""),
        {"last": last, "look_back": look_back},
    ).all()
    return last + 1, len(rows)


def differences_since(session: Session, first_number: int) -> list[str]:
    """Every way in which the entries from this number on disagree with the books; empty is the invariant."""
    return _differences(session, NEW, {"first": first_number})


def differences(session: Session) -> list[str]:
    """Every way in which the whole books disagree with themselves; empty is the invariant. It reads every entry."""
    session.execute(text("SET LOCAL statement_timeout = 0"))
    return _differences(session, WHOLE, {})


def _differences(session: Session, checks: dict[str, str], values: dict[str, int]) -> list[str]:
    return [f"{name}: {row[0]}" for name, sql in checks.items() for row in session.execute(text(sql), values)]
