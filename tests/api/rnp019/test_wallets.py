"""Signing in with wallets: what proves one, what does not, and what a challenge is good for."""

import base64
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from app.core import accounts, wallet_challenges
from app.values import clock, ton_address
from app.wiring import Hub
from tests.api.rnp019.conftest import WALLET, Door, as_base64, bearer, refused
from tests.factories.ton_wallets import MADE, V3R2, V4R2, V5R1, WALLETS, TonWallet


@pytest.fixture
def later() -> Iterator[Any]:
    """Moves the clock; the real one comes back."""
    yield lambda seconds: clock.replace_clock(lambda: datetime.now(UTC) + timedelta(seconds=seconds))
    clock.replace_clock(None)


def test_a_challenge_says_who_signs_in_where_and_until_when(door: Door) -> None:
    wallet = Keypair()
    made = door.challenge("solana", str(wallet.pubkey()))
    assert set(made) == {"payload", "message", "domain", "expires_at"}
    assert made["domain"] == "localhost" and len(made["payload"]) == 43
    for part in ("localhost", str(wallet.pubkey()), made["payload"], made["expires_at"]):
        assert part in made["message"]
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=290) < left <= timedelta(seconds=300)
    assert door.challenge("solana", str(wallet.pubkey()))["payload"] != made["payload"]


@pytest.mark.parametrize("encode", [str, as_base64], ids=["base58", "base64"])
def test_a_solana_wallet_signs_in_and_comes_back_to_its_account(door: Door, encode: Any) -> None:
    wallet = Keypair()
    body = door.solana_body(wallet)
    first = door.enter({**body, "signature": encode(body["signature"])})
    assert set(first) == {"access_token", "refresh_token", "token_type", "account"} and first["token_type"] == "bearer"
    assert first["account"]["wallets"] == [{"chain": "solana", "address": str(wallet.pubkey())}]
    assert first["account"]["roles"] == ["client"]
    again = door.enter(door.solana_body(wallet))
    assert again["account"] == first["account"]
    assert door.enter(door.solana_body(Keypair()))["account"]["id"] != first["account"]["id"]


@pytest.mark.parametrize("wallet", WALLETS, ids=lambda wallet: f"{wallet.version} {wallet.address[:2]}")
def test_a_ton_wallet_signs_in_by_ton_proof_in_every_form_of_its_address(door: Door, wallet: TonWallet) -> None:
    found = set()
    for address in (wallet.address, wallet.friendly, wallet.address.upper().replace("0X", "0x")):
        body = {**door.ton_body(wallet, door.challenge("ton", address)), "address": address}
        answer = door.enter(body)
        assert answer["account"]["wallets"] == [{"chain": "ton", "address": wallet.address}]
        found.add(answer["account"]["id"])
    assert len(found) == 1


def test_a_timestamp_may_be_text_and_the_public_key_may_be_left_out(door: Door) -> None:
    body = door.ton_body(V4R2)
    body["proof"]["timestamp"] = str(body["proof"]["timestamp"])
    del body["public_key"]
    door.enter(body)


def test_one_sign_in_serves_the_other_dialects(door: Door, client: FlaskClient) -> None:
    entered = door.enter(door.ton_body(V5R1))
    token = entered["access_token"]
    assert client.get("/api/v1/credits/balance", headers=bearer(token)).status_code == 200
    fresh = client.post("/api/v1/auth/refresh", json={"refresh_token": entered["refresh_token"]})
    assert fresh.status_code == 200
    head = bearer(fresh.json["access_token"])
    assert client.get("/rnp/v1/keys", headers=head).status_code == 200
    assert client.post("/api/v1/auth/logout", headers=head).status_code == 200
    assert refused(client.get("/rnp/v1/keys", headers=head), 401, "SIGN_IN_ENDED")


def test_what_a_solana_wallet_did_not_sign_is_401(door: Door) -> None:
    wallet, other = Keypair(), Keypair()
    address = str(wallet.pubkey())
    made = door.challenge("solana", address)
    message = made["message"].encode()
    identity = (1).to_bytes(32, "little")
    forged = base64.b64encode(identity + bytes(32)).decode()
    for signature in (
        str(other.sign_message(message)),
        str(wallet.sign_message(message + b"\n")),
        str(wallet.sign_message(made["payload"].encode())),
        forged,
        "x",
        "é",
    ):
        body = {"chain": "solana", "address": address, "signature": signature}
        refused(door.login(body), 401, "SIGNATURE_INVALID")
    door.enter({"chain": "solana", "address": address, "signature": str(wallet.sign_message(message))})
    nobody = {"chain": "solana", "address": str(other.pubkey()), "signature": str(other.sign_message(message))}
    refused(door.login(nobody), 401, "CHALLENGE_UNKNOWN")


