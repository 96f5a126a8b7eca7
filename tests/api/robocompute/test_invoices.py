"""Invoices: each charge stands on one of them, their numbers have no gap, and nobody changes them."""

import io
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.api.robocompute import invoice_pdf
from app.config import Settings
from app.core import disputes, invoices, ledger
from app.core.disputes import Complaint
from app.core.ledger import Party
from app.db import Database, make_engine
from app.flows import billing
from app.stack.stack import LEDGER_ROLE
from app.values import clock
from app.values.money import parse
from tests.api.conftest import UNKNOWN
from tests.api.robocompute.conftest import Person
from tests.factories import charges

SELLER = "Lightyard Ltd|1 Yard Road|VAT 42"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, invoice_seller=SELLER)


def charged(buyer: Person, provider: Person, *costs: str, asset: str = "USDC", name: str = "train") -> list[uuid.UUID]:
    made = []
    for cost in costs:
        made.append(charges.begin(buyer.hub.database, buyer.account_id, "5.00", asset=asset, name=name))
        charges.charge(buyer.hub.database, made[-1], cost, 100, provider.account_id)
    return made


def read_pdf(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)


def test_what_was_charged_is_invoiced_once_as_json_and_as_pdf(buyer: Person, provider: Person) -> None:
    database = buyer.hub.database
    tasks = charged(buyer, provider, "0.50", "1.000001")
    charges.begin(database, buyer.account_id, "2.00")
    charges.release(database, charges.begin(database, buyer.account_id, "2.00"))
    buyer.post("billing/payment-method", json={"billing_details": "Büro Жук 7\nVAT 9"})
    made = buyer.post("billing/invoices")
    assert made.status_code == 201 and made.json["count"] == 1, made.json
    (short,) = made.json["invoices"]
    invoice = buyer.get(f"billing/invoices/{short['id']}").json
    assert {name: invoice[name] for name in ("status", "currency", "total", "amount_due", "tasks", "sequence")} == {
        "status": "paid", "currency": "USDC", "total": "1.500001", "amount_due": "0.00", "tasks": 2, "sequence": 1
    }
    assert invoice["seller"] == "Lightyard Ltd\n1 Yard Road\nVAT 42"
    assert invoice["buyer"].startswith("Büro Жук 7\nVAT 9\n") and buyer.wallet in invoice["buyer"]
    assert [(item["task_id"], item["seconds"], item["amount"]) for item in invoice["lines"]] == [
        (str(tasks[0]), 100, "0.50"), (str(tasks[1]), 100, "1.000001")
    ]
    rows = {item["task_id"]: item["invoice_id"] for item in buyer.get("billing/usage").json["usage"]}
    assert [rows[str(task)] for task in tasks] == [short["id"]] * 2 and list(rows.values()).count(None) == 2
    assert buyer.get("billing/invoices").json["invoices"] == [short]
    assert buyer.post("billing/invoices").json == {"invoices": [], "count": 0}
    answer = buyer.get(f"billing/invoices/{short['id']}.pdf")
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    assert f"{short['number']}.pdf" in answer.headers["Content-Disposition"]
    told = read_pdf(answer.data)
    for part in (short["number"], "Lightyard Ltd", "VAT 42", "Büro Жук 7", "train", "1.000001", "Total 1.500001 USDC", "3.60"):
        assert part in told, part
    assert buyer.get(f"billing/invoices/{short['id']}.pdf").data == answer.data


