"""The deployment files, without a container engine: what they name exists, and they hold no secret."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
HUB = ("migrate", "api", "relay", "worker", "beat", "poller")


def test_every_service_is_pinned_supervised_and_whole() -> None:
    assert set(SERVICES) == {*HUB, "postgres", "redis", "rabbitmq", "signer", "node", "prometheus", "grafana"}
    for name, service in SERVICES.items():
        assert re.search(r":v?\d", service["image"]), f"{name} floats"
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), f"{name} mounts {source}"
        for other in service.get("depends_on", {}):
            assert other in SERVICES


@pytest.mark.parametrize("name", HUB)
def test_the_hub_runs_unprivileged_and_refuses_unsafe_settings(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["environment"]["LIGHTYARD_ENV"] == "production"


def test_only_the_worker_shares_the_signer_s_socket_and_nobody_its_keys() -> None:
    signer = SERVICES["signer"]
    assert signer["network_mode"] == "none" and "depends_on" not in signer and "DATABASE_URL" not in signer["environment"]
    holders = {name for name, service in SERVICES.items() if "signer:/signer" in service.get("volumes", [])}
    sharers = {name for name, service in SERVICES.items() if "signer_socket:/run/signer" in service.get("volumes", [])}
    assert (holders, sharers) == ({"signer"}, {"signer", "worker"})
    assert SERVICES["worker"]["environment"]["SIGNER_SOCKET"] == signer["environment"]["SIGNER_SOCKET"]


def test_no_secret_is_written_down_and_a_missing_one_is_named() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"SECRET|PASS|TOKEN", key):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", value), f"{name}: {key}"
    asked = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    told = (ROOT / "docs" / "deploying.md").read_text() + (ROOT / "gpu_node" / "README.md").read_text()
    assert {name for name in asked if name not in told} == set()


def test_the_commands_are_those_that_lightyard_up_runs() -> None:
    stack = (ROOT / "app" / "stack" / "stack.py").read_text()
    for part in ('"python:app.serving", "wsgi:app"', '"worker", "-P", "threads", "-c", "12", "-Q", "hub"', '"beat", "-s"'):
        assert part in stack
    assert SERVICES["worker"]["command"][4:] == ["worker", "-P", "threads", "-c", "12", "-Q", "hub"]
    assert SERVICES["api"]["command"] == SERVICES["relay"]["command"] == ["gunicorn", "-c", "python:app.serving", "wsgi:app"]
