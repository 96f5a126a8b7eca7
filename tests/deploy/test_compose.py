"""docker-compose.yml without a container engine: the official schema accepts it, and it keeps the house's own rules.

The schema is compose-spec's (Apache 2.0), as the package check-jsonschema ships it.
"""

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings
from tests.factories import compose as composing

ROOT = composing.ROOT
HUB = ("migrate", "api", "relay", "worker", "beat", "poller")
SERVERS = ("postgres", "redis", "rabbitmq")
WATCHERS = ("prometheus", "alertmanager", "grafana", "node-exporter", "postgres-exporter", "redis-exporter")
PUBLISHED = {"api": 8000, "relay": 8001, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
GIVEN = {"SOLANA_RPC_URL": "https://rpc.example", "PUBLIC_URL": "https://hub.example", "PUBLIC_HOST": "hub.example"}
RAW = composing.raw()
COMPOSE = composing.fill(RAW, GIVEN)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
TEXT = composing.FILE.read_text()
MADE_BY_HAND = {"enrol_key"}  # a provider's, for the GPU host


def accepts(path: Path) -> bool:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).returncode == 0


def test_the_official_schema_accepts_it_and_would_refuse_mistakes(tmp_path: Path) -> None:
    assert accepts(composing.FILE)
    changes: dict[str, Callable[[Any], Any]] = {
        "a word that is none": lambda api: api.update(imag=api.pop("image")),
        "a port that is none": lambda api: api.update(ports=[{"published": []}]),
        "a limit that is none": lambda api: api["deploy"]["resources"]["limits"].update(pids=[1]),
        "a condition that is none": lambda api: api["depends_on"]["redis"].update(condition="service_happy"),
    }
    for what, change in changes.items():
        wrong = copy.deepcopy(COMPOSE)
        change(wrong["services"]["api"])
        (tmp_path / "compose.yml").write_text(yaml.safe_dump(wrong))
        assert not accepts(tmp_path / "compose.yml"), what


def test_the_whole_stack_is_there() -> None:
    assert set(SERVICES) == {*HUB, *SERVERS, *WATCHERS, "signer", "backup", "node"}
    assert SERVICES["node"]["profiles"] == ["gpu"] and SERVICES["node"]["runtime"] == "nvidia"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_confined_bounded_and_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", service["image"]), "its version floats"
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["init"] is True
    assert "no-new-privileges:true" in service["security_opt"] and "privileged" not in service
    uid, _, gid = service["user"].partition(":")
    assert int(uid) > 0 and int(gid) >= 0
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0 and re.fullmatch(r"\d+[MG]", limits["memory"]) and int(limits["pids"]) > 0
    check = service["healthcheck"]
    assert name == "migrate" if check.get("disable") else check["test"][0] in ("CMD", "CMD-SHELL") and check["interval"]
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_exists(name: str) -> None:
    service = SERVICES[name]
    for other, condition in service.get("depends_on", {}).items():
        wanted = condition["condition"]
        assert wanted != "service_healthy" or "test" in SERVICES[other]["healthcheck"]
        assert wanted != "service_completed_successfully" or SERVICES[other]["restart"] == "no"
    assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
    secrets = [item if isinstance(item, str) else item["source"] for item in service.get("secrets", [])]
    assert set(secrets) <= set(COMPOSE["secrets"]) and len(secrets) == len(set(secrets))
    for mount in composing.mounts(service):
        if mount.is_volume:
            assert mount.source in COMPOSE["volumes"]
        elif not mount.source.startswith("./secrets/"):
            assert (ROOT / mount.source).exists() and mount.is_read_only, mount
    if "build" in service:
        assert (ROOT / service["build"].get("dockerfile", "Dockerfile")).exists()


def test_what_is_declared_is_used() -> None:
    mounted = {mount.source for service in SERVICES.values() for mount in composing.mounts(service) if mount.is_volume}
    kept = {item if isinstance(item, str) else item["source"]
            for service in SERVICES.values() for item in service.get("secrets", [])}
    joined = {network for service in SERVICES.values() for network in service.get("networks", [])}
    assert (mounted, kept, joined) == (set(COMPOSE["volumes"]), set(COMPOSE["secrets"]), set(COMPOSE["networks"]))


