"""A node that swaps its upload while it is judged gains nothing: what was judged is what the client gets."""

import io
from typing import Any

import pytest
from PIL import Image

from app.flows import results
from devnet.payer import Payer
from tests.api.conftest import FakeNode, Market
from tests.api.test_paid_render import paid


def test_an_upload_announced_again_while_it_is_judged_replaces_nothing(
    market: Market, payer: Payer, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = paid(market, payer)
    (attempt,) = node.claim()
    announced = node.upload(attempt)
    judge, answers = results.check_picture, []

    def judge_slowly(*arguments: Any) -> Any:
        """While the picture is looked at, the node uploads rubbish and announces the same picture again."""
        monkeypatch.setattr(results, "check_picture", judge)
        assert market.client.put(attempt["upload"]["url"], data=b"rubbish").status_code == 201
        answers.append(node.post("results", results=[announced]).json["results"][0])
        return judge(*arguments)

    monkeypatch.setattr(results, "check_picture", judge_slowly)
    assert node.post("results", results=[announced]).json["results"][0]["accepted"] is True
    assert answers[0]["error"]["code"] == "RESULT_HASH_MISMATCH"
    result = market.client.get(f"/render/{payment['jobId']}/result")
    assert Image.open(io.BytesIO(result.data)).size == (8, 6)
    left = [path for path in market.hub.store.path("accepted").rglob("*") if path.is_file()]  # type: ignore[attr-defined]
    assert len(left) == 1
