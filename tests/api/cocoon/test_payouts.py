"""Recorded payouts: exact amounts, each transaction once in whatever spelling, seen by whom they concern."""

import base64
import io
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import simplejson
from flask.testing import FlaskClient
from sqlalchemy import text

from app.core import audit, participant_payouts, payout_records
from app.factory import create_app
from app.flows import payout_values
from app.values import clock
from app.wiring import Hub
from tests.api.cocoon.conftest import Person, join, wallet

FIELDS = {"id", "participant_id", "transaction_hash", "amount_ton", "amount_usd", "usd_rate", "usd_rate_source", "from_address",
          "to_address", "transaction_time", "period_start", "period_end", "confirmed", "confirmations", "block_number",
          "total_requests", "total_compute_time_seconds", "origin", "state", "reason", "created_at"}
POOL = wallet()


def body_for(person: Person, **more: Any) -> dict[str, Any]:
    assert person.address is not None
    body = {
        "participant_id": person.id,
        "transaction_hash": secrets.token_hex(32),
        "amount_ton": 25.5,
        "amount_usd": 89.25,
        "from_address": POOL.friendly(bounceable=False),
        "to_address": person.address.friendly(bounceable=False),
        "transaction_time": "2025-01-15T10:30:00Z",
        "period_start": "2025-01-08T00:00:00Z",
        "period_end": "2025-01-15T00:00:00Z",
    }
    return {name: value for name, value in (body | more).items() if value is not ...}


def record(operator: Person, person: Person, key: str | None = None, **more: Any) -> Any:
    return operator.post("payouts", json=body_for(person, **more), key=key)


def exact(answer: Any) -> Any:
    """The answer with its numbers as they were written."""
    return simplejson.loads(answer.text, parse_float=simplejson.RawJSON)


def test_the_seeds_example(operator: Person, participant: Person) -> None:
    body = body_for(participant, total_requests=1000, total_compute_time_seconds=3600)
    answer = operator.post("payouts", json=body)
    assert answer.status_code == 201 and set(answer.json) == FIELDS
    made = answer.json
    assert {name: made[name] for name in body} == body
    assert (made["confirmed"], made["confirmations"], made["block_number"]) == (False, 0, None)
    assert (made["origin"], made["usd_rate_source"]) == ("recorded", "recorded")
    assert operator.get(f"payouts/{made['id']}").json == made == participant.get(f"payouts/{made['id']}").json
    assert operator.get("payouts").json == [made] == participant.get(f"payouts?participant_id={participant.id}&limit=100").json


@pytest.mark.parametrize(
    ("sent", "shown"),
    [(25.5, "25.5"), (1, "1"), ("0.000000001", "1E-9"), (0.00001, "0.00001"), ("12345678.123456789", None), ("7.10", "7.1"),
     ("4000000000", None)],
)
def test_amounts_are_exact_numbers(operator: Person, participant: Person, sent: Any, shown: str | None) -> None:
    answer = record(operator, participant, amount_ton=sent)
    assert answer.status_code == 201, answer.json
    written = answer.text.split('"amount_ton": ')[1].split(",")[0]
    assert "e" not in written.lower() and Decimal(written) == Decimal(shown or str(sent))
    figures = participant.get(f"participants/{participant.id}")
    assert f'"total_revenue_ton": {written},' in figures.text and figures.json["total_payouts"] == 1


