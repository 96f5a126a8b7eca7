"""Rayment's 402 can be paid by x402, too: to the provider, in wrapped SOL, by sending the form again with the payment."""

import base64
import io
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from app.config import Settings
from app.models.payments import ChainTransaction
from app.models.x402 import X402Settlement
from app.stack.stack import SOLANA_DEVNET
from app.values.x402 import REQUIRED_HEADER, RESPONSE_HEADER, SIGNATURE_HEADER, WRAPPED_SOL, Requirement
from devnet.payer import Payer
from devnet.tokens import TOKEN_PROGRAM, associated_address
from tests.api.conftest import TRIANGLE, FakeNode, Market
from tests.factories import x402_payments as made
from tests.factories.payouts import SignerProcess, signer_process
from tests.factories.x402_worker import x402_worker

FEE = 10_001  # of a well-behaved client (tests/signer/test_fees.py)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    two, three = {"x402_payee_percent": 11}, {"x402_payees_percent": 16}  # fees of a day: one payee's, and all payees'
    shares = {"signer_max_day_fee_lamports": 20 * FEE, **two, **three}
    return replace(settings, x402_network=SOLANA_DEVNET, **shares)


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


def test_payees_use_up_their_share_of_the_days_fees_and_no_more(market: Market, payer: Payer, signer: SignerProcess) -> None:
    """Also at once: a provider who pays himself stops neither others nor being paid by memo. What is paid to the hub needs no
    share: the tests of that give none."""
    with x402_worker(market.hub, signer, payer):
        quotes = [submit(market, payer) for _ in range(6)]
        ways = [opened(quote.headers[REQUIRED_HEADER])["accepts"][0] for quote in quotes]
        wrap(payer, 10 * int(ways[0]["amount"]), ways[0]["payTo"])
        headers = [sign(payer, way) for way in ways]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda header: submit(market, payer, **{SIGNATURE_HEADER: header}), headers))
        assert Counter(answer.status_code for answer in answers) == {200: 2, 402: 4}, [answer.json for answer in answers]
        refused = next(answer for answer in answers if answer.status_code == 402)
        assert refused.json["code"] == "X402_REFUSED" and "by memo" in refused.json["error"], refused.json
        for item, header in zip(answers, headers, strict=True):
            again = submit(market, payer, **{SIGNATURE_HEADER: header})
            assert again.status_code == item.status_code, "a repeat takes no second share"
        late = submit(market, payer)
        assert late.status_code == 402 and REQUIRED_HEADER not in late.headers and REQUIRED_HEADER not in refused.headers
        payment = late.json["payment"]
        signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
        payer.wait_final(signature)
        assert market.pay(payment, signature).status_code == 200
        market.set_status("offline")
        other = Market(market.client, market.hub, market.hub.settings.solana_rpc_urls[0])
        (way,) = opened(submit(other, payer).headers[REQUIRED_HEADER])["accepts"]
        wrap(payer, 1, way["payTo"])
        assert submit(other, payer, **{SIGNATURE_HEADER: sign(payer, way)}).status_code == 200
        assert REQUIRED_HEADER not in submit(other, payer).headers, "many payees have no more than all of them have"
        with market.hub.database.unit_of_work() as session:
            rows = list(session.query(X402Settlement))
            assert sorted(row.payee for row in rows) == sorted([*[ways[0]["payTo"]] * 2, way["payTo"]])
            assert {(row.fee_lamports, row.state) for row in rows} <= {(FEE, "signed"), (FEE, "landed")}
            rows[0].created_at -= timedelta(hours=24)
        assert REQUIRED_HEADER in submit(other, payer).headers, "a day later"
