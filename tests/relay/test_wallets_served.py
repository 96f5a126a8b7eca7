"""One challenge in the hands of two real API processes at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.factories.ton_wallets import V4R2
from tests.relay.conftest import Api

LOGIN = "/rnp/v1/wallet/login"


def test_of_twenty_logins_at_two_processes_one_signs_in(apis: tuple[Api, Api]) -> None:
    order = {"chain": "ton", "address": V4R2.friendly}
    made = apis[0].post("/rnp/v1/wallet/challenge", json=order).json
    proof = V4R2.prove(made["payload"], made["domain"], int(datetime.now(UTC).timestamp()))
    body = {"chain": "ton", "address": V4R2.address, "proof": proof}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: apis[number % 2].post(LOGIN, json=body), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    (token,) = (answer.json["access_token"] for answer in answers if answer.status_code == 200)
    for api in apis:
        assert api.get("/rnp/v1/keys", headers={"Authorization": f"Bearer {token}"}).json == {"keys": [], "count": 0}
