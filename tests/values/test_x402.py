"""What is taken for a payment by x402, and every trick that is not."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageHeader, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams
from solders.system_program import transfer as send_sol
from solders.transaction import VersionedTransaction

from app.values import x402
from app.values.solana_payouts import MEMO, TOKEN, token_account
from app.values.x402 import LIGHTHOUSE, Requirement, Unfit
from tests.factories import x402_payments as made

PAYER, FEES, OTHER = Keypair(), Keypair(), Keypair()
MINT, SHOP, BLOCKHASH = str(Keypair().pubkey()), str(Keypair().pubkey()), str(Keypair().pubkey())
WAY = Requirement("solana:" + "1" * 32, MINT, 250_000, SHOP, "rnp:00000000-0000-0000-0000-000000000001", str(FEES.pubkey()), 300)


def take(raw: bytes, way: Requirement = WAY) -> x402.Transfer:
    found = x402.read_transfer(raw)
    x402.assert_pays(found, way)
    return found


def test_a_well_behaved_payment_is_taken_whoever_signs_it_first() -> None:
    raw = made.payment(PAYER, WAY, BLOCKHASH)
    found = take(raw)
    assert (found.payer, found.amount_minor, found.memos) == (str(PAYER.pubkey()), 250_000, (WAY.memo,))
    assert found.blockhash == BLOCKHASH
    assert found.fee_lamports == 10_001
    complete = x402.signed(raw, FEES.sign_message)
    assert VersionedTransaction.from_bytes(complete).verify_with_results() == [True, True]
    assert x402.signature_of(complete) == str(VersionedTransaction.from_bytes(complete).signatures[0])
    assert x402.read_transfer(complete).message_hash == found.message_hash, "one transfer has one name"
    legacy = made.signed(PAYER, WAY.fee_payer, [*BUDGET, PAY, SAY], BLOCKHASH, is_legacy=True)
    assert VersionedTransaction.from_bytes(x402.signed(legacy, FEES.sign_message)).verify_with_results() == [True, True]
    assert take(made.payment(PAYER, WAY, BLOCKHASH, minor=250_001)).amount_minor == 250_001


def _with(*instructions: Instruction, fee_payer: str = WAY.fee_payer, others: tuple[Keypair, ...] = ()) -> bytes:
    return made.signed(PAYER, fee_payer, instructions, BLOCKHASH, others)


def _fees_in(program: Pubkey, data: bytes, writable: bool = True) -> Instruction:
    return Instruction(program, data, [AccountMeta(FEES.pubkey(), True, writable)])


PAY, SAY, BUDGET = made.transfer(PAYER, WAY), made.memo(WAY.memo), made.budget()
STEAL = send_sol(TransferParams(from_pubkey=FEES.pubkey(), to_pubkey=PAYER.pubkey(), lamports=10**6))
OWN_TOKENS = made.transfer(PAYER, WAY, owner=FEES.pubkey(), source=token_account(FEES.pubkey(), Pubkey.from_string(MINT)))
TWO_SIGN = Instruction(MEMO, WAY.memo.encode(), [AccountMeta(OTHER.pubkey(), True, False)])
MULTISIG = Instruction(TOKEN, bytes(PAY.data), [*PAY.accounts, AccountMeta(PAYER.pubkey(), True, False)])


def _listed_twice() -> bytes:
    """Who pays the fee, once more at the end of the accounts, where an instruction might name it."""
    plain = VersionedTransaction.from_bytes(made.payment(PAYER, WAY, BLOCKHASH)).message
    assert isinstance(plain, MessageV0)
    kinds = plain.header
    header = MessageHeader(2, kinds.num_readonly_signed_accounts, kinds.num_readonly_unsigned_accounts + 1)
    keys = [*plain.account_keys, plain.account_keys[0]]
    message = MessageV0(header, keys, plain.recent_blockhash, plain.instructions, [])
    own = PAYER.sign_message(to_bytes_versioned(message))
    return bytes(VersionedTransaction.populate(message, [Signature.default(), own]))


TRICKS: dict[str, tuple[bytes, str]] = {
    "an account twice": (_listed_twice(), "could_not_be_decoded"),
    "nothing": (b"", "could_not_be_decoded"),
    "noise": (b"\x00" * 300, "could_not_be_decoded"),
    "too long": (b"\x01" * 1233, "could_not_be_decoded"),
    "more behind it": (made.payment(PAYER, WAY, BLOCKHASH) + b"\x00", "could_not_be_decoded"),
    "the hub's own SOL": (_with(*BUDGET, PAY, SAY, STEAL), "transferring_funds"),
    "the hub's own tokens": (_with(*BUDGET, OWN_TOKENS, SAY), "invalid_exact_svm_payload"),
    "the hub in a memo": (_with(*BUDGET, PAY, _fees_in(MEMO, WAY.memo.encode(), False)), "transferring_funds"),
    "the hub in Lighthouse": (_with(*BUDGET, PAY, SAY, _fees_in(LIGHTHOUSE, b"\x00")), "transferring_funds"),
    "a third signer": (_with(*BUDGET, PAY, TWO_SIGN, others=(OTHER,)), "invalid_exact_svm_payload"),
    "pays its own fee": (_with(*BUDGET, PAY, SAY, fee_payer=str(PAYER.pubkey())), "invalid_exact_svm_payload"),
    "another pays the fee": (_with(*BUDGET, PAY, SAY, fee_payer=str(OTHER.pubkey())), "fee_payer_not_managed_by_facilitator"),
    "no budget": (_with(PAY, SAY, SAY), "compute_limit_instruction"),
    "the budget upside down": (_with(*reversed(BUDGET), PAY, SAY), "compute_limit_instruction"),
    "two instructions": (_with(BUDGET[0], PAY), "instructions_length"),
    "seven instructions": (_with(*BUDGET, PAY, SAY, SAY, SAY, SAY), "instructions_length"),
    "another program": (_with(*BUDGET, PAY, SAY, Instruction(Pubkey.from_string(SHOP), b"", [])), "unknown_fifth_instruction"),
    "twice a transfer": (_with(*BUDGET, PAY, PAY, SAY), "unknown_fourth_instruction"),
    "a plain transfer": (_with(*BUDGET, made.transfer(PAYER, WAY, data=b"\x03" + bytes(8)), SAY), "no_transfer_instruction"),
    "an approval": (_with(*BUDGET, made.transfer(PAYER, WAY, data=b"\x0d" + bytes(9)), SAY), "no_transfer_instruction"),
    "several owners": (_with(*BUDGET, MULTISIG, SAY), "no_transfer_instruction"),
    "too little": (made.payment(PAYER, WAY, BLOCKHASH, minor=249_999), "amount_insufficient"),
    "more than there is": (made.payment(PAYER, WAY, BLOCKHASH, minor=2**63), "amount_out_of_range"),
    "another token": (made.payment(PAYER, replace(WAY, asset=SHOP), BLOCKHASH), "mint_mismatch"),
    "another shop": (made.payment(PAYER, replace(WAY, pay_to=MINT), BLOCKHASH), "recipient_mismatch"),
    "another memo": (made.payment(PAYER, replace(WAY, memo="x"), BLOCKHASH), "memo_mismatch"),
    "no memo": (_with(*BUDGET, PAY), "memo_count"),
    "two memos": (_with(*BUDGET, PAY, SAY, SAY), "memo_count"),
}


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_is_refused_by_name(name: str) -> None:
    raw, code = TRICKS[name]
    with pytest.raises(Unfit) as refused:
        take(raw)
    assert code in refused.value.code and refused.value.message


def test_a_signature_of_somebody_else_is_none() -> None:
    right = VersionedTransaction.from_bytes(made.payment(PAYER, WAY, BLOCKHASH))
    forged = VersionedTransaction.populate(right.message, [right.signatures[0], OTHER.sign_message(b"x")])
    with pytest.raises(Unfit) as refused:
        take(bytes(forged))
    assert refused.value.code.endswith("signature")


def test_the_fee_counts_what_it_may_be_at_most() -> None:
    raw = _with(*made.budget(1_400_000, 5_000_001), PAY, SAY)
    assert take(raw).fee_lamports == 10_000 + 7_000_002


def test_a_cluster_is_named_as_its_clients_name_it() -> None:
    """By CAIP-2, from the hash of its first block: devnet's and testnet's, which the project's own client knows."""
    from x402.mechanisms.svm.constants import SOLANA_DEVNET_CAIP2, SOLANA_TESTNET_CAIP2

    assert x402.network_of("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG") == SOLANA_DEVNET_CAIP2
    assert x402.network_of("4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY") == SOLANA_TESTNET_CAIP2


