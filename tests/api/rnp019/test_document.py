"""RNP-019's OpenAPI file is true of what the hub answers, and its limits hold."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair

from app.factory import create_app
from tests.api.conftest import UNKNOWN
from tests.api.rnp019.conftest import WALLET, Agent, Door, bearer, refused
from tests.api.test_openapi import Checked, operations
from tests.factories.ton_wallets import V4R2


def test_the_answers_are_what_the_file_says(client: FlaskClient, door: Door) -> None:
    api = Checked(client, "rnp019")
    for body in ({"chain": "ton", "address": V4R2.address}, {}):
        api.call("POST", f"{WALLET}/challenge", f"{WALLET}/challenge", json=body)
    solana, ton = door.solana_body(Keypair()), door.ton_body(V4R2)
    wrong = {**door.solana_body(Keypair()), "signature": "x"}
    entered = [api.call("POST", f"{WALLET}/login", f"{WALLET}/login", json=body) for body in (solana, ton, ton, wrong, {})]
    head = bearer(entered[1].json["access_token"])
    for body, headers in ((door.solana_body(Keypair()), head), (solana, head), (solana, {}), ({}, head)):
        api.call("POST", f"{WALLET}/link", f"{WALLET}/link", json=body, headers=headers)
    keys = "/rnp/v1/keys"
    orders = ((["jobs:read"], head), (["admin:read"], head), (["jobs:read"], {}), ([], head))
    made = [api.call("POST", keys, keys, json={"scopes": scopes}, headers=headers) for scopes, headers in orders]
    key_id = made[0].json["id"]
    for headers in (head, {}):
        api.call("GET", keys, keys, headers=headers)
    assert client.delete(f"{keys}/{key_id}", headers=head).status_code == 204
    for found in (key_id, UNKNOWN, "x"):
        api.call("DELETE", f"{keys}/{found}", f"{keys}/{{key_id}}", headers=head)


def test_the_answers_about_jobs_are_what_the_file_says(client: FlaskClient, agent: Agent) -> None:
    api, jobs, head = Checked(client, "rnp019"), "/rnp/v1/jobs", agent.head
    good = {"scene_id": agent.scene_id, "frames": "1-3", "payment": {"max_amount": "0.5"}}
    orders = ((good, head), ({}, head), (good, {}), (good | {"payment": {"asset": "SOL"}}, head), ({"scene_id": UNKNOWN}, head))
    made = [api.call("POST", jobs, jobs, json=body, headers=headers) for body, headers in orders]
    assert [answer.status_code for answer in made] == [201, 400, 401, 402, 404]
    one, rule = f"{jobs}/{made[0].json['id']}", f"{jobs}/{{job_id}}"
    for query, headers in (("", head), ("?status=queued", head), ("?status=x", head), ("", {})):
        api.call("GET", f"{jobs}{query}", jobs, headers=headers)
    for path in (one, f"{jobs}/{UNKNOWN}", f"{jobs}/x"):
        api.call("GET", path, rule, headers=head)
        api.call("PATCH", path, rule, headers=head, json={"name": "x"})
        for verb in ("pause", "resume"):
            api.call("POST", f"{path}/{verb}", f"{rule}/{verb}", headers=head)
        api.call("DELETE", path, rule, headers=head)
    api.call("POST", f"{one}/pause", f"{rule}/pause", headers=head)


def test_who_must_sign_in_is_in_the_file(client: FlaskClient) -> None:
    spec = client.get("/openapi/rnp019.json").json
    open_paths = {path for _, path, operation in operations(spec) if "security" not in operation}
    assert open_paths == {f"{WALLET}/challenge", f"{WALLET}/login", "/rnp/v1/scenes/{scene_id}/content"}
    assert "/docs/rnp019" in client.get("/docs").text


MOVES_MONEY = {
    "/rnp/v1/jobs", "/rnp/v1/jobs/{job_id}/pause", "/rnp/v1/jobs/{job_id}/resume", "/rnp/v1/jobs/{job_id}/pay",
    "/rnp/v1/credits/topups", "/rnp/v1/credits/topups/{topup_id}/pay", "/rnp/v1/credits/redeem",
}  # fmt: skip


def test_every_post_that_moves_money_takes_a_key(client: FlaskClient) -> None:
    """The guard stands before the view: a key that is none is refused by whoever takes one, and by nobody else."""
    spec = client.get("/openapi/rnp019.json").json
    posts = {path: operation for method, path, operation in operations(spec) if method == "post"}
    told = {path for path, found in posts.items() if "Idempotency-Key" in str(found.get("parameters"))}
    named = {path: path.replace("{job_id}", UNKNOWN).replace("{topup_id}", UNKNOWN) for path in posts}
    asked = {path: client.post(one, json={}, headers={"Idempotency-Key": "x" * 256}) for path, one in named.items()}
    taken = {path for path, answer in asked.items() if "Idempotency-Key must be" in answer.json["error"]["message"]}
    assert told == taken == MOVES_MONEY


@pytest.mark.parametrize(("verb", "per_minute"), [("challenge", 30), ("login", 20), ("link", 20)])
def test_the_limits_hold_and_answer_in_the_envelope(settings: Any, verb: str, per_minute: int) -> None:
    client = create_app(replace(settings, rate_limits=True)).test_client()
    assert {client.post(f"{WALLET}/{verb}", json={}).status_code for _ in range(per_minute)} == {400}
    answer = client.post(f"{WALLET}/{verb}", json={})
    refused(answer, 429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    others = {client.post(f"{WALLET}/{other}", json={}).status_code for other in ("challenge", "login", "link") if other != verb}
    assert others == {400}
