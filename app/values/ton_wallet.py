"""TON's wallet v4r2, as payouts leave from: its address, and external messages that send plain coins with a comment."""

import base64
from collections.abc import Sequence

from nacl.signing import SigningKey
from pytoniq_core import Address, Cell, StateInit, begin_cell

from app.values.payouts import Order, SignedPayouts, Terms
from app.values.ton_address import TonAddress

# The published contract; its hash is feb5ff6820e2ff0d9483e7e0d62c817d846789fb4ae580c878866d959dabd5c0.
_CODE = (
    "te6ccgECFAEAAtQAART/APSkE/S88sgLAQIBIAIDAgFIBAUE+PKDCNcYINMf0x/THwL4I7vyZO1E0NMf0x/T//QE0VFDuvKhUVG68qIF+QFUEG"
    "T5EPKj+AAkpMjLH1JAyx9SMMv/UhD0AMntVPgPAdMHIcAAn2xRkyDXSpbTB9QC+wDoMOAhwAHjACHAAuMAAcADkTDjDQOkyMsfEssfy/8QERIT"
    "AubQAdDTAyFxsJJfBOAi10nBIJJfBOAC0x8hghBwbHVnvSKCEGRzdHK9sJJfBeAD+kAwIPpEAcjKB8v/ydDtRNCBAUDXIfQEMFyBAQj0Cm+hMb"
    "OSXwfgBdM/yCWCEHBsdWe6kjgw4w0DghBkc3RyupJfBuMNBgcCASAICQB4AfoA9AQw+CdvIjBQCqEhvvLgUIIQcGx1Z4MesXCAGFAEywUmzxZY"
    "+gIZ9ADLaRfLH1Jgyz8gyYBA+wAGAIpQBIEBCPRZMO1E0IEBQNcgyAHPFvQAye1UAXKwjiOCEGRzdHKDHrFwgBhQBcsFUAPPFiP6AhPLassfyz"
    "/JgED7AJJfA+ICASAKCwBZvSQrb2omhAgKBrkPoCGEcNQICEekk30pkQzmkD6f+YN4EoAbeBAUiYcVnzGEAgFYDA0AEbjJftRNDXCx+AA9sp37"
    "UTQgQFA1yH0BDACyMoHy//J0AGBAQj0Cm+hMYAIBIA4PABmtznaiaEAga5Drhf/AABmvHfaiaEAQa5DrhY/AAG7SB/oA1NQi+QAFyMoHFcv/yd"
    "B3dIAYyMsFywIizxZQBfoCFMtrEszMyXP7AMhAFIEBCPRR8qcCAHCBAQjXGPoA0z/IVCBHgQEI9FHyp4IQbm90ZXB0gBjIywXLAlAGzxZQBPoC"
    "FMtqEssfyz/Jc/sAAgBsgQEI1xj6ANM/MFIkgQEI9Fnyp4IQZHN0cnB0gBjIywXLAlAFzxZQA/oCE8tqyx8Syz/Jc/sAAAr0AMntVA=="
)
WALLET_ID = 698983191
# Fees are paid beside the amount (1). A message that cannot be sent is left out (2) and the sequence number moves on: what was
# sent is counted in the transaction, and without this a failing message could be tried again and again, at a fee each time.
MODE = 3
PLAIN_SEND = 0
MOST_SEQNO = 2**32


def _state_init(public_key: bytes) -> StateInit:
    data = begin_cell().store_uint(0, 32).store_uint(WALLET_ID, 32).store_bytes(public_key).store_bit(0).end_cell()
    return StateInit(code=Cell.one_from_boc(base64.b64decode(_CODE)), data=data)


def address(public_key: bytes) -> TonAddress:
    """The wallet of a key, whether it was deployed or not."""
    return TonAddress(0, _state_init(public_key).serialize().hash)


def sign(seed: bytes, orders: Sequence[Order], terms: Terms) -> SignedPayouts:
    """One external message that pays all orders; the wallet's first brings its code. ValueError for terms that bind nothing."""
    seqno, valid_until = terms.seqno, terms.valid_until
    if seqno is None or not 0 <= seqno < MOST_SEQNO or valid_until is None or not 0 < valid_until < 2**32:
        raise ValueError("a message needs a sequence number and an end")
    key = SigningKey(seed)
    public_key = bytes(key.verify_key)
    order_cells = begin_cell().store_uint(WALLET_ID, 32).store_uint(valid_until, 32).store_uint(seqno, 32)
    order_cells.store_uint(PLAIN_SEND, 8)
    for order in orders:
        order_cells.store_uint(MODE, 8).store_ref(_message(order))
    unsigned = order_cells.end_cell()
    signature = key.sign(unsigned.hash).signature
    body = begin_cell().store_bytes(signature).store_cell(unsigned).end_cell()
    raw = _external(address(public_key), body, _state_init(public_key) if seqno == 0 else None)
    return SignedPayouts(tuple(orders), terms, raw, body.hash.hex())


def payer_of(raw: bytes) -> str:
    """The wallet that a signed message is for, raw; ValueError for what is no message from outside."""
    message = Cell.one_from_boc(raw).begin_parse()
    if message.load_uint(4) != 0b1000:
        raise ValueError("it is no message from outside")
    wallet = message.load_address()
    return TonAddress(wallet.wc, wallet.hash_part).raw


def _message(order: Order) -> Cell:
    """Never bounceable: a wallet that was not deployed yet keeps what it is sent."""
    comment = begin_cell().store_uint(0, 32).store_snake_string(order.memo).end_cell()
    head = begin_cell().store_bit(0).store_bit(1).store_bit(0).store_bit(0).store_uint(0, 2)
    head.store_address(Address(order.destination)).store_coins(order.amount_minor)
    head.store_bit(0).store_coins(0).store_coins(0).store_uint(0, 64).store_uint(0, 32)
    return head.store_bit(0).store_bit(1).store_ref(comment).end_cell()


def _external(wallet: TonAddress, body: Cell, init: StateInit | None) -> bytes:
    head = begin_cell().store_uint(0b10, 2).store_uint(0, 2).store_address(Address(wallet.raw)).store_coins(0)
    if init is None:
        head.store_bit(0)
    else:
        head.store_bit(1).store_bit(1).store_ref(init.serialize())
    return bytes(head.store_bit(1).store_ref(body).end_cell().to_boc())