def _header(value: Any) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode()


def test_headers_that_are_none_say_what_they_should_be() -> None:
    good = {"x402Version": 2, "payload": {"transaction": "AA=="}, "accepted": WAY.written()}
    assert x402.read_offer(_header(good)).raw == b"\x00"
    for text in (
        "", "é", "{}", _header(b"\xff"), _header([]), _header(7), _header({}), _header({**good, "x402Version": 1}),
        _header({**good, "payload": {}}), _header({**good, "payload": []}), _header({**good, "payload": {"transaction": 7}}),
        _header({**good, "payload": {"transaction": "!"}}), _header({**good, "accepted": None}),
        _header(b"[" * 10_000), "A" * 20_000,
    ):  # fmt: skip
        with pytest.raises(Unfit) as refused:
            x402.read_offer(text)
        assert refused.value.message


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("scheme", "unsupported_scheme"),
        ("network", "network_mismatch"),
        ("asset", "invalid_exact_svm_payload_mint_mismatch"),
        ("payTo", "invalid_exact_svm_payload_recipient_mismatch"),
        ("amount", "invalid_exact_svm_payload_amount_insufficient"),
    ],
)
def test_another_way_than_was_offered_is_refused(name: str, code: str) -> None:
    offer = x402.read_offer(made.header(b"", WAY))
    x402.assert_accepted(offer, WAY)
    for value in ("x", None, 1, {}):
        with pytest.raises(Unfit) as refused:
            x402.assert_accepted(x402.read_offer(made.header(b"", WAY, **{name: value})), WAY)
        assert refused.value.code == code
