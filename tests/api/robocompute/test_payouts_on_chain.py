"""A payout that was asked for here is in the wallet, and said to be, with its transaction."""

from pathlib import Path

from app.flows import payouts
from app.wiring import Hub
from tests.api.robocompute.conftest import Person
from tests.factories.chain_nodes import Node
from tests.factories.payouts import fund_solana, signer_process, solana_balance, solana_chain, until


def test_what_was_asked_for_arrives_once(hub: Hub, provider: Person, tmp_path: Path) -> None:
    provider.fund("12.5")
    asked = provider.post(provider.own("payouts/request"), json={"amount": "12.345678", "currency": "USDC"}).json
    node = Node("--slot-ms", "0")
    with signer_process(tmp_path) as signer:
        fund_solana(node, signer.client.addresses()["solana"])
        seen = set()
        for _ in until(60):
            payouts.advance_if_possible(hub.database, solana_chain(node.url), signer.client)
            (told,) = provider.get(provider.own("payouts/history")).json["payouts"]
            seen.add(told["status"])
            if told["status"] == "completed":
                break
            node.pass_slots()
    assert seen == {"processing", "completed"} and told["payout_id"] == asked["payout_id"]
    assert told["tx_hash"] and told["confirmed_at"] > told["created_at"]
    assert solana_balance(node, provider.wallet, "USDC") == 12_345_678
    pending = provider.get(provider.own("payouts/pending")).json
    assert (pending["payouts"], pending["pending_usdc"], pending["available_usdc"]) == ([], "0.00", "0.154322")
    assert node.end() == (0, "")
