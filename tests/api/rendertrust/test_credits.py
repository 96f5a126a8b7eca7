"""Credits through the API: exact, once per reference, never below zero, nobody else's."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, text

from app.core import accounts, audit, credits
from app.factory import create_app
from app.values.money import parse
from app.values.purposes import Purpose
from app.wiring import Hub
from tests.api.rendertrust.conftest import User


def deduct(user: User, amount: Any, reference_id: Any = "manual-001", key: str | None = None, **more: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else None
    return user.post("credits/deduct", headers, json={"amount": amount, "reference_id": reference_id, **more})


def balance(user: User) -> str:
    answer = user.get("credits/balance")
    assert answer.status_code == 200 and answer.json["user_id"] == str(user.id)
    return str(answer.json["balance"])


def history(user: User, query: str = "") -> list[dict[str, Any]]:
    answer = user.get(f"credits/history{query}")
    assert answer.status_code == 200 and answer.json["count"] == len(answer.json["entries"])
    return answer.json["entries"]  # type: ignore[no-any-return]


def test_a_new_account_has_nothing(user: User) -> None:
    assert user.get("credits/balance").json == {"balance": "0.0000", "held": "0.0000", "owed": "0.0000", "user_id": str(user.id)}
    assert history(user) == []


def test_a_deduction_answers_its_entry(user: User, hub: Hub) -> None:
    user.fund(hub, "1000")
    answer = deduct(user, "10.0000", description="Manual adjustment")
    assert answer.status_code == 200
    entry = answer.json
    assert uuid.UUID(entry.pop("id")) and entry.pop("created_at").endswith("Z")
    assert entry == {"entry_id": None, "amount": "10.0000", "direction": "DEBIT", "source": "USAGE", "reference_id": "manual-001",
                     "balance_after": "990.0000", "description": "Manual adjustment"}
    assert balance(user) == "990.0000"


def test_history_is_newest_first_and_paged(user: User, hub: Hub) -> None:
    with hub.database.unit_of_work() as session:
        credits.grant(session, user.id, parse("5", "CREDIT"), "pi_1", Purpose.PURCHASE, "100 credits")
    for number in range(4):
        assert deduct(user, "1", f"use-{number}").status_code == 200
    entries = history(user)
    assert [entry["reference_id"] for entry in entries] == ["use-3", "use-2", "use-1", "use-0", "pi_1"]
    assert [entry["balance_after"] for entry in entries] == ["1.0000", "2.0000", "3.0000", "4.0000", "5.0000"]
    assert (entries[-1]["direction"], entries[-1]["source"], entries[-1]["description"]) == ("CREDIT", "STRIPE", "100 credits")
    assert history(user, "?limit=2&offset=1") == entries[1:3] and history(user, "?offset=5") == []
    with hub.database.unit_of_work() as session:
        audit.number_entries(session)
        numbers = set(session.execute(text("SELECT number FROM entry_numbers")).scalars())
    numbered = {entry["entry_id"] for entry in history(user)}
    assert len(numbered) == 5 and numbered <= numbers


@pytest.mark.parametrize("query", ["?limit=0", "?limit=101", "?limit=x", "?offset=-1", "?offset=99999999999999999999", "?limit="])
def test_pages_have_limits(user: User, query: str) -> None:
    answer = user.get(f"credits/history{query}")
    assert answer.status_code == 422 and set(answer.json) == {"detail"}


@pytest.mark.parametrize(
    "amount",
    [
        *("NaN nan sNaN Infinity -Infinity -1 -0.0001 0 0.0000 1e30 1E3 1e-2 0.00001 10.00000 100000000".split()),
        *("+1 1,5 1_000 .5 5. 0x10 ten".split()),
        *("", " ", " 1", "1 ", "1\n", "\u0661", "\uff11", "9" * 400),
        *(None, True, [], {}, ["1"], 0, -1, 1e30, 0.00001),
    ],
    ids=repr,
)
def test_odd_amounts_are_422(user: User, hub: Hub, amount: Any) -> None:
    user.fund(hub, "1000")
    answer = deduct(user, amount)
    assert answer.status_code == 422 and set(answer.json) == {"detail"} and "amount" in answer.json["detail"]
    assert balance(user) == "1000.0000"


@pytest.mark.parametrize(("amount", "taken"), [("0.0001", "0.0001"), (10, "10.0000"), (0.1, "0.1000"), ("007.5", "7.5000")])
def test_sound_amounts_are_exact(user: User, hub: Hub, amount: Any, taken: str) -> None:
    user.fund(hub, "1000")
    assert deduct(user, amount).json["amount"] == taken


@pytest.mark.parametrize("reference_id", ["", "x" * 256, None, 5, []])
def test_odd_references_are_422(user: User, reference_id: Any) -> None:
    assert deduct(user, "1", reference_id).status_code == 422


def test_the_longest_reference_and_any_letters_fit(user: User, hub: Hub) -> None:
    user.fund(hub, "10")
    for reference_id in ("\U0001f600" * 255, "job:1", "credits:hold:x", "%s';--", "a\nb"):
        assert deduct(user, "1", reference_id).json["reference_id"] == reference_id


def test_short_credits_are_402_with_both_amounts(user: User, hub: Hub) -> None:
    answer = deduct(user, "1")  # of an account that never had any
    assert (answer.status_code, answer.json["available"], answer.json["requested"]) == (402, "0.0000", "1.0000")
    user.fund(hub, "5.5")
    answer = deduct(user, "5.5001")
    assert answer.status_code == 402 and set(answer.json) == {"detail", "available", "requested"}
    assert (answer.json["available"], answer.json["requested"]) == ("5.5000", "5.5001")
    assert "Insufficient credits" in answer.json["detail"] and balance(user) == "5.5000"


def test_one_reference_is_one_entry(user: User, hub: Hub) -> None:
    user.fund(hub, "10")
    first = deduct(user, "6", "a")
    again = deduct(user, "6", "a", description="another")
    assert first.json == again.json and balance(user) == "4.0000"
    other = deduct(user, "1", "a")
    assert other.status_code == 409 and set(other.json) == {"detail"}
    assert len(history(user)) == 2


def test_references_are_each_accounts_own(client: FlaskClient, user: User, hub: Hub) -> None:
    other = User(client)
    for each in (user, other):
        each.fund(hub, "10")
        assert deduct(each, "3", "same").status_code == 200
    assert (balance(user), balance(other)) == ("7.0000", "7.0000")
    assert {entry["id"] for entry in history(user)} & {entry["id"] for entry in history(other)} == set()


def test_fifty_deductions_at_once_of_a_balance_good_for_ten(settings, user: User, hub: Hub) -> None:
    user.fund(hub, "10")
    processes = [create_app(settings) for _ in range(2)]

    def spend(number: int) -> int:
        client = processes[number % 2].test_client()
        body = {"amount": "1.0000", "reference_id": f"race-{number}"}
        return int(client.post("/api/v1/credits/deduct", json=body, headers=user.headers).status_code)

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(spend, range(50)))
    assert statuses == [200] * 10 + [402] * 40
    assert balance(user) == "0.0000"
    with hub.database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_one_reference_at_once_is_one_entry(settings, user: User, hub: Hub) -> None:
    user.fund(hub, "10")
    processes = [create_app(settings) for _ in range(2)]

    def spend(number: int) -> Any:
        client = processes[number % 2].test_client()
        return client.post("/api/v1/credits/deduct", json={"amount": "1", "reference_id": "same"}, headers=user.headers)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(spend, range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json["id"] for answer in answers}) == 1 and balance(user) == "9.0000"


def test_an_idempotency_key_answers_the_same_over_a_refreshed_sign_in(user: User, hub: Hub) -> None:
    user.fund(hub, "10")
    first = deduct(user, "1", "a", key="k")
    user.tokens = user.refresh().json
    again = deduct(user, "1", "a", key="k")
    assert first.status_code == again.status_code == 200 and first.json == again.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert deduct(user, "2", "b", key="k").status_code == 409
    assert deduct(user, "100", "c", key="k2").status_code == 402
    user.fund(hub, "100")
    assert deduct(user, "100", "c", key="k2").status_code == 200  # a refusal was not kept


def test_an_idempotency_key_opens_nothing_to_whoever_is_signed_out(client: FlaskClient, user: User, hub: Hub) -> None:
    user.fund(hub, "10")
    assert deduct(user, "1", "a", key="k").status_code == 200
    with hub.database.unit_of_work() as session:
        key = accounts.create_key(session, user.id, "test", ["credits:write"])
        (key_id,) = session.execute(text("SELECT id FROM api_keys")).scalars()
    head = {"X-API-Key": key, "Idempotency-Key": "k"}
    body = {"amount": "1", "reference_id": "b"}
    assert client.post("/api/v1/credits/deduct", json=body, headers=head).status_code == 200  # a key of its own
    with hub.database.unit_of_work() as session:
        accounts.revoke_key(session, key_id)
    assert client.post("/api/v1/credits/deduct", json=body, headers=head).status_code == 401
    assert user.post("auth/logout").status_code == 200
    assert deduct(user, "1", "a", key="k").status_code == 401


def test_a_callers_request_is_one_query_more(user: User, hub: Hub) -> None:
    said: list[str] = []
    user.fund(hub, "10")
    deduct(user, "1", "warm")
    event.listen(hub.database.engine, "before_cursor_execute", lambda _c, _u, statement, *_: said.append(statement))
    assert balance(user) == "9.0000"
    assert len(said) == 2, said  # who calls, and what they have
    said.clear()
    assert deduct(user, "1", "next").status_code == 200
    assert len(said) == 4, said  # who calls, one statement that posts, the count of credits consumed, and the entry
