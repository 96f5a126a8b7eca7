"""A stock x402 client pays jobs and top-ups over HTTP, on the real local chain, with the fee paid out of the signer's wallet."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from app.core import audit
from app.models.x402 import X402Settlement
from app.values.x402 import REQUIRED_HEADER, RESPONSE_HEADER, SIGNATURE_HEADER, Requirement
from devnet.payer import Payer
from tests.api.rnp019.conftest import bearer, refused
from tests.api.rnp019.money.conftest import Agent
from tests.factories import x402_payments as made
from tests.factories.payouts import LOCAL_MINTS, SignerProcess, signer_process
from tests.factories.x402_worker import x402_worker


def opened(header: str) -> dict[str, Any]:
    return dict(json.loads(base64.b64decode(header)))


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    with signer_process(tmp_path) as found:
        yield found


class Facilitated:
    """An agent whose hub settles by x402."""

    def __init__(self, agent: Agent, fee_payer: str) -> None:
        self.agent, self.fee_payer, self.hub = agent, fee_payer, agent.hub
        for asset in ("USDC", "RENDER"):  # a token account of the hub's must be there: the scheme opens none
            agent.payer.rpc("lightyardFaucet", self.hub.settings.solana_wallet, "1", asset)

    def quote(self, path: str) -> tuple[dict[str, Any], Requirement]:
        answer = self.agent.post(path)
        assert answer.status_code == 402, answer.json
        (way,) = opened(answer.headers[REQUIRED_HEADER])["accepts"]
        asked = (way["network"], way["asset"], int(way["amount"]), way["payTo"], way["extra"]["memo"], way["extra"]["feePayer"])
        return answer.json, Requirement(*asked, way["maxTimeoutSeconds"], way["extra"]["reference"])

    def sign(self, way: Requirement, **changes: Any) -> str:
        latest = self.agent.payer.rpc("getLatestBlockhash", {"commitment": "processed"})["value"]["blockhash"]
        return made.header(made.payment(self.agent.payer.keypair, way, latest, **changes), way)

    def bring(self, path: str, header: str, **headers: str) -> Any:
        return self.agent.post(path, None, **{SIGNATURE_HEADER: header}, **headers)


@pytest.fixture
def facilitated(agent: Agent, signer: SignerProcess) -> Iterator[Facilitated]:
    with x402_worker(agent.hub, signer, agent.payer) as fee_payer:
        yield Facilitated(agent, fee_payer)


@pytest.fixture
def url(agent: Agent) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, agent.client.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/rnp/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def stock_client(agent: Agent) -> requests.Session:
    """The x402 project's own client; spending controls off, since it knows no test tokens."""
    from x402 import x402ClientSync
    from x402.http.clients.requests import x402_requests
    from x402.mechanisms.svm import KeypairSigner
    from x402.mechanisms.svm.exact import register_exact_svm_client

    client = x402ClientSync().set_spend_controls(False)
    rpc_url = agent.hub.settings.solana_rpc_urls[0]
    register_exact_svm_client(client, KeypairSigner(agent.payer.keypair), rpc_url=rpc_url)
    return x402_requests(client)


def test_a_stock_client_pays_a_job(facilitated: Facilitated, url: str) -> None:
    agent = facilitated.agent
    job_id = agent.place(10, mode="prepay")
    lamports = agent.payer.rpc("getBalance", agent.payer.address)["value"]
    answer = stock_client(agent).post(f"{url}/jobs/{job_id}/pay", headers=bearer(agent.key), timeout=60)
    assert answer.status_code == 200, answer.text
    paid, told = answer.json(), opened(answer.headers[RESPONSE_HEADER])
    assert (paid["status"], paid["amount"], paid["received"]) == ("confirmed", "1.000000", "1.000000")
    assert (told["success"], told["transaction"], told["payer"]) == (True, paid["tx_signature"], agent.payer.address)
    assert agent.job(job_id).payment_state == "confirmed" and agent.balance("held").minor == 10**6
    assert agent.payer.rpc("getBalance", agent.payer.address)["value"] == lamports, "the client pays no fee"
    facilitated.hub.facilitator.follow_signed()
    with agent.database.unit_of_work() as session:
        (row,) = session.query(X402Settlement)
        assert (row.state, row.tx_signature) == ("landed", paid["tx_signature"])
        assert audit.differences(session) == []


def test_one_402_offers_both_ways_and_the_other_one_stays_open(facilitated: Facilitated) -> None:
    agent = facilitated.agent
    job_id = agent.place(10, mode="prepay")
    path = f"jobs/{job_id}/pay"
    quote, way = facilitated.quote(path)
    payment = quote["payment"]
    assert quote["error"]["details"]["payment"] == payment and payment["memo"] in quote["error"]["message"]
    assert (way.memo, way.pay_to, way.asset, way.amount_minor) == (payment["memo"], payment["pay_to"], payment["mint"], 10**6)
    assert way.network.startswith("solana:") and way.fee_payer == facilitated.fee_payer
    first, again = (agent.post(path, None, Idempotency_Key="q") for _ in range(2))
    assert (again.status_code, again.headers[REQUIRED_HEADER]) == (402, first.headers[REQUIRED_HEADER])
    paid = agent.post(path, {"tx_signature": agent.send(payment)})
    assert paid.json["status"] == "confirmed"
    refused(facilitated.bring(path, facilitated.sign(way)), 409, "JOB_PAID")
    assert agent.balance().minor == 0, "nobody signed it, so nothing was paid twice"


