"""Rayment's 402 can be paid by x402, too: to the provider, in wrapped SOL, by sending the form again with the payment."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from app.config import Settings
from app.models.payments import ChainTransaction
from app.stack.stack import SOLANA_DEVNET
from app.values.x402 import REQUIRED_HEADER, RESPONSE_HEADER, SIGNATURE_HEADER, WRAPPED_SOL, Requirement
from devnet.payer import Payer
from devnet.tokens import TOKEN_PROGRAM, associated_address
from tests.api.conftest import TRIANGLE, FakeNode, Market
from tests.factories import x402_payments as made
from tests.factories.payouts import SignerProcess, signer_process
from tests.factories.x402_worker import x402_worker


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, x402_network=SOLANA_DEVNET)


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    with signer_process(tmp_path) as found:
        yield found


def opened(header: str) -> dict[str, Any]:
    return dict(json.loads(base64.b64decode(header)))


def submit(market: Market, payer: Payer, **headers: str) -> Any:
    settings = json.dumps({"resolution": {"width": 8, "height": 6}})
    form = {"file": (io.BytesIO(TRIANGLE), "part.stl"), "clientWallet": payer.address, "settings": settings}
    return market.client.post("/render", data=form, headers=headers)


def wrap(payer: Payer, lamports: int, payee: str) -> None:
    """Some of the payer's SOL becomes a token, and the payee has an account for it."""
    mint = Pubkey.from_string(WRAPPED_SOL)
    own = associated_address(payer.keypair.pubkey(), mint)
    opens = [payer.transfer_token(to, 1, WRAPPED_SOL, 9)[0] for to in (payer.address, payee)]
    synced = Instruction(TOKEN_PROGRAM, b"\x11", [AccountMeta(own, False, True)])
    payer.wait_final(payer.send([*opens, payer.transfer(str(own), lamports), synced]))


def sign(payer: Payer, way: dict[str, Any], **changes: Any) -> str:
    extra = way["extra"]
    asked = (way["network"], way["asset"], int(way["amount"]), way["payTo"], extra["memo"], extra["feePayer"])
    wanted = Requirement(*asked, way["maxTimeoutSeconds"], extra["reference"])
    latest = payer.rpc("getLatestBlockhash", {"commitment": "processed"})["value"]["blockhash"]
    return made.header(made.payment(payer.keypair, wanted, latest, decimals=9, **changes), wanted)


def test_a_render_is_paid_by_the_same_form_and_a_payment(
    market: Market, payer: Payer, signer: SignerProcess, node: FakeNode
) -> None:
    with x402_worker(market.hub, signer, payer):
        quote = submit(market, payer)
        payment = quote.json["payment"]
        (way,) = opened(quote.headers[REQUIRED_HEADER])["accepts"]
        assert (quote.status_code, way["payTo"], way["asset"]) == (402, payment["payTo"], WRAPPED_SOL)
        assert int(way["amount"]) == round(payment["price"] * 10**9) and payment["jobId"] not in json.dumps(way)
        wrap(payer, int(way["amount"]), payment["payTo"])
        short = submit(market, payer, **{SIGNATURE_HEADER: sign(payer, way, minor=int(way["amount"]) - 1)})
        assert (short.status_code, short.json["code"]) == (402, "X402_REFUSED") and short.json["success"] is False
        header = sign(payer, way)
        for _ in range(2):
            paid = submit(market, payer, **{SIGNATURE_HEADER: header})
            assert paid.status_code == 200, paid.json
            assert paid.json["data"]["jobId"] == payment["jobId"] and opened(paid.headers[RESPONSE_HEADER])["success"] is True
        with market.hub.database.unit_of_work() as session:
            session.query(ChainTransaction).update({"state": "refundable", "message": "it is owed back"})
        late = submit(market, payer, **{SIGNATURE_HEADER: header})
        assert (late.status_code, late.json["error"]) == (400, "it is owed back"), "what pays no job is not told as if it did"
        job = market.job(payment)
        assert job["paymentStatus"] == "confirmed" and len(node.claim(5)) == 1
        account = associated_address(Pubkey.from_string(payment["payTo"]), Pubkey.from_string(WRAPPED_SOL))
        assert payer.rpc("getTokenAccountBalance", str(account))["value"]["amount"] == way["amount"]


def test_a_payment_of_nothing_that_was_quoted_is_unknown(market: Market, payer: Payer, signer: SignerProcess) -> None:
    with x402_worker(market.hub, signer, payer):
        (way,) = opened(submit(market, payer).headers[REQUIRED_HEADER])["accepts"]
        for extra in ({"reference": "x"}, {"reference": "00000000-0000-0000-0000-000000000001"}, {"memo": "rayment:x"}):
            body = opened(sign(payer, {**way, "extra": {**way["extra"], **extra}}))
            answer = submit(market, payer, **{SIGNATURE_HEADER: base64.b64encode(json.dumps(body).encode()).decode()})
            assert answer.status_code == 404 and "PAYMENT-SIGNATURE" in answer.json["error"], answer.json
        assert submit(market, payer, **{SIGNATURE_HEADER: "x"}).status_code == 400