def test_the_identity_points_own_address_signs_nothing(door: Door) -> None:
    """OpenSSL would take R = identity, S = 0 for every message under this key."""
    identity = (1).to_bytes(32, "little")
    address = str(Pubkey(identity))
    door.challenge("solana", address)
    forged = base64.b64encode(identity + bytes(32)).decode()
    refused(door.login({"chain": "solana", "address": address, "signature": forged}), 401, "SIGNATURE_INVALID")


def test_several_challenges_stand_side_by_side_and_payload_names_one(door: Door) -> None:
    wallet = Keypair()
    first, second = (door.challenge("solana", str(wallet.pubkey())) for _ in range(2))
    body = door.solana_body(wallet, first)
    refused(door.login({**body, "payload": second["payload"]}), 401, "SIGNATURE_INVALID")
    refused(door.login({**body, "payload": "x"}), 401, "CHALLENGE_UNKNOWN")
    door.enter({**body, "payload": first["payload"]})
    refused(door.login(body), 409, "CHALLENGE_USED")
    door.enter(door.solana_body(wallet, second))


def test_challenges_that_a_stranger_asks_for_cannot_crowd_out_one_that_is_named(door: Door, hub: Hub) -> None:
    wallet = Keypair()
    address = str(wallet.pubkey())
    made = door.challenge("solana", address)
    with hub.database.unit_of_work() as session:
        for _ in range(wallet_challenges.SIGNED_AMONG):
            wallet_challenges.offer(session, "solana", address, 300).created_at += timedelta(seconds=1)
    body = door.solana_body(wallet, made)
    refused(door.login(body), 401, "SIGNATURE_INVALID")  # so many are looked through, and no more
    door.enter({**body, "payload": made["payload"]})


def ton_refusals(door: Door) -> list[tuple[dict[str, Any], int, str]]:
    """(the body, the status, the code) of proofs that must not sign in."""
    now = int(clock.now().timestamp())

    def signed(host: str = "localhost", moment: int = now, challenge: str = "", **changes: Any) -> dict[str, Any]:
        made = challenge or door.challenge("ton", V4R2.address)["payload"]
        return {"chain": "ton", "address": V4R2.address, "proof": V4R2.prove(made, host, moment, **changes)}

    foreign = signed()
    foreign["proof"]["signature"] = V5R1.prove(foreign["proof"]["payload"], "localhost", now)["signature"]
    own_key = {**door.ton_body(V5R1, door.challenge("ton", V4R2.address)), "address": V4R2.address}
    own_key["proof"] = {**own_key["proof"], "state_init": V4R2.state_init}
    older = MADE["unknown_code"]
    unknown = door.ton_body(V4R2, door.challenge("ton", older["address"]), state_init=older["state_init"])
    return [
        (signed("evil.example"), 401, "PROOF_DOMAIN"),
        (signed("localhost.evil.example"), 401, "PROOF_DOMAIN"),
        (signed("evil.example", domain={"lengthBytes": 9, "value": "localhost"}), 401, "SIGNATURE_INVALID"),
        (signed(domain={"lengthBytes": 8, "value": "localhost"}), 401, "PROOF_DOMAIN"),
        (signed(moment=now - 400), 401, "PROOF_EXPIRED"),
        (signed(moment=now + 400), 401, "PROOF_EXPIRED"),
        (signed(challenge="an invented challenge"), 401, "CHALLENGE_UNKNOWN"),
        (signed(challenge=door.challenge("ton", V5R1.address)["payload"]), 401, "CHALLENGE_UNKNOWN"),
        (signed(state_init=V5R1.state_init), 401, "STATE_INIT_FOREIGN"),
        (signed(state_init=None), 401, "STATE_INIT_MISSING"),
        ({**unknown, "address": older["address"], "public_key": None}, 401, "WALLET_UNKNOWN"),
        (foreign, 401, "SIGNATURE_INVALID"),
        (own_key, 401, "PUBLIC_KEY_FOREIGN"),
        ({**own_key, "public_key": None}, 401, "SIGNATURE_INVALID"),
        ({**signed(), "public_key": V5R1.public_key}, 401, "PUBLIC_KEY_FOREIGN"),
    ]


