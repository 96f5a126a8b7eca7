"""Participants through the API: one wallet is one participant in every spelling, and nobody sees another's."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.factory import create_app
from app.values.ton_address import TonAddress
from app.wiring import Hub
from tests.api.cocoon.conftest import Person, join, wallet

FIXED = TonAddress(0, bytes(range(32)))
FIELDS = {"id", "ton_wallet_address", "telegram_user_id", "username", "email", "is_active", "is_operator", "share_percent",
          "total_workers", "active_workers", "total_revenue_ton", "total_payouts", "created_at", "updated_at"}


def create(person: Person, address: str, **more: Any) -> Any:
    return person.post("participants", json={"ton_wallet_address": address, **more})


def test_an_operator_makes_a_participant_as_the_seed_says(operator: Person) -> None:
    address = wallet()
    body = {"telegram_user_id": 123456789, "username": "user123", "email": "user@example.com"}
    answer = create(operator, address.friendly(bounceable=False), **body)
    assert answer.status_code == 201 and set(answer.json) == FIELDS
    made = answer.json
    assert made["ton_wallet_address"] == address.friendly(bounceable=False)
    assert {name: made[name] for name in body} == body
    figures = ("total_workers", "active_workers", "total_revenue_ton", "total_payouts")
    assert [made[name] for name in figures] == [0, 0, 0, 0]
    assert (made["is_active"], made["is_operator"], made["share_percent"]) == (True, False, None)
    assert operator.get(f"participants/{made['id']}").json == made
    assert operator.get("participants").json == [made]


def test_one_wallet_is_one_participant_in_every_form(operator: Person) -> None:
    address = wallet()
    forms = (address.raw, address.raw.upper(), address.friendly(bounceable=True), address.friendly(bounceable=False))
    made = create(operator, forms[0])
    assert made.status_code == 201
    for form in forms:
        again = create(operator, form)
        assert again.status_code == 400 and set(again.json) == {"detail"} and "already" in again.json["detail"]
        assert operator.get(f"participants/wallet/{form}").json == made.json


@pytest.mark.parametrize(
    "address",
    ["", "x", "0:abcd", "1:" + "a" * 64, "UQ" + "A" * 46, FIXED.friendly(test_only=True), FIXED.friendly() + "\n", None, 5, [],
     FIXED.friendly()[:-1] + "!", f" {FIXED.raw}", TonAddress(5, bytes(32)).friendly()],
    ids=repr,
)
def test_what_is_no_wallet_is_422(operator: Person, address: Any) -> None:
    answer = create(operator, address)
    assert answer.status_code == 422 and "ton_wallet_address" in answer.json["detail"]
    if isinstance(address, str) and address:
        assert operator.get(f"participants/wallet/{address}").status_code in (404, 422)


@pytest.mark.parametrize(
    ("field", "value"),
    [("telegram_user_id", 0), ("telegram_user_id", -1), ("telegram_user_id", 2**60), ("telegram_user_id", "x"),
     ("telegram_user_id", 1.5), ("username", ""), ("username", "x" * 256), ("username", 5), ("email", "no"),
     ("email", "a@" + "b" * 250 + ".example"), ("is_active", "perhaps"), ("share_percent", 100.01), ("share_percent", -1),
     ("share_percent", 1.234), ("share_percent", 1e9), ("share_percent", "ten"), ("share_percent", True)],
)
def test_bad_fields_are_422_and_named(operator: Person, field: str, value: Any) -> None:
    answer = create(operator, wallet().raw, **{field: value})
    assert answer.status_code == 422 and field in answer.json["detail"]
    assert operator.get("participants").json == []


def test_a_wallet_that_is_signed_in_makes_itself_a_participant(client: FlaskClient, hub: Hub, stranger: Person) -> None:
    assert stranger.get("participants").status_code == 403
    assert create(stranger, wallet().raw).status_code == 403
    assert stranger.address is not None
    for own in ("is_active", "is_operator", "share_percent"):
        assert create(stranger, stranger.address.raw, **{own: 1}).status_code == 403
    made = create(stranger, stranger.address.raw, username="me")
    assert made.status_code == 201 and stranger.get("participants").json == [made.json]


def test_participants_see_their_own_rows_only(client: FlaskClient, hub: Hub, participant: Person) -> None:
    other = join(client, hub)
    assert other.address is not None
    assert [row["id"] for row in participant.get("participants").json] == [participant.id]
    for path in (f"participants/{other.id}", f"participants/wallet/{other.address.raw}"):
        answer = participant.get(path)
        assert answer.status_code == 404 and answer.json == {"detail": "Participant not found"}
    assert participant.patch(f"participants/{other.id}", username="mine now").status_code == 404
    assert participant.get(f"participants/{participant.id}").status_code == 200


def test_nobody_else_is_let_in(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    for path in ("participants", f"participants/{participant.id}", "participants/9999"):
        assert client.get(f"/api/v1/{path}").status_code == 401
        for scopes, status in ((("participants:write", "payouts:read"), 403), (("participants:read",), None)):
            narrow = Person(client, hub, participant.address, scopes)
            assert status is None or narrow.get(path).status_code == status
    reader = Person(client, hub, participant.address, ("participants:read",))
    assert reader.patch(f"participants/{participant.id}", username="x").status_code == 403


def test_a_participant_changes_its_name_and_an_operator_the_rest(operator: Person, participant: Person) -> None:
    path = f"participants/{participant.id}"
    answer = participant.patch(path, username="new", email="new@example.com", telegram_user_id=None)
    assert answer.status_code == 200
    assert (answer.json["username"], answer.json["email"], answer.json["telegram_user_id"]) == ("new", "new@example.com", None)
    for own in ({"is_active": False}, {"share_percent": 100}, {"is_operator": True}, {"username": "x", "is_active": True}):
        assert participant.patch(path, **own).status_code == 403
    assert participant.get(path).json["username"] == "new"
    changed = operator.patch(path, is_active=False, share_percent=92.5)
    assert (changed.json["is_active"], changed.json["share_percent"]) == (False, 92.5)
    assert '"share_percent": 92.5' in changed.text and '"total_revenue_ton": 0,' in changed.text
    assert changed.json["updated_at"] > changed.json["created_at"]
    assert operator.patch(path).json["username"] == "new"
    assert operator.patch("participants/9999", username="x").status_code == 404


def test_who_is_an_operator_is_the_accounts_role(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    path = f"participants/{participant.id}"
    narrow = Person(client, hub, None, ("participants:write", "participants:read"))
    assert narrow.patch(path, is_operator=True).status_code == 403
    assert operator.patch(path, is_operator=True).json["is_operator"] is True
    other = join(client, hub)
    assert {row["id"] for row in participant.get("participants").json} == {participant.id, other.id}
    assert [row["id"] for row in operator.get("participants?is_operator=true").json] == [participant.id]
    assert [row["id"] for row in operator.get("participants?is_operator=false").json] == [other.id]
    assert operator.patch(path, is_operator=False).json["is_operator"] is False
    assert [row["id"] for row in participant.get("participants").json] == [participant.id]


def test_a_participants_workers_are_counted(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    other = join(client, hub)
    worker = {"participant_id": participant.id, "worker_name": "Worker-0", "instance_number": 0, "host": "localhost"}
    made = [operator.post("workers", json=worker) for _ in range(3)]
    assert [answer.status_code for answer in made] == [201] * 3, made[0].json
    assert operator.patch(f"workers/{made[1].json['id']}", is_active=False).status_code == 200
    rows = {row["id"]: (row["total_workers"], row["active_workers"]) for row in operator.get("participants").json}
    assert rows == {participant.id: (3, 2), other.id: (0, 0)}


def test_lists_are_filtered_and_paged(operator: Person) -> None:
    ids = [create(operator, wallet().raw).json["id"] for _ in range(5)]
    operator.patch(f"participants/{ids[1]}", is_active=False)

    def found(query: str) -> list[int]:
        return [row["id"] for row in operator.get(f"participants{query}").json]

    assert found("") == ids and found("?limit=2&offset=1") == ids[1:3] and found("?offset=9") == []
    assert found("?is_active=false") == [ids[1]] and found("?is_active=true&limit=2") == [ids[0], ids[2]]
    for query in ("?limit=0", "?limit=1001", "?offset=-1", "?limit=x", "?is_active=perhaps", f"?offset={10**30}"):
        answer = operator.get(f"participants{query}")
        assert answer.status_code == 422 and set(answer.json) == {"detail"}


@pytest.mark.parametrize(("wanted", "status"), [("x", 422), ("1.5", 422), ("-1", 422), ("0", 404), ("999999", 404),
                                                ("9" * 30, 404), ("9" * 99, 422), ("%00", 422)])
def test_odd_ids(operator: Person, wanted: str, status: int) -> None:
    answer = operator.get(f"participants/{wanted}")
    assert answer.status_code == status and set(answer.json) == {"detail"}


def test_reads_and_writes_have_their_limits(settings: Any) -> None:
    app = create_app(replace(settings, rate_limits=True))
    client = app.test_client()
    for method, most in (("POST", 20), ("GET", 100)):
        for _ in range(most):
            assert client.open("/api/v1/participants", method=method, json={}).status_code in (401, 422)
        answer = client.open("/api/v1/payouts" if method == "GET" else "/api/v1/participants/1", method=method)
        assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0 and set(answer.json) == {"detail"}
    app.extensions["lightyard"].database.engine.dispose()
