"""Tasks on hosts that run containers, which speak the node protocol."""

import base64
from typing import Any

from flask.testing import FlaskClient
from nacl.signing import SigningKey

from tests.api.robocompute.conftest import Person
from tests.api.robocompute.test_tasks import ORDER, RESULT, SHA256, accept, act, error, order, plain_key


class ContainerNode:
    """A host that runs containers, as the node protocol has it; it runs none, and says that it did."""

    def __init__(self, client: FlaskClient, provider: Person, **machine: Any) -> None:
        self.client, key = client, SigningKey.generate()
        about = {"cpu_count": 8, "memory_bytes": 64 * 10**9, "disk_bytes": 10**12, "container_engine": "docker", "gpus": []}
        body = {
            "name": "n",
            "public_key": base64.b64encode(bytes(key.verify_key)).decode(),
            "capabilities": ["compute"],
            "machine": about | machine,
            "provider_id": str(provider.provider_id),
        }
        made = client.post("/node/v1/nodes", json=body, headers=plain_key(provider, "nodes:write"))
        assert made.status_code == 201, made.json
        self.headers = {"Authorization": f"Bearer {made.json['token']}"}
        signature = base64.b64encode(key.sign(made.json["challenge"].encode()).signature).decode()
        assert self.say("proof", signature=signature).status_code == 200
        assert self.say("heartbeat").json["status"] == "HEALTHY"

    def say(self, verb: str, **body: Any) -> Any:
        return self.client.post(f"/node/v1/{verb}", json=body, headers=self.headers)

    def claim(self) -> Any:
        return self.say("claims", capabilities=["compute"], limit=4).json


def test_a_node_claims_a_task_uploads_its_result_and_completes_it(
    buyer: Person, provider: Person, client: FlaskClient
) -> None:
    node = ContainerNode(client, provider, gpus=[{"memory_total_bytes": 24 * 10**9}])
    task_id = order(buyer, environment={"TOKEN": "secret"}, network=True)
    claim = node.claim()
    [attempt], job = claim["attempts"], claim["jobs"][task_id]
    assert (attempt["kind"], attempt["job_id"], job["kind"]) == ("container", task_id, "task")
    assert job["settings"] == {
        "docker_image": ORDER["docker_image"], "command": ORDER["command"], "environment": {"TOKEN": "secret"},
        "has_network": True, "cpu_cores": 4, "gpu_count": 1, "gpu_memory_gb": 8, "ram_gb": 16, "storage_gb": 50,
        "timeout_seconds": 3600,
    }  # fmt: skip
    assert job["limits"]["max_seconds"] == 3600 and job["inputs"] == [] and "payload" not in job
    assert node.claim()["attempts"] == []
    pair = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"]}
    assert buyer.get(f"tasks/{task_id}").json["status"] == "accepted"
    assert node.say("progress", reports=[pair | {"progress": 0.5, "seconds": 0.2}]).json["reports"][0]["live"]
    seen = buyer.get(f"tasks/{task_id}").json
    assert (seen["status"], seen["progress"], seen["provider_id"]) == ("running", 50, str(provider.provider_id))
    error(accept(provider, task_id), 409, "TASK_ALREADY_ACCEPTED")
    error(act(provider, task_id, "complete", result_hash=SHA256), 404, "TASK_NOT_FOUND")  # its software never had it
    assert client.put(attempt["upload"]["url"], data=RESULT).status_code == 201
    said = pair | {"sha256": "0" * 64, "size_bytes": len(RESULT), "seconds": 0.5}
    [verdict] = node.say("results", results=[said]).json["results"]
    assert (verdict["accepted"], verdict["error"]["code"]) == (False, "RESULT_HASH_MISMATCH")
    assert client.put(attempt["upload"]["url"], data=RESULT).status_code == 201
    [verdict] = node.say("results", results=[said | {"sha256": SHA256}]).json["results"]
    assert verdict["accepted"], verdict
    seen = buyer.get(f"tasks/{task_id}").json
    assert (seen["status"], seen["billed_seconds"], seen["result_hash"]) == ("completed", 1, SHA256)
    assert client.get(buyer.get(f"tasks/{task_id}/results").json["result_url"]).data == RESULT


def test_a_stopped_task_is_dead_to_its_node(buyer: Person, provider: Person, client: FlaskClient) -> None:
    node, task_id = ContainerNode(client, provider), order(buyer, type="cpu", resource_requirements={})
    [attempt] = node.claim()["attempts"]
    pair = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"]}
    node.say("progress", reports=[pair | {"seconds": 0.1}])
    assert buyer.delete(f"tasks/{task_id}").json["status"] == "cancelled"
    assert not node.say("progress", reports=[pair]).json["reports"][0]["live"]
    assert client.put(attempt["upload"]["url"], data=RESULT).status_code == 201
    said = pair | {"sha256": SHA256, "size_bytes": len(RESULT), "seconds": 0.5}
    assert node.say("results", results=[said]).status_code == 409
