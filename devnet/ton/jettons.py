"""The test jetton: a master and wallets by TEP-74 that stand for Tether's, at the same addresses in every home."""

import hashlib

from pytoniq_core import Address, Cell, HashMap, begin_cell

from devnet.ton.messages import GIVER, address_of, comment_body, internal, state_init
from devnet.ton.wallets import contract

TRANSFER, INTERNAL_TRANSFER, MINT = 0x0F8A7EA5, 0x178D4519, 0x642B7D07
DECIMALS = {"USDT": 6}
NAMES = {"USDT": {"name": "Test Tether USD", "symbol": "USDT", "decimals": "6"}}
FOUNDING_NANO, MINTING_NANO, CARRIED_NANO = 10**9, 10**8, 6 * 10**7
TRANSFER_NANO, FORWARD_NANO = 10**8, 10**7


def content(asset: str) -> Cell:
    """What the master says of itself, on chain (TEP-64)."""
    entries = HashMap(256, value_serializer=lambda value, builder: builder.store_ref(value))
    for key, value in NAMES[asset].items():
        text = begin_cell().store_uint(0, 8).store_string(value).end_cell()
        entries.set_int_key(int.from_bytes(hashlib.sha256(key.encode()).digest(), "big"), text)
    return begin_cell().store_uint(0, 8).store_dict(entries.serialize()).end_cell()


def master_init(asset: str) -> Cell:
    """Its admin is the address that money comes from, which nobody has a key of."""
    data = begin_cell().store_coins(0).store_address(GIVER).store_ref(content(asset)).store_ref(contract("jetton-wallet"))
    return state_init(contract("jetton-master"), data.end_cell())


def master(asset: str) -> Address:
    return address_of(master_init(asset))


def founding(asset: str, unix_time: int) -> Cell:
    """The message that makes the master."""
    init = master_init(asset)
    return internal(address_of(init), FOUNDING_NANO, source=GIVER, bounce=False, init=init, created_at=unix_time)


def wallet_address(asset: str, owner: Address) -> Address:
    """Where an owner's tokens are: as the master would say it."""
    code = contract("jetton-wallet")
    data = begin_cell().store_coins(0).store_address(owner).store_address(master(asset)).store_ref(code).end_cell()
    return address_of(state_init(code, data))


def minting(asset: str, owner: Address, amount: int, comment: str, created_lt: int, unix_time: int) -> Cell:
    """The admin's order to give `amount` minor units to `owner`, who is told (with the comment)."""
    transfer = begin_cell().store_uint(INTERNAL_TRANSFER, 32).store_uint(created_lt, 64).store_coins(amount)
    transfer.store_address(master(asset)).store_address(None).store_coins(FORWARD_NANO)
    _store_payload(transfer, comment)
    order = begin_cell().store_uint(MINT, 32).store_uint(created_lt, 64).store_address(owner).store_coins(CARRIED_NANO)
    body = order.store_ref(transfer.end_cell()).end_cell()
    target = master(asset)
    return internal(target, MINTING_NANO, body, source=GIVER, bounce=False, created_lt=created_lt, created_at=unix_time)


def transfer(asset: str, owner: Address, to: Address, amount: int, comment: str, query_id: int, forward_nano: int) -> Cell:
    """The message of an owner to the wallet of its tokens: `amount` minor units to `to`, who is told if `forward_nano`."""
    body = begin_cell().store_uint(TRANSFER, 32).store_uint(query_id, 64).store_coins(amount).store_address(to)
    body.store_address(owner).store_bit(0).store_coins(forward_nano)
    _store_payload(body, comment)
    return internal(wallet_address(asset, owner), TRANSFER_NANO + forward_nano, body.end_cell())


def _store_payload(builder: object, comment: str) -> None:
    if comment:
        builder.store_bit(1).store_ref(comment_body(comment))  # type: ignore[attr-defined]
    else:
        builder.store_bit(0)  # type: ignore[attr-defined]
