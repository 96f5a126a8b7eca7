"""solana-py, as it comes from PyPI, talks to the local chain: both clients, the websocket, and its SPL token clients."""

import asyncio
from typing import Any

import pytest
from solana.exceptions import SolanaRpcException
from solana.rpc.api import Client
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.core import RPCException
from solana.rpc.models import TokenAccountOpts, TxOpts
from solana.rpc.websocket_api import connect
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.rpc.responses import (
    AccountNotification,
    LogsNotification,
    SignatureNotification,
    SlotNotification,
    SubscriptionResult,
)
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction, VersionedTransaction
from solders.transaction_status import TransactionConfirmationStatus
from spl.memo.constants import MEMO_PROGRAM_ID
from spl.token.async_client import AsyncToken
from spl.token.client import Token
from spl.token.constants import TOKEN_PROGRAM_ID

from tests.factories.chain_nodes import Node

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]
SOL = 10**9


@pytest.fixture
def client(quick_node: Node) -> Client:
    return Client(quick_node.url, commitment=Confirmed)


@pytest.fixture
def wallet(client: Client) -> Keypair:
    found = Keypair()
    client.confirm_transaction(client.request_airdrop(found.pubkey(), 10 * SOL).value, Confirmed)
    return found


def payment(client: Client, payer: Keypair, to: Pubkey, lamports: int, memo: str) -> Transaction:
    blockhash = client.get_latest_blockhash().value.blockhash
    pay = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))
    return Transaction([payer], Message([pay, Instruction(MEMO_PROGRAM_ID, memo.encode(), [])], payer.pubkey()), blockhash)


def test_airdrop_transfer_with_memo_and_history(client: Client, wallet: Keypair) -> None:
    assert client.is_connected()
    assert client.get_balance(wallet.pubkey()).value == 10 * SOL
    to = Keypair().pubkey()
    signature = client.send_transaction(payment(client, wallet, to, SOL, "order:1")).value
    client.confirm_transaction(signature, Finalized)
    assert client.get_balance(to, Finalized).value == SOL
    assert client.get_balance(wallet.pubkey()).value == 9 * SOL - 5000

    shown = client.get_transaction(signature, "jsonParsed", Confirmed, max_supported_transaction_version=0).value
    assert shown is not None and shown.transaction.meta is not None
    assert shown.transaction.meta.err is None and shown.transaction.meta.fee == 5000
    parsed = shown.transaction.transaction.message.instructions  # type: ignore[union-attr]
    assert parsed[0].parsed["info"]["lamports"] == SOL  # type: ignore[union-attr,index]
    assert parsed[1].parsed == "order:1"  # type: ignore[union-attr]
    for encoding in ("json", "base64", "base58"):
        again = client.get_transaction(signature, encoding, Confirmed, max_supported_transaction_version=0).value
        assert again is not None and again.slot == shown.slot

    rows = client.get_signatures_for_address(to, commitment=Confirmed).value
    assert [(row.signature, row.memo, row.err) for row in rows] == [(signature, "[7] order:1", None)]
    assert rows[0].confirmation_status == TransactionConfirmationStatus.Finalized
    status = client.get_signature_statuses([signature, Signature.default()]).value
    assert status[1] is None
    assert status[0] is not None and status[0].err is None and status[0].slot == shown.slot


def test_a_failed_preflight_is_an_rpc_exception_with_logs(client: Client, wallet: Keypair) -> None:
    with pytest.raises(RPCException) as refused:
        client.send_transaction(payment(client, wallet, Keypair().pubkey(), 100 * SOL, "too much"))
    assert "custom program error: 0x1" in str(refused.value)
    poor = Keypair()
    with pytest.raises(RPCException, match="no record of a prior credit"):
        client.send_transaction(payment(client, poor, wallet.pubkey(), 1, "nothing there"))


def test_a_transaction_that_fails_on_the_chain_is_confirmed_with_its_error(client: Client, wallet: Keypair) -> None:
    bad = payment(client, wallet, Keypair().pubkey(), 100 * SOL, "order:2")
    signature = client.send_transaction(bad, TxOpts(skip_preflight=True)).value
    client.confirm_transaction(signature, Confirmed)
    shown = client.get_transaction(signature, "jsonParsed", Confirmed, max_supported_transaction_version=0).value
    assert shown is not None and shown.transaction.meta is not None
    assert "Custom(1)" in str(shown.transaction.meta.err)
    assert client.get_balance(wallet.pubkey()).value == 10 * SOL - 5000


def test_simulation_fees_and_the_cluster(client: Client, wallet: Keypair) -> None:
    asked = payment(client, wallet, Keypair().pubkey(), SOL, "only asked")
    told = client.simulate_transaction(VersionedTransaction.from_legacy(asked)).value
    assert told.err is None and told.units_consumed and any("only asked" in line for line in told.logs or [])
    assert client.get_balance(wallet.pubkey()).value == 10 * SOL
    assert client.get_fee_for_message(asked.message).value == 5000
    assert client.get_minimum_balance_for_rent_exemption(165).value == 2039280
    assert client.get_version().value.solana_core
    assert client.get_epoch_info().value.absolute_slot > 32
    assert client.get_block_height(Confirmed).value <= client.get_slot(Processed).value
    assert client.get_block_time(client.get_slot(Confirmed).value).value
    assert client.get_genesis_hash().value
    info = client.get_account_info(wallet.pubkey()).value
    assert info is not None and info.lamports == 10 * SOL
    assert [found is None for found in client.get_multiple_accounts([wallet.pubkey(), Keypair().pubkey()]).value] == [False, True]


