"""The operator's view of what Stripe sent and nobody could be credited for."""

import json
import uuid
from decimal import Decimal
from pathlib import Path

from app.core import accounts, card_payments
from app.core.card_payments import Terms
from app.db import Database
from app.values.packages import read_packages
from tests.cli.test_commands import CommandLine
from tests.factories import stripe_events as stripe

TERMS = Terms(read_packages("cred10=100", Decimal("0.10")), "usd", is_live=False)


def test_a_problem_is_listed_mended_and_another_put_away(database: Database, database_url: str, tmp_path: Path) -> None:
    line = CommandLine(tmp_path, DATABASE_URL=database_url)
    events = [stripe.event("checkout.session.completed", stripe.session(stripe.new_payment(), uuid.uuid4())) for _ in "ab"]
    with database.unit_of_work() as session:
        buyer = accounts.ensure_identity(session, "email", "jane@example.com")
        events[0]["data"]["object"]["client_reference_id"] = str(buyer)
        events[0]["data"]["object"]["metadata"]["sku"] = "later"
        for event in events:
            card_payments.take(session, event, json.dumps(event), TERMS)
    listed = line.json("stripe", "problems")
    assert [(item["id"], item["code"]) for item in listed["events"]] == [
        (events[0]["id"], "UNKNOWN_SKU"), (events[1]["id"], "UNKNOWN_USER"),
    ]
    assert "problem (metadata.sku 'later'" in line.run("stripe", "retry", events[0]["id"]).stdout
    mended = CommandLine(tmp_path, DATABASE_URL=database_url, CREDIT_PACKAGES="cred10=100,later=100")
    assert mended.run("stripe", "retry", events[0]["id"]).stdout.strip() == f"{events[0]['id']}: applied"
    assert "put away" in line.run("stripe", "dismiss", events[1]["id"]).stdout
    assert line.json("stripe", "problems") == {"events": [], "uncredited_payments": listed["uncredited_payments"]}
    assert "no open problem" in line.refusal("stripe", "retry", events[0]["id"])
