"""What the SDK sends, and what it makes of answers, against a real HTTP server."""

import asyncio
import base64
import copy
import hashlib
import json
import pickle
import time
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from solders.keypair import Keypair
from solders.signature import Signature

from robocompute import (
    NEVER,
    AsyncRoboComputeClient,
    Document,
    RetryPolicy,
    RoboComputeClient,
    RoboComputeError,
    RoboComputeProvider,
    exceptions,
    keypairs,
)
from robocompute.retries import PASSING
from tests.sdk.conftest import API_KEY
from tests.sdk.scripted import Answer, Asked, Script, refusal

ORDER = {
    "name": "n",
    "type": "cpu",
    "resource_requirements": {"cpu_cores": 1},
    "docker_image": "i",
    "command": ["true"],
    "max_price_per_hour": "1.00",
}


def is_signed(asked: Asked, wallet: Keypair) -> bool:
    """As the hub checks version 2, written from its description, with another library than the SDK's."""
    target = asked.path.removeprefix("/api/v1")
    head = asked.headers
    lines = [asked.method, target, head["X-Timestamp"], head["X-Nonce"], hashlib.sha256(asked.body).hexdigest()]
    signature = Signature(base64.b64decode(head["X-Wallet-Signature"]))
    is_fresh = abs(int(head["X-Timestamp"]) - time.time()) < 60
    return is_fresh and head["X-Signature-Version"] == "2" and signature.verify(wallet.pubkey(), "\n".join(lines).encode())


def test_every_request_is_signed_over_its_query_and_body(client: RoboComputeClient, script: Script, wallet: Keypair) -> None:
    client.providers.search(gpu_memory_min=8, max_price=15.00, location="us east/ü")
    client.tasks.create(**ORDER)
    assert [is_signed(asked, wallet) for asked in script.asked] == [True, True]
    assert script.asked[0].path == "/api/v1/providers/search?gpu_memory_min=8&max_price=15.0&location=us+east%2F%C3%BC"
    assert script.asked[0].headers["Authorization"] == f"Bearer {API_KEY}"
    assert len({asked.headers["X-Nonce"] for asked in script.asked}) == 2


def test_without_a_keypair_the_key_goes_alone(script: Script) -> None:
    with RoboComputeClient("ly_plain", base_url=script.url) as client:
        client.wallet.get_balance()
    assert not {name for name in script.asked[0].headers if name.startswith("X-")}


@pytest.mark.parametrize("trouble", [Answer(is_lost=True), Answer(status=502, body=b"<html>"), refusal("UNAVAILABLE", 503)])
def test_what_was_lost_is_asked_again_under_the_same_key(
    client: RoboComputeClient, script: Script, wallet: Keypair, trouble: Answer
) -> None:
    script.answers = [trouble, trouble, Answer({"task_id": "t"}, 201)]
    assert client.tasks.create(**ORDER).task_id == "t"
    assert len(script.asked) == 3 and all(is_signed(asked, wallet) for asked in script.asked)
    assert len({asked.headers["Idempotency-Key"] for asked in script.asked}) == 1
    assert len({asked.headers["X-Nonce"] for asked in script.asked}) == 3, "a nonce is good once"
    client.tasks.create(**ORDER, idempotency_key="mine")
    client.tasks.create(**ORDER)
    keys = [asked.headers["Idempotency-Key"] for asked in script.asked[2:]]
    assert keys[1] == "mine" and len(set(keys)) == 3, "each call has its own"


def test_it_gives_up_and_says_that_nothing_is_known(client: RoboComputeClient, script: Script) -> None:
    script.answers = [Answer(is_lost=True)]
    with pytest.raises(exceptions.NetworkError, match="POST .*/wallet/deposit: tried 4 times, no answer"):
        client.wallet.deposit(amount="1.00")
    assert len(script.asked) == 4
    script.answers = [refusal("UNAVAILABLE", 503)]
    with pytest.raises(exceptions.ServerError) as failed:
        client.wallet.deposit(amount="1.00")
    assert (failed.value.code, failed.value.status, len(script.asked)) == ("UNAVAILABLE", 503, 8)