def test_what_a_dispute_gives_back_is_a_credit_note_to_the_invoice_which_stays_as_it_was(buyer: Person, provider: Person) -> None:
    tasks = charged(buyer, provider, "0.50", "1.25")
    (short,) = buyer.post("billing/invoices").json["invoices"]
    assert (short["total"], short["credited"], short["net"]) == ("1.75", "0.00", "1.75")
    with buyer.hub.database.unit_of_work() as session:
        dispute = disputes.open_dispute(session, tasks[1], Complaint("other", "garbage"), 48, buyer.account_id)
        disputes.slash(session, dispute.id, "test", "its result is garbage")
    invoice = buyer.get(f"billing/invoices/{short['id']}").json
    (note,) = invoice["credit_notes"]
    assert (note["number"], note["position"], note["task_id"]) == (f"{short['number']}-C1", 2, str(tasks[1]))
    assert (note["amount"], note["reason"], note["dispute_id"]) == ("1.25", "its result is garbage", str(dispute.id))
    assert (invoice["total"], invoice["credited"], invoice["net"], invoice["amount_due"]) == ("1.75", "1.25", "0.50", "0.00")
    (listed,) = buyer.get("billing/invoices").json["invoices"]
    assert listed == short | {"credited": "1.25", "net": "0.50"}
    told = read_pdf(buyer.get(f"billing/invoices/{short['id']}.pdf").data)
    for part in ("Total 1.75 USDC", "page 2 of 2", f"{short['number']}-C1", "-1.25", "Credited 1.25, net 0.50 USDC"):
        assert part in told, part


def test_accept_chooses_between_json_and_pdf(buyer: Person, provider: Person) -> None:
    charged(buyer, provider, "0.50")
    made = buyer.post("billing/invoices").json["invoices"][0]["id"]
    for accept, mimetype in (
        (None, "application/json"), ("*/*", "application/json"), ("application/pdf", "application/pdf"),
        ("application/pdf;q=0.5, application/json", "application/json"), ("text/html", "application/json"),
    ):
        sent = {"HTTP_ACCEPT": accept} if accept else {}
        answer = buyer.get(f"billing/invoices/{made}", environ_overrides=sent)
        assert (answer.status_code, answer.mimetype) == (200, mimetype), accept


def test_each_currency_has_its_own_and_many_lines_go_onto_several(
    buyer: Person, provider: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoices, "LINES_MOST", 2)
    with buyer.hub.database.unit_of_work() as session:
        own = Party("balance", buyer.account_id)
        ledger.post(session, Party("chain"), own, parse("50", "USDT"), f"test:{uuid.uuid4()}")
    charged(buyer, provider, "1.00", "1.00", "1.00")
    charged(buyer, provider, "2.00", asset="USDT")
    assert [(item["currency"], item["total"]) for item in buyer.post("billing/invoices").json["invoices"]] == [
        ("USDC", "2.00"), ("USDT", "2.00")
    ]
    assert [item["total"] for item in buyer.post("billing/invoices").json["invoices"]] == ["1.00"]
    listed = buyer.get("billing/invoices?limit=2").json["invoices"]
    assert [item["sequence"] for item in listed] == [3, 2]


def test_numbers_have_no_gap_and_no_charge_stands_twice_however_many_issue_at_once(
    buyer: Person, provider: Person, stranger: Person
) -> None:
    database, seller = buyer.hub.database, "me"
    charged(stranger_with_money(stranger), provider, "1.00")

    def issue(number: int) -> bool:
        if number % 3 == 0:
            charged(buyer, provider, "0.10")
        with database.unit_of_work() as session:
            made = invoices.issue(session, buyer.account_id, "USDC", clock.now() + timedelta(1), seller)
        if number % 5 == 0:
            try:
                with database.unit_of_work() as session:
                    invoices.issue(session, buyer.account_id, "USDC", clock.now() + timedelta(1), seller)
                    raise RuntimeError("it was rolled back")
            except RuntimeError:
                pass
        return made is not None

    with ThreadPoolExecutor(8) as pool:
        made = sum(pool.map(issue, range(24)))
    made += sum(1 for _ in rest(buyer, database))
    listed = buyer.get("billing/invoices").json["invoices"]
    assert [item["sequence"] for item in listed] == list(range(made, 0, -1))
    assert sum(item["tasks"] for item in listed) == 8
    assert sum(parse(item["total"], "USDC").minor for item in listed) == 800_000
    assert stranger.post("billing/invoices").json["invoices"][0]["sequence"] == 1


def stranger_with_money(stranger: Person) -> Person:
    stranger.fund("10")
    return stranger


def rest(buyer: Person, database: Database) -> Iterator[Any]:
    with database.unit_of_work() as session:
        made = invoices.issue(session, buyer.account_id, "USDC", clock.now() + timedelta(1), "me")
    if made is not None:
        yield made


