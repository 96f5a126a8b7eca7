"""Deployed wallets whose key is asked of the chain: the local TON's, run by a real TVM."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from nacl.signing import SigningKey
from pytoniq_core import Address, Cell, begin_cell

from app.errors import ChainUnreadable, Unauthenticated
from app.factory import create_app
from app.flows import ton_keys
from app.values import ton_address
from app.values.ton_chain import ZERO_HASH, TonAccount
from app.values.ton_wallets import WALLETS
from app.wiring import Hub
from tests.api.rnp019.conftest import Door, refused
from tests.factories.ton import TON, TonChain
from tests.factories.ton_wallets import V4R2, V5R1, TonWallet

SIGN_EXTERNAL = 0x7369676E


@pytest.fixture
def on_chain(settings: Any, ton_chain: TonChain) -> Iterator[FlaskClient]:
    app = create_app(replace(settings, ton_api_url=ton_chain.api_url))
    yield app.test_client()
    hub: Hub = app.extensions["lightyard"]
    hub.database.engine.dispose()


def named(ton_chain: TonChain, name: str) -> TonWallet:
    """A test wallet of the local chain, whose seed is made from its name."""
    seed = hashlib.sha256(b"lightyard devnet wallet " + name.encode()).digest()
    address = ton_address.read(ton_chain.wallet(name))
    key = SigningKey(seed).verify_key.encode().hex()
    return TonWallet("v4r2", address.raw, address.friendly(), key, seed.hex(), {"state_init": None})


def deploy_v5(ton_chain: TonChain, wallet: TonWallet) -> None:
    """Its first message: no order, but it brings the contract along."""
    ton_chain.fund(wallet.address, TON)
    init = Cell.one_from_boc(base64.b64decode(wallet.state_init))
    wallet_id = init.refs[1].begin_parse().skip_bits(33).load_uint(32)
    order = begin_cell().store_uint(SIGN_EXTERNAL, 32).store_uint(wallet_id, 32).store_uint(2**32 - 1, 32).store_uint(0, 32)
    unsigned = order.store_bit(0).store_bit(0)
    signature = SigningKey(bytes.fromhex(wallet.seed)).sign(unsigned.end_cell().hash).signature
    body = unsigned.store_bytes(signature).end_cell()
    message = begin_cell().store_uint(0b1000, 4).store_address(Address(wallet.address)).store_coins(0)
    message = message.store_bit(1).store_bit(1).store_ref(init).store_bit(1).store_ref(body).end_cell()
    ton_chain.call("sendBoc", boc=base64.b64encode(message.to_boc()).decode())
    ton_chain.advance(2)
    assert ton_chain.call("getAddressState", address=wallet.address) == "active"


def test_a_deployed_v4_may_leave_its_state_init_out(on_chain: FlaskClient, ton_chain: TonChain) -> None:
    door, alice = Door(on_chain), named(ton_chain, "alice")
    ton_chain.fund(alice.address, TON)
    refused(door.login(door.ton_body(alice)), 401, "STATE_INIT_MISSING")  # money, and no code yet
    ton_chain.pay("alice", ton_chain.wallet("bob"), 1000)
    assert door.enter(door.ton_body(alice))["account"]["wallets"] == [{"chain": "ton", "address": alice.address}]
    bob = named(ton_chain, "bob")
    forged = {**door.ton_body(bob, door.challenge("ton", alice.address)), "address": alice.address}
    refused(door.login(forged), 401, "PUBLIC_KEY_FOREIGN")
    refused(door.login({**forged, "public_key": None}), 401, "SIGNATURE_INVALID")


def test_a_deployed_v5_too(on_chain: FlaskClient, ton_chain: TonChain) -> None:
    door = Door(on_chain)
    deploy_v5(ton_chain, V5R1)
    door.enter(door.ton_body(V5R1, state_init=None))


def test_other_contracts_say_nobodys_key(on_chain: FlaskClient, ton_chain: TonChain) -> None:
    door = Door(on_chain)
    owner = named(ton_chain, "alice")
    ton_chain.mint(owner.address, 100)
    jettons = ton_address.read(ton_chain.jetton_wallet(owner.address)["wallet"])
    body = door.ton_body(replace(owner, address=jettons.raw))
    refused(door.login(body), 401, "WALLET_UNKNOWN")


def test_a_chain_that_is_away_is_503_and_uses_nothing_up(settings: Any) -> None:
    client = create_app(replace(settings, ton_api_url="http://127.0.0.1:1/api/v2")).test_client()
    door = Door(client)
    made = door.challenge("ton", V4R2.address)
    refused(door.login(door.ton_body(V4R2, made, state_init=None)), 503, "CHAIN_UNAVAILABLE")
    door.enter(door.ton_body(V4R2, made))


class Telling:
    """A node that says what it is told to: no real one would answer so."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def account(self, _address: object) -> TonAccount:
        v5r1 = next(code for code, wallet in WALLETS.items() if wallet.version == "v5r1")
        return TonAccount(0, "active", 1, ZERO_HASH, v5r1)

    def run_get_method(self, _address: object, name: str) -> list[Any]:
        return list(self.answers[name])


def test_a_v5_that_has_switched_its_key_off_and_a_node_that_talks_nonsense() -> None:
    address, key = ton_address.read(V5R1.address), int(V5R1.public_key, 16)
    on = Telling(is_signature_allowed=[-1], get_public_key=[key])
    assert ton_keys.deployed_key(on, address).hex() == V5R1.public_key
    with pytest.raises(Unauthenticated) as caught:
        ton_keys.deployed_key(Telling(is_signature_allowed=[0], get_public_key=[key]), address)
    assert caught.value.code == "WALLET_KEY_OFF"
    for nonsense in ([], [key, key], [b"x"], [None], [-1], [2**256]):
        with pytest.raises(ChainUnreadable):
            ton_keys.deployed_key(Telling(is_signature_allowed=[-1], get_public_key=nonsense), address)