def test_refusals_are_not_asked_again(client: RoboComputeClient, script: Script) -> None:
    statuses = [400, 401, 402, 403, 404, 405, 409, 413, 422]
    for status in statuses:
        script.answers = [refusal("SOME_CODE", status)]
        with pytest.raises(RoboComputeError):
            client.tasks.create(**ORDER)
    assert len(script.asked) == len(statuses) and not PASSING & set(statuses)


def test_it_waits_as_long_as_it_is_asked_to_and_no_longer(client: RoboComputeClient, script: Script) -> None:
    pauses: list[float] = []
    client.transport.sleep = pauses.append
    script.answers = [refusal("RATE_LIMIT_EXCEEDED", 429, {"Retry-After": "3"}), Answer()]
    client.tasks.list()
    script.answers = [refusal("IDEMPOTENCY_IN_PROGRESS", 409, {"Retry-After": "1"}), Answer()]
    client.tasks.create(**ORDER)
    assert pauses == [3, 1]
    script.answers = [refusal("RATE_LIMIT_EXCEEDED", 429, {"Retry-After": "41"})]
    with pytest.raises(exceptions.RateLimitError) as failed:
        client.tasks.list()
    assert (failed.value.retry_after, pauses) == (41, [3, 1]), "a long wait is the caller's to decide on"


def test_pauses_grow_and_differ() -> None:
    policy = RetryPolicy(attempts=9, first_seconds=1, longest_seconds=8)
    drawn = [[policy.pause_seconds(attempt) or 0 for _ in range(50)] for attempt in range(1, 9)]
    assert all(min(2 ** n, 8) / 2 <= pause <= min(2 ** n, 8) for n, pauses in enumerate(drawn) for pause in pauses)
    assert all(len(set(pauses)) > 1 for pauses in drawn) and policy.pause_seconds(9) is None


def test_a_wrong_clock_is_set_right_by_the_hubs(client: RoboComputeClient, script: Script) -> None:
    there = int(time.time()) + 4000
    script.answers = [refusal("WALLET_SIGNATURE_INVALID", 401, reason="skewed", server_time=there), Answer()]
    client.tasks.list()
    client.tasks.list()
    assert [abs(int(asked.headers["X-Timestamp"]) - there) < 30 for asked in script.asked] == [False, True, True]
    script.answers = [refusal("WALLET_SIGNATURE_INVALID", 401, reason="skewed", server_time=there)]
    with pytest.raises(exceptions.WalletSignatureError):
        client.tasks.list()
    assert len(script.asked) == 5, "once a call"


ERRORS = [
    (refusal("INSUFFICIENT_FUNDS", 402, required="2.00", available="1.00", currency="USDC"),
     exceptions.InsufficientFundsError, {"required": "2.00", "available": "1.00", "currency": "USDC"}),
    (refusal("TASK_NOT_FOUND", 404, task_id="t1"), exceptions.TaskNotFoundError, {"task_id": "t1"}),
    (refusal("PROVIDER_UNAVAILABLE", 503, provider_id="p"), exceptions.ProviderUnavailableError, {"provider_id": "p"}),
    (refusal("INVALID_RESOURCE_REQUIREMENTS", 400), exceptions.InvalidResourceRequirementsError, {}),
    (refusal("WALLET_SIGNATURE_INVALID", 401), exceptions.WalletSignatureError, {}),
    (refusal("WALLET_SIGNATURE_INVALID", 401), exceptions.AuthenticationError, {}),
    (refusal("UNAUTHENTICATED", 401), exceptions.AuthenticationError, {}),
    (refusal("SCOPE_MISSING", 403, scope="tasks:write"), exceptions.PermissionDeniedError, {"scope": "tasks:write"}),
    (refusal("RATE_LIMIT_EXCEEDED", 429, retry_after=41), exceptions.RateLimitError, {"retry_after": 41}),
    (refusal("RATE_LIMIT_EXCEEDED", 429), exceptions.RateLimitError, {"retry_after": 60}),
    (refusal("INSUFFICIENT_STAKE", 400, required="5", current="1", currency="USDC"),
     exceptions.InsufficientStakeError, {"required": "5", "current": "1", "currency": "USDC"}),
    (refusal("RESOURCE_UNAVAILABLE", 409, resource_id="r"), exceptions.ResourceUnavailableError, {"resource_id": "r"}),
    (refusal("TASK_ALREADY_ACCEPTED", 409, task_id="t"), exceptions.TaskAlreadyAcceptedError, {"task_id": "t"}),
    (refusal("VERIFICATION_FAILED", 400), exceptions.VerificationFailedError, {}),
    (refusal("SLASHING_EVENT", 409, amount="3.00"), exceptions.SlashingEventError, {"amount": "3.00"}),
    (refusal("PROVIDER_NOT_FOUND", 404), exceptions.NotFoundError, {}),
    (refusal("SOMETHING_NEW", 418), RoboComputeError, {}),
    (Answer(b"<html>no such page</html>", 404), exceptions.NotFoundError, {"code": "HTTP_404"}),
    (Answer({"success": False, "error": "Rayment's words"}, 404), exceptions.NotFoundError, {"code": "HTTP_404"}),
]