def test_a_month_is_invoiced_when_it_is_over(buyer: Person, provider: Person, stranger: Person, settings: Settings) -> None:
    database = buyer.hub.database
    old, new = charged(buyer, provider, "1.00", "2.00")
    stranger_with_money(stranger)
    (other,) = charged(stranger, provider, "4.00")
    month = invoices.month_start(clock.now())
    charges.date_charge(database, old, month - timedelta(microseconds=1))
    charges.date_charge(database, new, month)
    charges.date_charge(database, other, month - timedelta(days=20))
    assert billing.keep_up(database, settings) == (0, 2)
    assert billing.keep_up(database, settings) == (0, 0)
    assert [item["total"] for item in buyer.get("billing/invoices").json["invoices"]] == ["1.00"]
    assert [item["total"] for item in stranger.get("billing/invoices").json["invoices"]] == ["4.00"]
    assert buyer.post("billing/invoices").json["invoices"][0]["total"] == "2.00"


@pytest.mark.parametrize(
    "change",
    ["UPDATE invoices SET amount_minor = 0", "DELETE FROM invoices", "UPDATE invoice_lines SET name = 'x'",
     "DELETE FROM invoice_lines", "TRUNCATE invoice_lines"],
)
def test_nobody_changes_an_invoice(buyer: Person, provider: Person, database_url: str, change: str) -> None:
    charged(buyer, provider, "1.00")
    made = buyer.post("billing/invoices").json["invoices"][0]["id"]
    before = buyer.get(f"billing/invoices/{made}").json
    with pytest.raises(DBAPIError, match="never changed"), buyer.hub.database.unit_of_work() as session:
        session.execute(text(change))
    limited = Database(make_engine(Settings(database_url=database_url, database_role=LEDGER_ROLE)))
    with pytest.raises(DBAPIError, match="permission denied"), limited.unit_of_work() as session:
        session.execute(text(change))
    limited.engine.dispose()
    buyer.post("billing/payment-method", json={"billing_details": "somebody else"})
    assert buyer.get(f"billing/invoices/{made}").json == before


def test_an_invoice_is_its_owners_alone(buyer: Person, provider: Person, stranger: Person) -> None:
    charged(buyer, provider, "1.00")
    made = buyer.post("billing/invoices").json["invoices"][0]["id"]
    for person, each in ((stranger, made), (provider, made), (buyer, UNKNOWN)):
        for ending in ("", ".pdf"):
            answer = person.get(f"billing/invoices/{each}{ending}")
            assert (answer.status_code, answer.json["error"]["code"]) == (404, "INVOICE_NOT_FOUND")
            assert answer.json["error"]["details"] == {"invoice_id": each}
    assert buyer.get("billing/invoices/x").status_code == buyer.get("billing/invoices/x.pdf").status_code == 400


def test_what_users_write_prints_and_breaks_nothing(buyer: Person, provider: Person) -> None:
    names = ["日本語", "🙂" * 90, "שלום \u202e evil", "a\tb\nc", "(\\) Tj ET", "%PDF <</JS (x)>>", "", "é" * 200]
    for name in names * 12:
        charged(buyer, provider, "0.000001", name=name)
    buyer.post("billing/payment-method", json={"billing_details": "\n".join(["(\\)" * 40] * 4)})
    (made,) = buyer.post("billing/invoices").json["invoices"]
    lines = buyer.get(f"billing/invoices/{made['id']}").json["lines"]
    assert [item["name"] for item in lines[:8]] == names
    data = buyer.get(f"billing/invoices/{made['id']}.pdf").data
    pages = PdfReader(io.BytesIO(data)).pages
    assert len(pages) == -(-len(lines) // invoice_pdf.LINES_PER_PAGE)
    assert "(\\) Tj ET" in read_pdf(data) and "/JavaScript" not in data.decode("latin-1")
    assert f"page {len(pages)} of {len(pages)}" in pages[-1].extract_text() and "Total 0.000096 USDC" in pages[-1].extract_text()
