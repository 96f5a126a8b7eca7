"""A hub that takes payments by x402: its signer's wallet has lamports, and what a worker does when it is ordered a thread does
here."""

import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from app import outbox
from app.wiring import Hub
from devnet.payer import Payer
from tests.factories.payouts import SignerProcess


@contextmanager
def x402_worker(hub: Hub, signer: SignerProcess, payer: Payer) -> Iterator[str]:
    """The wallet that pays the fees; an error of the worker's is raised at the end."""
    publish, done = outbox.connected(), list[Future[None]]()
    fee_payer = signer.client.fee_payer()
    assert fee_payer is not None
    payer.wait_final(payer.rpc("requestAirdrop", fee_payer, 10**9))
    hub.facilitator.open_desk()
    with ThreadPoolExecutor(4) as pool:

        def order(kind: str, key: str, payload: dict[str, Any]) -> None:
            if kind == "task" and key == "x402.settle":
                done.append(pool.submit(hub.facilitator.settle, uuid.UUID(payload["key"])))
            elif publish is not None:
                publish(kind, key, payload)

        outbox.connect(order)
        try:
            yield fee_payer
        finally:
            outbox.connect(publish)
    for item in done:
        item.result()