@pytest.mark.parametrize(("answer", "kind", "attributes"), ERRORS, ids=lambda value: getattr(value, "__name__", None))
def test_errors_carry_what_the_api_said(
    script: Script, answer: Answer, kind: type[RoboComputeError], attributes: dict
) -> None:
    script.answers = [answer]
    with RoboComputeClient(API_KEY, base_url=script.url, retries=NEVER) as client, pytest.raises(kind) as failed:
        client.tasks.get("t1")
    error = failed.value
    assert error.status == answer.status and {name: getattr(error, name) for name in attributes} == attributes
    if isinstance(answer.body, dict) and "success" not in answer.body:
        said = answer.body["error"]
        assert (error.code, error.message, str(error)) == (said["code"], said["message"], said["message"])
        assert error.details.items() >= said["details"].items()


def test_a_wrong_address_is_explained(script: Script) -> None:
    with RoboComputeClient(API_KEY, base_url=script.url, retries=NEVER) as client:
        script.answers = [Answer(b"<html>hello</html>")]
        with pytest.raises(exceptions.ServerError, match="is base_url right"):
            client.tasks.get("t1")
    for wrong in ("", "robocompute.xyz/api/v1", "ftp://robocompute.xyz", "https://robocompute.xyz/api/v1?x=1"):
        if wrong:
            with pytest.raises(ValueError, match="base_url"):
                RoboComputeClient(API_KEY, base_url=wrong)


def test_documents_are_dicts_with_attributes(client: RoboComputeClient, script: Script) -> None:
    said = {"task_id": "t", "list": [{"deep": {"er": 1}}], "items": 2, "none": None}
    script.answers = [Answer(said)]
    found = client.tasks.get("t")
    assert isinstance(found, dict) and found == said and json.loads(json.dumps(found)) == said
    assert (found.task_id, found["task_id"], found.list[0].deep.er, found["items"], found.none) == ("t", "t", 1, 2, None)
    with pytest.raises(AttributeError, match="has no field 'progres'; it has task_id, list"):
        _ = found.progres
    assert not hasattr(found, "other") and "task_id" in dir(found)
    for twin in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert twin == found and isinstance(twin, Document) and isinstance(twin.list[0], Document)
    script.answers = [Answer(b"", 204)]
    assert client.tasks.cancel("t") == {}


def test_ids_cannot_lead_elsewhere(client: RoboComputeClient, script: Script, wallet: Keypair) -> None:
    client.tasks.get("../wallet/balance?x=1#y")
    assert script.asked[0].path == "/api/v1/tasks/..%2Fwallet%2Fbalance%3Fx%3D1%23y" and is_signed(script.asked[0], wallet)
    for nothing in ("", ".", ".."):
        with pytest.raises(ValueError, match="task_id"):
            client.tasks.cancel(nothing)
        with pytest.raises(ValueError, match="provider_id"):
            RoboComputeProvider(API_KEY, nothing, base_url=script.url)


def test_only_what_was_given_is_sent(client: RoboComputeClient, script: Script) -> None:
    client.tasks.update("t", max_price_per_hour=Decimal("0.000001"))
    client.tasks.create(**{**ORDER, "max_price_per_hour": 2}, storage_gb=5)
    client.tasks.list()
    assert script.asked[0].json == {"max_price_per_hour": "0.000001"}
    sent = script.asked[1].json
    assert sent["resource_requirements"] == {"cpu_cores": 1, "storage_gb": 5} and sent["max_price_per_hour"] == "2"
    assert ORDER["resource_requirements"] == {"cpu_cores": 1}, "the caller's own is left as it is"
    assert not {"environment", "location", "currency"} & set(sent) and None not in sent.values()
    assert script.asked[2].path == "/api/v1/tasks?limit=50&offset=0" and script.asked[2].body == b""


