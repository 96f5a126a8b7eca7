"""A payment whose payee does not stand in the message: it comes out of an address lookup table."""

import base64

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from devnet.accounts import LOOKUP_TABLE_PROGRAM
from devnet.payer import Payer, memo
from tests.factories.chain_nodes import Node

CREATE, EXTEND = ((0).to_bytes(4, "little"), (2).to_bytes(4, "little"))
PROCESSED = {"commitment": "processed"}


def make_table(node: Node, payer: Payer, address: Pubkey) -> Pubkey:
    """A table with one address in it, ready to be used."""
    mine, slot = payer.keypair.pubkey(), node.rpc("getSlot", PROCESSED)
    node.pass_slots(1)
    table, bump = Pubkey.find_program_address([bytes(mine), slot.to_bytes(8, "little")], LOOKUP_TABLE_PROGRAM)
    metas = [AccountMeta(table, False, True), AccountMeta(mine, True, False), AccountMeta(mine, True, True)]
    metas.append(AccountMeta(Pubkey(bytes(32)), False, False))
    create = CREATE + slot.to_bytes(8, "little") + bytes([bump])
    extend = EXTEND + (1).to_bytes(8, "little") + bytes(address)
    payer.send([Instruction(LOOKUP_TABLE_PROGRAM, data, metas) for data in (create, extend)])
    node.pass_slots(2)
    return table


def pay_by_lookup_table(node: Node, payer: Payer, to: Pubkey, lamports: int, text: str) -> str:
    table = AddressLookupTableAccount(make_table(node, payer, to), [to])
    latest = Hash.from_string(node.rpc("getLatestBlockhash", PROCESSED)["value"]["blockhash"])
    instructions = [payer.transfer(str(to), lamports), memo(text)]
    message = MessageV0.try_compile(payer.keypair.pubkey(), instructions, [table], latest)
    assert to not in message.account_keys and message.address_table_lookups
    return payer.send_signed(base64.b64encode(bytes(VersionedTransaction(message, [payer.keypair]))).decode())