def test_what_does_not_prove_a_ton_wallet_is_401(door: Door) -> None:
    for body, status, code in ton_refusals(door):
        assert "Traceback" not in refused(door.login(body), status, code)
    door.enter(door.ton_body(V4R2))


def test_a_challenge_is_used_up_once_even_in_another_clients_hands(door: Door) -> None:
    for body in (door.ton_body(V4R2), door.solana_body(Keypair())):
        door.enter(body)
        refused(door.login(body), 409, "CHALLENGE_USED")


def test_a_refused_proof_leaves_its_challenge_standing(door: Door) -> None:
    made = door.challenge("ton", V4R2.address)
    body = door.ton_body(V4R2, made, signature=V5R1.proof["signature"])
    refused(door.login(body), 401, "SIGNATURE_INVALID")
    door.enter(door.ton_body(V4R2, made))


def test_challenges_end(door: Door, later: Any, hub: Hub) -> None:
    wallet = Keypair()
    on_ton, on_solana = door.challenge("ton", V4R2.address), door.solana_body(wallet)
    later(301)
    refused(door.login(on_solana), 401, "CHALLENGE_UNKNOWN")
    refused(door.login(door.ton_body(V4R2, on_ton)), 401, "CHALLENGE_UNKNOWN")  # signed now, for a challenge that is over
    with hub.database.unit_of_work() as session:
        assert wallet_challenges.forget_expired(session) == 2
        assert wallet_challenges.forget_expired(session) == 0


@pytest.mark.parametrize("chain", ["solana", "ton"])
def test_of_twenty_logins_with_one_challenge_one_signs_in(door: Door, client: FlaskClient, hub: Hub, chain: str) -> None:
    body = door.ton_body(V3R2) if chain == "ton" else door.solana_body(Keypair())
    gate, found = threading.Barrier(20), []

    def log_in() -> None:
        caller = client.application.test_client()
        gate.wait()
        found.append(caller.post(f"{WALLET}/login", json=body).status_code)

    threads = [threading.Thread(target=log_in) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] + [409] * 19
    with hub.database.read_only() as session:
        rows = session.connection().exec_driver_sql
        assert rows("SELECT count(*) FROM sign_ins").scalar_one() == 1
        assert rows("SELECT count(*) FROM identities").scalar_one() == 1


def test_bad_fields_are_400(door: Door, client: FlaskClient) -> None:
    good = door.ton_body(V4R2)
    proof = good["proof"]
    huge = "A" * 900_000
    testnet = ton_address.read(V4R2.address).friendly(test_only=True)
    bodies: list[dict[str, Any]] = [
        {},
        {"chain": "ton"},
        {**good, "chain": "bitcoin"},
        {**good, "chain": ["ton"]},
        {"chain": "solana", "address": "x", "signature": "y"},
        {"chain": "solana", "address": str(Keypair().pubkey())},
        {"chain": "solana", "address": "1" * 5000, "signature": "y"},
        {"chain": "ton", "address": V4R2.address},
        {**good, "proof": None},
        {**good, "proof": []},
        {**good, "address": V4R2.friendly[:-1] + ("A" if V4R2.friendly[-1] != "A" else "B")},
        {**good, "address": "5:" + V4R2.address[2:]},
        {**good, "address": testnet},
        {**good, "public_key": "x"},
        {**good, "public_key": V4R2.public_key + "\n"},
    ]
    for name, value in (
        ("timestamp", None), ("timestamp", "now"), ("timestamp", 1.5), ("timestamp", True), ("timestamp", -1),
        ("timestamp", "１７９００００００"), ("timestamp", 2**63 - 1), ("domain", "localhost"), ("domain", {}),
        ("domain", {"lengthBytes": "9", "value": "localhost"}), ("domain", {"lengthBytes": 2**40, "value": "localhost"}),
        ("signature", ""), ("signature", "not base64"), ("signature", "A" * 101), ("payload", ""), ("payload", "x" * 129),
        ("state_init", ""), ("state_init", "!"), ("state_init", "AAAA"), ("state_init", huge), ("state_init", 7),
        ("state_init", V4R2.state_init[:400]),
    ):  # fmt: skip
        bodies.append({**good, "proof": {**proof, name: value}})
    for body in bodies:
        answer = door.login(body)
        assert answer.status_code == 400, (str(body)[:300], answer.json)
        assert answer.json["error"]["message"]
    door.enter(good)