def test_databases_are_published_nowhere_and_nothing_but_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert {name: len(ports) for name, ports in published.items()} == dict.fromkeys(PUBLISHED, 1)
    for name, [port] in published.items():
        assert port.startswith(f"127.0.0.1:{PUBLISHED[name]}:"), name
    assert COMPOSE["networks"]["data"] == COMPOSE["networks"]["metrics"] == {"internal": True}
    for name in (*SERVERS, "backup", "postgres-exporter", "redis-exporter"):
        assert "outside" not in SERVICES[name]["networks"], name
    assert not {"data"} & set(SERVICES["prometheus"]["networks"] + SERVICES["node"]["networks"])
    for name in ("prometheus", "alertmanager", "grafana"):  # who reaches Alertmanager may silence every alert
        assert not set(SERVICES["node"]["networks"]) & set(SERVICES[name]["networks"]), name


def test_only_the_worker_shares_the_signer_s_socket_and_nobody_its_keys() -> None:
    signer = SERVICES["signer"]
    assert signer["network_mode"] == "none" and "depends_on" not in signer and "secrets" not in signer
    held = {name: {mount.source for mount in composing.mounts(service)} for name, service in SERVICES.items()}
    assert {name for name, sources in held.items() if "signer" in sources} == {"signer"}
    assert {name for name, sources in held.items() if "signer_socket" in sources} == {"signer", "worker"}
    assert SERVICES["worker"]["environment"]["SIGNER_SOCKET"] == signer["environment"]["SIGNER_SOCKET"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_clear_and_every_setting_is_one(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    known = {field.upper() for field in Settings.__dataclass_fields__}
    for key, value in environment.items():
        if re.search(r"SECRET|PASS|TOKEN|KEY|DATABASE_URL|REDIS_URL|BROKER_URL", key):
            assert key.endswith("_FILE") and (value == "" or value.startswith("/run/")), f"{key} stands in the clear"
        if name in (*HUB, "signer", "backup"):
            assert key.removesuffix("_FILE") in known, f"{key} is no setting of the hub"
    mounted = {mount.target for mount in composing.secret_mounts(COMPOSE, SERVICES[name])}
    named = {value for key, value in environment.items() if key.endswith("_FILE") and value.startswith("/run/secrets/")}
    assert named <= mounted


def test_production_is_in_force_wherever_the_hub_runs() -> None:
    assert all(SERVICES[name]["environment"]["LIGHTYARD_ENV"] == "production" for name in (*HUB, "signer", "node"))


def test_who_reads_a_secret_is_in_the_group_that_may() -> None:
    """An engine gives a secret's file the owner and mode that it has on the host, whatever the compose file says."""
    for name, service in SERVICES.items():
        groups = [service["user"].partition(":")[2], *service.get("group_add", [])]
        assert ("secrets" in service) <= ("10001" in groups), name


def test_every_variable_is_told_in_the_docs_and_a_missing_one_is_named() -> None:
    told = (ROOT / "docs" / "deploying.md").read_text()
    asked = {match["name"] for match in composing.VARIABLE.finditer(TEXT) if match["name"]}
    assert {name for name in asked if f"`{name}`" not in told} == set()
    for name in GIVEN:
        with pytest.raises(composing.Missing, match=name):
            composing.fill(RAW, {key: value for key, value in GIVEN.items() if key != name})


def test_the_secrets_are_those_that_the_command_makes(tmp_path: Path) -> None:
    from app.stack.secret_files import make

    made = set(make(tmp_path / "secrets"))
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} - MADE_BY_HAND
    assert wanted <= made and made - wanted == {"redis_password", "rabbitmq_password", "hub/rabbitmq_api_url"}
    assert make(tmp_path / "secrets") == [], "what is there stays"
    for path in (tmp_path / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path


def test_the_commands_are_those_that_lightyard_up_runs() -> None:
    stack = (ROOT / "app" / "stack" / "stack.py").read_text()
    [worker] = re.findall(r'worker = \[\*celery, (.+), "-n"\]', stack)
    assert SERVICES["worker"]["command"][4:] == [word.strip().strip('"') for word in worker.split(",")]
    assert '"python:app.serving", "wsgi:app"' in stack and '"beat", "-s"' in stack
    assert SERVICES["api"]["command"] == SERVICES["relay"]["command"] == ["gunicorn", "-c", "python:app.serving", "wsgi:app"]