def test_the_rate_limit_is_told(client: RoboComputeClient, script: Script) -> None:
    assert client.rate_limit is None
    headers = {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "1700000000"}
    script.answers = [refusal("TASK_NOT_FOUND", 404, headers)]
    with pytest.raises(exceptions.TaskNotFoundError):
        client.tasks.get("t")
    assert client.rate_limit is not None
    assert (client.rate_limit.limit, client.rate_limit.remaining, client.rate_limit.resets_at) == (100, 7, 1700000000)


def test_a_keypair_comes_in_many_forms(wallet: Keypair, tmp_path: Path) -> None:
    file = tmp_path / "id.json"
    file.write_text(wallet.to_json())
    for source in (str(wallet), file, str(file), wallet, bytes(wallet), keypairs.read(wallet)):
        found = keypairs.read(source)
        assert found.address == str(wallet.pubkey())
        assert Signature(found.sign(b"text")).verify(wallet.pubkey(), b"text")
    assert str(wallet) not in repr(found)


def test_bad_keypairs_are_refused_without_being_told(wallet: Keypair, tmp_path: Path) -> None:
    other = bytes(wallet)[:32] + bytes(Keypair())[32:]
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps([1, 2, 3, 256]))
    secret = str(wallet)
    for wrong in (secret[:-4], secret + "0OIl", other, b"", "nonsense!", broken, str(broken)):
        with pytest.raises(ValueError) as failed:
            RoboComputeClient(API_KEY, keypair=wrong)
        assert secret[:20] not in str(failed.value)
    with pytest.raises(FileNotFoundError):
        RoboComputeClient(API_KEY, keypair=tmp_path / "none.json")
    with pytest.raises(ValueError, match="not of wallet_address"):
        RoboComputeClient(API_KEY, str(Keypair().pubkey()), keypair=wallet)
    for wrong_key in ("", "two words", "new\nline"):
        with pytest.raises(ValueError, match="api_key"):
            RoboComputeClient(wrong_key)


def test_base58_is_solanas() -> None:
    for data in (bytes(64), b"\0\0\1" + bytes(61), bytes(range(64)), *(bytes(Keypair()) for _ in range(50))):
        assert keypairs.decode(keypairs.encode(data)) == data
    for pair in (Keypair() for _ in range(50)):
        assert keypairs.encode(bytes(pair)) == str(pair) and keypairs.encode(bytes(pair.pubkey())) == str(pair.pubkey())


def test_the_asynchronous_client_does_the_same(script: Script, wallet: Keypair) -> None:
    async def work() -> None:
        async with AsyncRoboComputeClient(API_KEY, keypair=wallet, base_url=script.url) as client:
            pauses: list[float] = []

            async def sleep(seconds: float) -> None:
                pauses.append(seconds)

            client.transport.sleep = sleep
            script.answers = [Answer(is_lost=True), refusal("UNAVAILABLE", 503, {"Retry-After": "2"}), Answer({"task_id": "t"})]
            assert (await client.tasks.create(**ORDER)).task_id == "t" and len(pauses) == 2 and pauses[1] == 2
            script.answers = [Answer()]
            await asyncio.gather(*(client.tasks.list(offset=number) for number in range(20)))
            script.answers = [refusal("TASK_NOT_FOUND", 404, task_id="x")]
            with pytest.raises(exceptions.TaskNotFoundError):
                await client.tasks.get("x")
            script.answers = [Answer(b"%PDF-1.7")]
            assert await client.billing.get_invoice_pdf("i") == b"%PDF-1.7"

    asyncio.run(work())
    assert all(is_signed(asked, wallet) for asked in script.asked)
    assert script.asked[-1].headers["Accept"] == "application/pdf"


def test_a_client_of_ones_own_is_left_open(script: Script) -> None:
    with httpx.Client() as http:
        with RoboComputeClient(API_KEY, base_url=script.url, http=http) as client:
            client.tasks.list()
        assert not http.is_closed
    with RoboComputeClient(API_KEY, base_url=script.url) as client:
        client.tasks.list()
    assert client.transport.http.is_closed