def test_an_spl_token_is_made_minted_and_paid(client: Client, wallet: Keypair) -> None:
    token = Token.create_mint(client, wallet, wallet.pubkey(), 6, TOKEN_PROGRAM_ID)
    mine = token.create_associated_token_account(wallet.pubkey())
    token.mint_to(mine, wallet, 5_000_000, opts=TxOpts(skip_confirmation=False, preflight_commitment=Confirmed))
    friend = Keypair().pubkey()
    theirs = token.create_associated_token_account(friend)
    options = TxOpts(skip_confirmation=False, preflight_commitment=Confirmed)
    sent = token.transfer_checked(mine, theirs, wallet, 1_250_000, 6, opts=options)
    assert token.get_balance(theirs).value.amount == "1250000"
    assert token.get_balance(mine).value.ui_amount_string == "3.75"
    assert token.get_mint_info().supply == 5_000_000
    assert token.get_account_info(theirs).owner == friend
    assert client.get_token_supply(token.pubkey).value.amount == "5000000"

    owned = client.get_token_accounts_by_owner_json_parsed(friend, TokenAccountOpts(mint=token.pubkey)).value
    assert [row.pubkey for row in owned] == [theirs]
    assert owned[0].account.data.parsed["info"]["tokenAmount"]["amount"] == "1250000"
    all_mine = client.get_token_accounts_by_owner(wallet.pubkey(), TokenAccountOpts(program_id=TOKEN_PROGRAM_ID)).value
    assert [row.pubkey for row in all_mine] == [mine]

    meta = client.get_transaction(sent.value, "jsonParsed", Confirmed, max_supported_transaction_version=0).value
    assert meta is not None and meta.transaction.meta is not None
    after = meta.transaction.meta.post_token_balances or []
    assert {(str(row.owner), row.ui_token_amount.amount) for row in after} == {
        (str(friend), "1250000"),
        (str(wallet.pubkey()), "3750000"),
    }


def test_the_async_client_and_a_versioned_transaction(quick_node: Node) -> None:
    async def pay() -> None:
        payer, to = Keypair(), Keypair().pubkey()
        async with AsyncClient(quick_node.url, commitment=Confirmed) as client:
            await client.confirm_transaction((await client.request_airdrop(payer.pubkey(), SOL)).value, Confirmed)
            latest = (await client.get_latest_blockhash()).value
            move = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=SOL // 2))
            message = MessageV0.try_compile(payer.pubkey(), [move], [], latest.blockhash)
            signed = VersionedTransaction(message, [payer])
            sent = await client.send_transaction(signed)
            await client.confirm_transaction(sent.value, Confirmed, last_valid_block_height=latest.last_valid_block_height)
            shown = (await client.get_transaction(sent.value, "jsonParsed", Confirmed, 0)).value
            assert shown is not None and shown.transaction.version == 0
            with pytest.raises((RPCException, SolanaRpcException), match="maxSupportedTransactionVersion"):
                answer = await client.get_transaction(sent.value, "jsonParsed", Confirmed)
                raise RPCException(answer)
            assert (await client.get_balance(to)).value == SOL // 2
            token = await AsyncToken.create_mint(client, payer, payer.pubkey(), 8, TOKEN_PROGRAM_ID)
            assert (await client.get_token_supply(token.pubkey)).value.decimals == 8

    asyncio.run(pay())


@pytest.mark.parametrize("word", [Processed, Confirmed, Finalized])
def test_a_signature_is_confirmed_over_the_websocket(quick_node: Node, client: Client, wallet: Keypair, word: str) -> None:
    async def watch() -> None:
        async with connect(quick_node.socket_url) as socket:
            signed = payment(client, wallet, Keypair().pubkey(), SOL, f"watched {word}")
            await socket.signature_subscribe(signed.signatures[0], word)
            first = (await socket.recv())[0]
            client.send_transaction(signed)
            heard = (await asyncio.wait_for(socket.recv(), 30))[0]
            assert isinstance(heard, SignatureNotification)
            assert heard.result.value.err is None
            assert heard.subscription == first.result
            status = client.get_signature_statuses([signed.signatures[0]]).value[0]
            assert status is not None and (word != Finalized or status.confirmations is None)

    asyncio.run(watch())


def test_slots_accounts_and_logs_over_the_websocket(quick_node: Node, client: Client, wallet: Keypair) -> None:
    async def watch() -> None:
        async with connect(quick_node.socket_url) as socket:
            await socket.slot_subscribe()
            number = (await socket.recv())[0].result
            slots = [(await asyncio.wait_for(socket.recv(), 30))[0] for _ in range(3)]
            assert all(isinstance(item, SlotNotification) for item in slots)
            assert [item.result.slot - slots[0].result.slot for item in slots] == [0, 1, 2]
            await socket.slot_unsubscribe(number)
            to = Keypair().pubkey()
            await socket.account_subscribe(to, Processed, "base64")
            await socket.logs_subscribe(RpcTransactionLogsFilterMentions(to), Processed)
            confirmed = 0
            while confirmed < 2:  # else it may have landed before anybody asked
                confirmed += sum(isinstance(item, SubscriptionResult) for item in await asyncio.wait_for(socket.recv(), 30))
            client.send_transaction(payment(client, wallet, to, SOL, "look"))
            heard: dict[type, Any] = {}
            while not {AccountNotification, LogsNotification} <= heard.keys():
                heard |= {type(item): item for item in await asyncio.wait_for(socket.recv(), 30)}
            assert heard[AccountNotification].result.value.lamports == SOL
            assert any("look" in line for line in heard[LogsNotification].result.value.logs)

    asyncio.run(watch())