def test_a_number_keeps_every_digit_that_was_sent(operator: Person, participant: Person) -> None:
    text_body = simplejson.dumps(body_for(participant)).replace("25.5", "12345678.123456789")
    answer = operator.post("payouts", data=text_body, content_type="application/json")
    assert '"amount_ton": 12345678.123456789,' in answer.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("amount_ton", value) for value in (0, -1, "-1", 1e30, "1e30", "NaN", "Infinity", 0.0000000001, "25.1234567891", "",
                                              "ten", None, True, [], {}, 5_000_000_000, "+1", " 1", "1_0", ...)),
        *(("amount_usd", value) for value in (-0.01, 1e30, "NaN", "x", True, 10**12 + 1)),
        *(("transaction_hash", value) for value in ("", "abc123", "g" * 64, "a" * 63, "a" * 65, "A" * 44, "a" * 43 + "=" * 2,
                                                    5, None, ..., " " + "a" * 64)),
        *(("from_address", value) for value in ("", "UQPool", None, ...)),
        *(("to_address", value) for value in ("x", "5:" + "a" * 64, ...)),
        *(("participant_id", value) for value in (0, -1, "x", 1.5, 2**31, None, ...)),
        *(("transaction_time", value) for value in ("yesterday", "2025-02-30T00:00:00Z", "2018-12-31T23:59:59Z", 5, None, ...,
                                                    "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "2100-01-01")),
        *(("period_end", value) for value in ("2025-01-07T23:59:59Z", "x", "2999-01-01T00:00:00Z")),
        *(("total_requests", value) for value in (-1, 2**60, 1.5, "x")),
        ("total_compute_time_seconds", -1),
    ],
    ids=repr,
)
def test_bad_fields_are_422_and_named(operator: Person, participant: Person, field: str, value: Any) -> None:
    answer = record(operator, participant, **{field: value})
    assert answer.status_code == 422 and set(answer.json) == {"detail"} and field in answer.json["detail"], answer.json
    assert operator.get("payouts").json == []


def test_a_number_that_is_none_in_json_is_422(operator: Person, participant: Person) -> None:
    for number in ("NaN", "1e999", "-Infinity"):
        data = simplejson.dumps(body_for(participant)).replace("25.5", number)
        assert operator.post("payouts", data=data, content_type="application/json").status_code == 422


def test_one_transaction_in_every_spelling_is_one(operator: Person, participant: Person) -> None:
    raw = bytes([251, 255]) + secrets.token_bytes(30)
    spellings = (raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode())
    made = record(operator, participant, transaction_hash=spellings[2])
    assert made.status_code == 201 and made.json["transaction_hash"] == raw.hex()
    for spelling in spellings:
        answer = record(operator, participant, transaction_hash=spelling, amount_ton=1)
        assert answer.status_code == 400 and "already recorded" in answer.json["detail"]
    assert operator.get("payouts").json == [made.json]


def test_twenty_records_of_one_transaction_at_once_are_one(settings: Any, operator: Person, participant: Person) -> None:
    body = body_for(participant)
    processes = [create_app(settings) for _ in range(2)]

    def send(number: int) -> int:
        head = {"Authorization": f"Bearer {operator.key}"}
        answer = processes[number % 2].test_client().post("/api/v1/payouts", json=body, headers=head)
        return int(answer.status_code)

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(send, range(20))) == [201] + [400] * 19
    assert len(operator.get("payouts").json) == 1
    for app in processes:
        app.extensions["lightyard"].database.engine.dispose()


def test_an_idempotency_key_answers_the_same(operator: Person, participant: Person) -> None:
    body = body_for(participant)
    first = operator.post("payouts", json=body, key="k")
    again = operator.post("payouts", json=body, key="k")
    assert (first.status_code, again.status_code) == (201, 201) and first.text == again.text
    assert operator.post("payouts", json=body_for(participant), key="k").status_code == 409


def test_only_an_operator_records(operator: Person, participant: Person) -> None:
    assert participant.post("payouts", json=body_for(participant)).status_code == 403
    stranger = Person(participant.client, participant.client.application.extensions["lightyard"], wallet())
    assert stranger.post("payouts", json=body_for(participant)).status_code == 403
    assert record(operator, participant, participant_id=999).status_code == 404