def test_replays_pay_once_and_tell_the_same(facilitated: Facilitated) -> None:
    agent = facilitated.agent
    paths = [f"jobs/{agent.place(10, mode='prepay')}/pay" for _ in range(2)]
    ways = [facilitated.quote(path)[1] for path in paths]
    header = facilitated.sign(ways[0])
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: facilitated.bring(paths[0], header), range(3)))
    late, keyed = facilitated.bring(paths[0], header), facilitated.bring(paths[0], header, Idempotency_Key="k")
    for answer in (*answers, late, keyed):
        assert (answer.status_code, answer.json["status"]) == (200, "confirmed"), answer.json
        assert opened(answer.headers[RESPONSE_HEADER])["success"] is True
    assert {answer.json["tx_signature"] for answer in (*answers, late, keyed)} == {late.json["tx_signature"]}
    again = facilitated.bring(paths[0], header, Idempotency_Key="k")
    assert again.headers["Idempotent-Replayed"] and again.headers[RESPONSE_HEADER] == keyed.headers[RESPONSE_HEADER]
    refused(facilitated.bring(paths[1], header), 409, "TRANSACTION_USED")
    assert agent.balance("held").minor == 10**6 and agent.balance().minor == 0


def test_what_does_not_pay_is_402_with_the_reason_and_the_offer_anew(facilitated: Facilitated) -> None:
    from x402.schemas import PaymentRequired, SettleResponse

    agent = facilitated.agent
    path = f"jobs/{agent.place(10, mode='prepay')}/pay"
    _, way = facilitated.quote(path)
    other = Requirement(way.network, LOCAL_MINTS["USDT"], way.amount_minor, way.pay_to, way.memo, way.fee_payer, 300)
    latest = agent.payer.rpc("getLatestBlockhash", {"commitment": "processed"})["value"]["blockhash"]
    usdt = made.payment(agent.payer.keypair, other, latest)
    broke = made.payment(Payer(facilitated.hub.settings.solana_rpc_urls[0]).keypair, way, latest)
    cases = [
        (facilitated.sign(way, minor=way.amount_minor - 1), "invalid_exact_svm_payload_amount_insufficient"),
        (made.header(usdt, other), "invalid_exact_svm_payload_mint_mismatch"),
        (made.header(usdt, way), "invalid_exact_svm_payload_mint_mismatch"),
        (made.header(broke, way), "transaction_simulation_failed"),
    ]
    for header, reason in cases:
        answer = facilitated.bring(path, header)
        refused(answer, 402, "X402_REFUSED")
        assert answer.json["error"]["details"] == {"reason": reason}, answer.json
        if header != cases[-1][0]:  # by the project's own models: what would pay, and what came of what was taken
            anew = PaymentRequired.model_validate(opened(answer.headers[REQUIRED_HEADER]))
            assert (anew.error, anew.accepts[0].pay_to, anew.accepts[0].amount) == (reason, way.pay_to, str(way.amount_minor))
            continue
        told = SettleResponse.model_validate(opened(answer.headers[RESPONSE_HEADER]))
        assert (told.success, told.error_reason, told.network, told.transaction) == (False, reason, way.network, "")
    for header in ("", "x", base64.b64encode(b"[]").decode(), "A" * 20_000):
        assert facilitated.bring(path, header).status_code == 400, header[:10]
    with agent.database.unit_of_work() as session:
        assert [row.state for row in session.query(X402Settlement)] == ["refused"]
    assert facilitated.bring(path, facilitated.sign(way)).status_code == 200


def test_a_topup_is_paid_so_and_a_job_in_sol_by_memo_alone(facilitated: Facilitated) -> None:
    agent = facilitated.agent
    topup = agent.post("credits/topups", {"asset": "RENDER", "amount": "2.5"}).json
    path = f"credits/topups/{topup['id']}/pay"
    _, way = facilitated.quote(path)
    paid = facilitated.bring(path, facilitated.sign(way, decimals=8))
    assert (paid.status_code, paid.json["status"]) == (200, "confirmed"), paid.json
    assert agent.get("credits").json["balances"]["RENDER"] == "2.50000000"
    refused(agent.post(path), 409, "ALREADY_PAID")
    small = agent.post("credits/topups", {"asset": "USDC", "amount": "0.009999"}).json
    assert REQUIRED_HEADER not in agent.post(f"credits/topups/{small['id']}/pay").headers, "it is not worth the fee"
    sol = agent.post("credits/topups", {"asset": "SOL", "amount": "1"}).json
    quote = agent.post(f"credits/topups/{sol['id']}/pay")
    assert quote.status_code == 402 and REQUIRED_HEADER not in quote.headers and quote.json["payment"]["mint"] is None
    brought = facilitated.bring(f"credits/topups/{sol['id']}/pay", facilitated.sign(way, decimals=8))
    assert brought.status_code in (402, 409)


def test_without_a_wallet_for_fees_there_is_the_memo(agent: Agent) -> None:
    job_id = agent.place(10, mode="prepay")
    quote = agent.post(f"jobs/{job_id}/pay")
    assert quote.status_code == 402 and REQUIRED_HEADER not in quote.headers and quote.json["payment"]["memo"]