def test_a_bad_address_gets_no_challenge(door: Door, client: FlaskClient) -> None:
    for chain, address, code in (
        ("ton", "0:abcd", "TON_ADDRESS_INVALID"),
        ("ton", V4R2.address + "\n", "TON_ADDRESS_INVALID"),
        ("ton", "5:" + V4R2.address[2:], "TON_ADDRESS_INVALID"),
        ("solana", V4R2.address, "SOLANA_ADDRESS_INVALID"),
        ("solana", "0" * 44, "SOLANA_ADDRESS_INVALID"),
    ):
        refused(client.post(f"{WALLET}/challenge", json={"chain": chain, "address": address}), 400, code)
    for body in ({}, {"chain": "solana"}, {"chain": "evm", "address": "x"}, {"chain": "ton", "address": 7}, [], "x"):
        assert client.post(f"{WALLET}/challenge", json=body).status_code == 400


def test_an_account_that_is_off_signs_nobody_in(door: Door, hub: Hub) -> None:
    wallet = Keypair()
    door.enter(door.solana_body(wallet))
    with hub.database.unit_of_work() as session:
        session.connection().exec_driver_sql("UPDATE accounts SET is_active = false")
    refused(door.login(door.solana_body(wallet)), 401, "ACCOUNT_OFF")


def test_a_linked_wallet_signs_in_to_the_same_account(door: Door, hub: Hub) -> None:
    wallet = Keypair()
    entered = door.enter(door.solana_body(wallet))
    token = entered["access_token"]
    linked = door.link(token, door.ton_body(V4R2))
    assert linked.status_code == 200, linked.json
    wallets = [{"chain": "solana", "address": str(wallet.pubkey())}, {"chain": "ton", "address": V4R2.address}]
    assert linked.json["account"] == {**entered["account"], "wallets": wallets}
    assert door.link(token, door.ton_body(V4R2)).json == linked.json  # once more changes nothing
    assert door.enter(door.ton_body(V4R2))["account"]["id"] == entered["account"]["id"]
    with hub.database.read_only() as session:
        proven = session.connection().exec_driver_sql("SELECT count(*) FROM identities WHERE verified_at IS NOT NULL")
        assert proven.scalar_one() == 2


def test_a_wallet_of_another_account_is_409_and_stays_there(door: Door) -> None:
    owner = door.enter(door.ton_body(V4R2))
    thief = door.enter(door.solana_body(Keypair()))
    body = door.ton_body(V4R2)
    refused(door.link(thief["access_token"], body), 409, "WALLET_TAKEN")
    assert door.enter(body)["account"]["id"] == owner["account"]["id"]  # the refusal did not use its challenge up


def test_linking_wants_a_sign_in_and_a_proof(door: Door, client: FlaskClient, hub: Hub) -> None:
    entered = door.enter(door.solana_body(Keypair()))
    token = entered["access_token"]
    refused(client.post(f"{WALLET}/link", json=door.ton_body(V4R2)), 401, "UNAUTHENTICATED")
    with hub.database.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "solana", entered["account"]["wallets"][0]["address"])
        key = accounts.create_key(session, account_id, "all", ["wallet:write"])
    refused(door.link(key, door.ton_body(V4R2)), 403, "SIGN_IN_NEEDED")
    refused(door.link(token, door.ton_body(V4R2, state_init=V5R1.state_init)), 401, "STATE_INIT_FOREIGN")
    used = door.ton_body(V5R1)
    door.enter(used)
    refused(door.link(token, used), 409, "CHALLENGE_USED")


def test_two_accounts_that_link_one_wallet_at_once_are_one_link(door: Door, client: FlaskClient) -> None:
    tokens = [door.enter(door.solana_body(Keypair()))["access_token"] for _ in range(8)]
    bodies = [door.ton_body(V5R1) for _ in tokens]
    gate, found = threading.Barrier(len(tokens)), []

    def link(token: str, body: dict[str, Any]) -> None:
        caller = client.application.test_client()
        gate.wait()
        found.append(caller.post(f"{WALLET}/link", json=body, headers=bearer(token)).status_code)

    threads = [threading.Thread(target=link, args=pair) for pair in zip(tokens, bodies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] + [409] * 7
