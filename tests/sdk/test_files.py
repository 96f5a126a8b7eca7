"""Results in and out: whole, checked, and without the caller's credentials."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from robocompute import AsyncRoboComputeClient, AsyncRoboComputeProvider, RoboComputeClient, RoboComputeProvider, exceptions
from tests.sdk.conftest import API_KEY
from tests.sdk.scripted import Answer, Script, refusal

DATA = os.urandom(700_001)
SHA256 = hashlib.sha256(DATA).hexdigest()


def results(script: Script, sha256: str = SHA256) -> Answer:
    return Answer({"result_url": script.url.removesuffix("/api/v1") + "/files/1?signature=s", "result_hash": sha256})


def assert_nothing_was_told(script: Script) -> None:
    assert not {"Authorization", "X-Wallet-Signature", "X-Nonce"} & set(script.asked[-1].headers)


def test_results_are_fetched_and_checked(client: RoboComputeClient, script: Script, tmp_path: Path) -> None:
    script.answers = [results(script), Answer(DATA)]
    told: list[tuple[int, int | None]] = []
    client.tasks.download_results("t", tmp_path / "r.tar.gz", lambda done, total: told.append((done, total)))
    assert (tmp_path / "r.tar.gz").read_bytes() == DATA and told[-1] == (len(DATA), len(DATA)) and len(told) > 1
    assert_nothing_was_told(script)


def test_wrong_bytes_leave_what_was_there(client: RoboComputeClient, script: Script, tmp_path: Path) -> None:
    path = tmp_path / "r.tar.gz"
    path.write_bytes(b"before")
    script.answers = [results(script, "0" * 64), Answer(DATA)]
    with pytest.raises(exceptions.VerificationFailedError) as failed:
        client.tasks.download_results("t", path)
    assert failed.value.details["found"] == SHA256
    for trouble, kind in ((refusal("GONE", 404), exceptions.NotFoundError), (Answer(is_lost=True), exceptions.NetworkError)):
        script.answers = [results(script), trouble]
        with pytest.raises(kind):
            client.tasks.download_results("t", path)
    assert [item.name for item in tmp_path.iterdir()] == ["r.tar.gz"] and path.read_bytes() == b"before"


def test_results_are_put_where_the_hub_says(script: Script, tmp_path: Path) -> None:
    (tmp_path / "r.tar.gz").write_bytes(DATA)
    url = script.url.removesuffix("/api/v1") + "/uploads/1?signature=s"
    with RoboComputeProvider(API_KEY, "p", base_url=script.url) as provider:
        script.answers = [Answer(status=201)]
        assert provider.tasks.upload_results(url, tmp_path / "r.tar.gz") == SHA256
        assert script.asked[-1].method == "PUT" and script.asked[-1].body == DATA
        assert_nothing_was_told(script)
        script.answers = [refusal("NO", 403)]
        with pytest.raises(exceptions.NotFoundError):
            provider.tasks.upload_results(url, tmp_path / "r.tar.gz")


def test_the_asynchronous_ones(script: Script, tmp_path: Path) -> None:
    async def work() -> None:
        url = script.url.removesuffix("/api/v1") + "/uploads/1"
        async with AsyncRoboComputeClient(API_KEY, base_url=script.url) as client:
            script.answers = [results(script), Answer(DATA)]
            await client.tasks.download_results("t", tmp_path / "r.tar.gz")
            script.answers = [results(script, "0" * 64), Answer(DATA)]
            with pytest.raises(exceptions.VerificationFailedError):
                await client.tasks.download_results("t", tmp_path / "other")
        async with AsyncRoboComputeProvider(API_KEY, "p", base_url=script.url) as provider:
            script.answers = [Answer(status=201)]
            assert await provider.tasks.upload_results(url, tmp_path / "r.tar.gz") == SHA256

    asyncio.run(work())
    assert [item.name for item in tmp_path.iterdir()] == ["r.tar.gz"] and script.asked[-1].body == DATA