def test_participants_see_their_own_only(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    other = join(client, hub)
    mine, others = (record(operator, person).json for person in (participant, other))
    assert participant.get("payouts").json == [mine]
    assert [row["id"] for row in operator.get("payouts").json] == [others["id"], mine["id"]]
    for path in (f"payouts/{others['id']}", f"payouts/participant/{other.id}/summary", f"payouts?participant_id={other.id}",
                 f"payouts/export/tax-report?participant_id={other.id}", f"payouts/proposals?participant_id={other.id}"):
        answer = participant.get(path)
        assert answer.status_code == 404 and set(answer.json) == {"detail"}, path
    assert operator.get("payouts?participant_id=999").json == []


def test_lists_are_filtered_and_paged(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    other = join(client, hub)
    ids = [record(operator, person).json["id"] for person in (participant, other, participant, participant)]
    with hub.database.unit_of_work() as session:
        session.execute(text("UPDATE payouts SET is_confirmed = true, state = 'confirmed' WHERE number = :id"), {"id": ids[2]})

    def found(query: str) -> list[int]:
        return [row["id"] for row in operator.get(f"payouts{query}").json]

    assert found("") == ids[::-1] and found("?limit=2&offset=1") == [ids[2], ids[1]]
    assert found(f"?participant_id={participant.id}&limit=100") == [ids[3], ids[2], ids[0]]
    assert found("?confirmed=true") == [ids[2]] and found("?confirmed=false&offset=2") == [ids[0]]
    for query in ("?limit=0", "?limit=1001", "?offset=-1", "?confirmed=perhaps", "?participant_id=0", f"?participant_id={2**31}"):
        assert operator.get(f"payouts{query}").status_code == 422


def test_the_summary(hub: Hub, operator: Person, participant: Person) -> None:
    path = f"payouts/participant/{participant.id}/summary"
    nothing = {"participant_id": participant.id, "total_payouts": 0, "confirmed_payouts": 0, "total_amount_ton": 0,
               "total_amount_usd": 0, "first_payout": None, "last_payout": None}
    assert participant.get(path).json == nothing
    for amount, usd, day in (("0.1", 0.3, 15), ("0.2", 0.6, 3)):
        record(operator, participant, amount_ton=amount, amount_usd=usd, transaction_time=f"2025-01-{day:02}T10:30:00+02:00")
    assert exact(participant.get(path))["total_amount_ton"].encoded_json == "0.3"
    shown = participant.get(path).json
    assert (shown["total_payouts"], shown["confirmed_payouts"], shown["total_amount_usd"]) == (2, 0, 0.9)
    assert (shown["first_payout"], shown["last_payout"]) == ("2025-01-03T08:30:00Z", "2025-01-15T08:30:00Z")
    assert operator.get("payouts/participant/999/summary").status_code == 404
    assert operator.get("payouts/participant/x/summary").status_code == 422


def test_dollars_are_those_of_the_transactions_time(settings: Any, operator: Person, participant: Person) -> None:
    app = create_app(replace(settings, rates_usd_since="TON@2025-01-01=5.5,TON@2025-01-15=6"))
    hub = app.extensions["lightyard"]
    there = Person(app.test_client(), hub)
    cases = {"2024-12-31T23:59:59Z": (6, 3, "settings"), "2025-01-14T23:59:59Z": (11, 5.5, "settings@2025-01-01"),
             "2025-01-15T01:00:00+02:00": (11, 5.5, "settings@2025-01-01"),
             "2025-01-15T00:00:00Z": (12, 6, "settings@2025-01-15")}
    for moment, expected in cases.items():
        made = record(there, participant, amount_ton=2, amount_usd=..., transaction_time=moment).json
        assert (made["amount_usd"], made["usd_rate"], made["usd_rate_source"]) == expected
    hub.database.engine.dispose()


def test_a_rate_that_nobody_knew_is_asked_for_again(settings: Any, hub: Hub, operator: Person, participant: Person) -> None:
    app = create_app(replace(settings, rates_usd="SOL=150,USDC=1"))
    poor = app.extensions["lightyard"]
    made = record(Person(app.test_client(), poor), participant, amount_ton=2, amount_usd=None).json
    assert (made["amount_usd"], made["usd_rate"], made["usd_rate_source"]) == (None, None, None)
    given = record(operator, participant).json
    assert payout_values.price(poor.database, poor.usd_rates) == 0
    assert payout_values.price(hub.database, hub.usd_rates) == 1
    assert payout_values.price(hub.database, hub.usd_rates) == 0
    found = operator.get(f"payouts/{made['id']}").json
    assert (found["amount_usd"], found["usd_rate"], found["usd_rate_source"]) == (6, 3, "settings")
    assert operator.get(f"payouts/{given['id']}").json == given
    poor.database.engine.dispose()


def test_the_rate_is_of_the_chains_time_where_that_is_another(settings: Any, operator: Person, participant: Person) -> None:
    app = create_app(replace(settings, rates_usd_since="TON@2025-01-01=5.5,TON@2025-01-15=6"))
    hub, there = app.extensions["lightyard"], Person(app.test_client(), app.extensions["lightyard"])
    said, given = record(there, participant, amount_ton=2, amount_usd=...).json, record(there, participant, amount_ton=2).json
    assert said["amount_usd"] == 12
    moment = datetime(2025, 1, 14, 23, 59, tzinfo=UTC)
    with hub.database.unit_of_work() as session:
        for number in (said["id"], given["id"]):
            found = participant_payouts.get(session, number, None)
            assert payout_records.note_found(session, found.id, True, moment, "as recorded")
    assert payout_values.price(hub.database, hub.usd_rates) == 1
    rows = operator.get("payouts?confirmed=true").json[::-1]
    assert [row["id"] for row in rows] == [said["id"], given["id"]]
    shown = [(row["transaction_time"], row["amount_usd"], row["usd_rate_source"]) for row in rows]
    assert shown == [("2025-01-14T23:59:00Z", 11, "settings@2025-01-01"), ("2025-01-14T23:59:00Z", 89.25, "recorded")]
    hub.database.engine.dispose()


def test_recording_moves_no_money(hub: Hub, operator: Person, participant: Person) -> None:
    record(operator, participant)
    with hub.database.unit_of_work() as session:
        assert session.execute(text("SELECT count(*) FROM transfers")).scalar_one() == 0
        assert audit.differences(session) == []


@pytest.mark.parametrize("digits", ["25.5000000000000000000000000000000001", "25." + "0" * 60 + "1", "1e-99999999"])
def test_a_number_with_more_digits_than_can_be_kept_is_refused_not_rounded(
    operator: Person, participant: Person, digits: str
) -> None:
    for field in ("25.5", "89.25"):
        body = simplejson.dumps(body_for(participant)).replace(field, digits)
        answer = operator.post("payouts", data=body, content_type="application/json")
        assert answer.status_code == 422 and "amount_" in answer.json["detail"]


def test_a_sum_may_be_more_than_an_amount_can_be(operator: Person, participant: Person) -> None:
    """What an operator mistyped twice keeps nobody from reading the list."""
    for _ in range(3):
        assert record(operator, participant, amount_ton=4_611_686_018.4).status_code == 201
    listed = operator.get("participants")
    assert listed.status_code == 200 and '"total_revenue_ton": 13835058055.2,' in listed.text
    summary = participant.get(f"payouts/participant/{participant.id}/summary")
    assert summary.status_code == 200 and '"total_amount_ton": 13835058055.2,' in summary.text


def test_a_form_is_refused_and_a_large_one_is_not_even_read(client: Any, operator: Person) -> None:
    """With a key for idempotency, too, by which a form of gigabytes would have been read and hashed before anybody signed in."""
    for size, status in ((10, 422), (2**21, 413)):
        for head in ({}, {"Idempotency-Key": "k"}):
            body = {"file": (io.BytesIO(b"x" * size), "x")}
            answer = client.post("/api/v1/payouts", data=body, content_type="multipart/form-data", headers=head)
            assert answer.status_code == status and set(answer.json) == {"detail"}


def test_a_payout_of_the_future_is_refused(operator: Person, participant: Person) -> None:
    soon = (clock.now() + timedelta(minutes=30)).isoformat()
    late = (clock.now() + timedelta(hours=2)).isoformat()
    assert record(operator, participant, transaction_time=soon).status_code == 201
    assert record(operator, participant, transaction_time=late).status_code == 422
