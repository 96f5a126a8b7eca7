"""The tax report and finance's list: the reference's header, years of UTC, exact amounts, flat memory, no formulas."""

import csv
import io
import os
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from app.core import accounts
from app.values import clock
from app.wiring import Hub
from tests.api.cocoon.conftest import Person, join, wallet
from tests.api.cocoon.test_payouts import POOL, record

HEADER = ("Date,Transaction Hash,Participant ID,Wallet Address,Amount (TON),Amount (USD),From Address,Confirmed,Block Number,"
          "Total Requests,Compute Time (seconds)")
MANY = 100_000
FILL = text("""
INSERT INTO payouts (id, origin, state, account_id, participant_id, chain, asset, amount_minor, destination, source, memo,
    reference, tx_hash, transaction_time, confirmations, is_confirmed, failures, created_at)
SELECT gen_random_uuid(), 'recorded', 'created', :account, :participant, 'ton', 'TON', n, :wallet, :wallet, '', 'fill:' || n,
    lpad(to_hex(n), 64, '0'), timestamptz '2025-01-01T00:00:00Z' + (n % 1000) * interval '1 minute', 0, false, 0, now()
FROM generate_series(1, :many) n
""")


def resident_bytes() -> int:
    """What this process has of the machine's memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rows_of(answer: Any) -> list[list[str]]:
    assert answer.status_code == 200 and answer.mimetype == "text/csv", answer.text
    return list(csv.reader(io.StringIO(answer.text, newline="")))


def test_the_tax_report_as_the_reference_writes_it(hub: Hub, operator: Person, participant: Person) -> None:
    made = record(operator, participant, amount_ton="0.00001", total_requests=7, total_compute_time_seconds=60).json
    with hub.database.unit_of_work() as session:
        session.execute(text("UPDATE payouts SET is_confirmed = true, state = 'confirmed', block_number = 42"))
    record(operator, participant, transaction_time="2025-01-02T00:00:00Z", amount_usd=...)
    answer = participant.get(f"payouts/export/tax-report?participant_id={participant.id}&year=2025")
    day = clock.now().strftime("%Y%m%d")
    assert answer.headers["Content-Disposition"] == f"attachment; filename=cocoon_payouts_tax_report_{day}.csv"
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = answer.text.split("\r\n")
    assert lines[0] == HEADER and lines[3] == ""
    assert participant.address is not None
    address, pool = participant.address.friendly(bounceable=False), POOL.friendly(bounceable=False)
    assert lines[2] == (f"2025-01-15 10:30:00,{made['transaction_hash']},{participant.id},{address},0.000010000,89.25,{pool},Yes,"
                        "42,7,60")
    assert lines[1].startswith("2025-01-02 00:00:00,") and lines[1].endswith(f",25.500000000,76.50,{pool},No,,,")


def test_a_year_is_utcs(operator: Person, participant: Person) -> None:
    moments = ("2024-12-31T23:59:59Z", "2025-01-01T00:00:00Z", "2025-01-01T01:00:00+02:00", "2025-12-31T23:59:59.999999Z",
               "2026-01-01T00:00:00Z", "2025-12-31T23:30:00-01:00")
    for moment in moments:
        assert record(operator, participant, transaction_time=moment, period_start=..., period_end=...).status_code == 201

    def dates(query: str) -> list[str]:
        return [row[0] for row in rows_of(participant.get(f"payouts/export/tax-report{query}"))[1:]]

    assert dates("?year=2025") == ["2025-01-01 00:00:00", "2025-12-31 23:59:59"]
    assert dates("?year=2024") == ["2024-12-31 23:00:00", "2024-12-31 23:59:59"]
    assert dates("?year=2026") == ["2026-01-01 00:00:00", "2026-01-01 00:30:00"]
    assert len(dates("")) == 6 and dates("?year=2023") == []


def test_who_gets_which_report(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    other = join(client, hub)
    for person in (participant, other):
        record(operator, person)

    def people(person: Person, query: str = "") -> set[str]:
        return {row[2] for row in rows_of(person.get(f"payouts/export/tax-report{query}"))[1:]}

    assert people(operator) == {str(participant.id), str(other.id)}
    assert people(operator, f"?participant_id={other.id}") == {str(other.id)}
    assert people(participant) == {str(participant.id)}
    assert operator.get("payouts/export/tax-report?participant_id=999").status_code == 404
    for query in ("?year=1999", "?year=20255", "?year=x", "?participant_id=x", "?participant_id=0", "?year=2025.5"):
        assert operator.get(f"payouts/export/tax-report{query}").status_code == 422, query


def test_the_report_of_nobody_is_its_header(participant: Person) -> None:
    assert participant.get("payouts/export/tax-report?year=2025").text == HEADER + "\r\n"


@pytest.mark.parametrize("path", ["tax-report?year=2025", ""])
def test_a_hundred_thousand_rows_flow_through_flat_memory(client: FlaskClient, hub: Hub, operator: Person, path: str) -> None:
    person = join(client, hub)
    values = {"account": person.account_id, "participant": person.id, "wallet": wallet().raw, "many": MANY}
    with hub.database.unit_of_work() as session:
        session.execute(FILL, values)
        session.execute(text("ANALYZE payouts"))  # as a database of that size has long been
    answer = operator.get(f"payouts/export/{path}".rstrip("/"), buffered=False)
    chunks = iter(answer.response)
    lines, seen = next(chunks).count(b"\r\n") + next(chunks).count(b"\r\n"), set[bytes]()
    column = 1 if path else 13
    before, peak = resident_bytes(), 0
    for number, chunk in enumerate(chunks):
        lines += chunk.count(b"\r\n")
        peak = max(peak, resident_bytes() - before)
        if number % 10 == 0:
            seen.add(chunk.split(b",")[column])
    assert lines == MANY + 1 and len(seen) == 10
    assert peak < 32_000_000, f"{peak} bytes for {MANY} rows"  # all of them as text are as much, and as rows ten times that


def finance(client: FlaskClient, hub: Hub) -> Person:
    person = Person(client, hub, wallet())
    with hub.database.unit_of_work() as session:
        accounts.grant_role(session, person.account_id, "finance")
    return person


def test_finance_and_operators_get_all_payouts(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    made = record(operator, participant).json
    with hub.database.unit_of_work() as session:
        session.execute(text("""
            INSERT INTO payouts (id, origin, state, account_id, chain, asset, amount_minor, destination, memo, reference,
                confirmations, is_confirmed, failures, created_at)
            VALUES (gen_random_uuid(), 'engine', 'created', :account, 'solana', 'USDC', 1250000, 'So1ana', 'memo', 'due:1', 0,
                false, 0, '2025-03-01T12:00:00Z')"""), {"account": participant.account_id})
    accountant = finance(client, hub)
    for person in (operator, accountant):
        rows = rows_of(person.get("payouts/export"))
        assert [row[3:6] for row in rows[1:]] == [["ton", "TON", "25.500000000"], ["solana", "USDC", "1.250000"]]
        assert dict(zip(rows[0], rows[1], strict=True))["Transaction Hash"] == made["transaction_hash"]
    assert participant.get("payouts/export").status_code == 403
    disposition = operator.get("payouts/export").headers["Content-Disposition"]
    assert disposition == f"attachment; filename=lightyard_payouts_{clock.now():%Y%m%d}.csv"

    def assets(query: str) -> list[str]:
        return [row[4] for row in rows_of(accountant.get(f"payouts/export{query}"))[1:]]

    assert assets("?chain=ton") == ["TON"] and assets("?chain=solana") == ["USDC"]
    assert assets("?from=2025-01-15&to=2025-03-01") == ["TON"] and assets("?from=2025-01-16") == ["USDC"]
    assert assets("?from=2025-03-01T12:00:00Z&to=2025-03-01T12:00:01Z") == ["USDC"] and assets("?to=2025-01-15T10:30:00Z") == []
    for query in ("?chain=evm", "?from=x", "?from=2025-02-30", "?from=2025-02-02&to=2025-02-01", "?to=5"):
        assert operator.get(f"payouts/export{query}").status_code == 422, query


def test_users_texts_are_no_formulas(client: FlaskClient, hub: Hub, operator: Person) -> None:
    for name in ("=HYPERLINK(\"http://x\")", "+1+1", "-2", "@SUM(A1:A9)", "\t=1", 'a "b", c', "two\nlines"):
        record(operator, join(client, hub, username=name))
    rows = rows_of(operator.get("payouts/export"))
    names = [row[rows[0].index("Name")] for row in rows[1:]]
    assert names == ["'=HYPERLINK(\"http://x\")", "'+1+1", "'-2", "'@SUM(A1:A9)", "' =1", 'a "b", c', "two lines"]
    assert all(len(row) == len(rows[0]) for row in rows)
