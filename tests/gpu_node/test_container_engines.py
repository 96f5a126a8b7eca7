"""Engines and registries: whose words count, which are taken in production, and what of them reaches strangers."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from gpu_node import offer
from gpu_node.config import SettingError, read_settings
from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.container import images, life
from gpu_node.runners.container.engine import Engine, EngineMissing, check, describe, find_engine, usual_addresses
from gpu_node.runners.container.life import starting
from gpu_node.runners.container.registries import RegistryRules, check_registry
from gpu_node.runners.container.runner import engine_troubles

DOCKER = Engine("unix:///x", "docker", "27", 8, 1 << 34, False, None, False, True, Path("/nonexistent"))


@pytest.mark.parametrize(("said", "code"), [
    ("manifest unknown", "IMAGE_NOT_FOUND"), ("pull access denied for x, repository does not exist", "IMAGE_NOT_FOUND"),
    ("dial tcp: lookup registry: no such host", "INPUT_UNAVAILABLE"), ("connection refused", "INPUT_UNAVAILABLE"),
])
def test_what_a_registry_says_tells_an_unknown_image_from_one_out_of_reach(said: str, code: str) -> None:
    failed = images.failed("x", said)
    assert failed.code == code and said not in failed.message, "what the engine says may name this host's network"


@pytest.mark.parametrize(("registry", "code"), [
    ("8.8.8.8", "IMAGE_NOT_FOUND"), ("0x7f000001", "IMAGE_NOT_FOUND"), ("127.1", "IMAGE_NOT_FOUND"),
    ("[2001:4860::1]", "IMAGE_NOT_FOUND"), ("registry", "IMAGE_NOT_FOUND"), ("registry.example:5000", "IMAGE_NOT_FOUND"),
    ("no-such-host.invalid", "INPUT_UNAVAILABLE"), ("no-such-host.invalid:443", "INPUT_UNAVAILABLE"),
])
def test_production_goes_to_registries_by_name_at_the_usual_port(registry: str, code: str) -> None:
    strict = RegistryRules(is_strict=True)
    with pytest.raises(WorkFailed) as failed:
        check_registry(registry, strict)
    assert failed.value.code == code
    check_registry("docker.io", strict)
    check_registry(registry, replace(strict, own=(registry,)))
    if code == "INPUT_UNAVAILABLE":
        check_registry(registry, replace(strict, allowed=(registry,)))  # an engine with a proxy may find it


def test_an_owner_names_the_only_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    only = offer.rules(read_settings({"NODE_CONTAINER_ALLOWED_REGISTRIES": "no-such-host.invalid, 10.0.0.5:5000",
                                      "NODE_CONTAINER_REGISTRIES": "10.0.0.6:5000"})).images.registries
    for registry in ("docker.io", "8.8.8.8", "registry.example", "10.0.0.5:5000"):
        with pytest.raises(WorkFailed):
            check_registry(registry, only)
    check_registry("no-such-host.invalid", only)
    check_registry("10.0.0.6:5000", only)


@pytest.mark.parametrize("address", ["::ffff:10.0.0.1", "2002:a00:1::1", "224.0.0.1", "100.64.0.1", "fd00::1", "fe80::1"])
def test_an_address_is_what_it_means(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (address, 0))])
    with pytest.raises(WorkFailed, match="no public address"):
        check_registry("registry.example", RegistryRules())


@pytest.mark.parametrize("registry", ["127.0.0.1", "10.0.0.5:5000", "[::1]:5000", "localhost:5000", "169.254.169.254", "0.0.0.0"])
def test_a_stranger_sends_the_engine_to_no_address_of_this_hosts_network(registry: str) -> None:
    with pytest.raises(WorkFailed, match="no public address") as failed:
        check_registry(registry, RegistryRules(own=("127.0.0.1:5000",)))
    assert failed.value.code == FailureCode.IMAGE_NOT_FOUND
    check_registry(registry, RegistryRules(own=(registry,)))


def test_a_registry_at_a_public_address_or_out_of_sight_is_left_to_the_engine() -> None:
    for registry in ("docker.io", "8.8.8.8:443", "[2001:4860:4860::8888]", "no-such-host.invalid"):
        check_registry(registry, RegistryRules())


def test_what_engines_say_of_themselves() -> None:
    """As Docker 27 and podman 4.3 answer, cut down to what is read."""
    podman = {"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}
    docker = {"Version": "27.3.1", "Components": [{"Name": "Engine"}, {"Name": "containerd"}]}
    about = {"NCPU": 4, "MemTotal": 8 << 30, "SecurityOptions": ["name=seccomp,profile=default"], "Runtimes": {"runc": {}}}
    found = describe("unix:///x", docker, {**about, "Runtimes": {"runc": {}, "nvidia": {}}})
    assert (found.name, found.gives_gpus, found.has_user_namespace, found.user_namespace) == ("docker", True, False, None)
    assert not describe("unix:///x", docker, about).gives_gpus
    remapped = describe("unix:///x", docker, {**about, "SecurityOptions": ["name=seccomp", "name=userns"]})
    assert (remapped.has_user_namespace, remapped.is_rootless) == (True, False)
    rootless = describe("unix:///x", podman, {**about, "SecurityOptions": ["name=rootless"], "Runtimes": {"nvidia": {}}})
    assert rootless.is_rootless and rootless.has_user_namespace and rootless.user_namespace is None and not rootless.gives_gpus


def test_production_runs_strangers_only_in_a_user_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    check(DOCKER, is_production=False)
    check(replace(DOCKER, has_user_namespace=True), is_production=True)
    with pytest.raises(EngineMissing, match="userns-remap"):
        check(DOCKER, is_production=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineMissing, match="rootless"):
        check(DOCKER, is_production=False)


LIMITED = {"CgroupDriver": "systemd", "CgroupVersion": "2", "MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": True,
           "SecurityOptions": ["name=seccomp,profile=builtin"]}


@pytest.mark.parametrize(("said", "ignores"), [
    ({}, ""), ({"CgroupDriver": "none"}, "memory processors processes"), ({"MemoryLimit": False}, "memory"),
    ({"CpuCfsQuota": None}, "processors"), ({"PidsLimit": False}, "processes"), ({"SecurityOptions": []}, "seccomp"),
    ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, "seccomp"),
    ({"Rootless": True, "CgroupVersion": "1"}, "memory processors processes"), ({"Rootless": True}, ""),
])
def test_an_engine_that_ignores_limits_runs_no_strangers_in_production(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: dict[str, Any], ignores: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    engine = replace(describe("unix:///x", {"Version": "4", "Components": []}, {**LIMITED, **said}), has_user_namespace=True)
    assert [name.rsplit(maxsplit=1)[-1] for name in engine.ignores] == ignores.split()
    check(engine, is_production=False)
    assert ("NOT SAFE" in caplog.text) == bool(ignores)
    if not ignores:
        return check(engine, is_production=True)
    with pytest.raises(EngineMissing, match="cgroup|seccomp=unconfined") as missing:
        check(engine, is_production=True)
    assert all(name in str(missing.value) for name in engine.ignores)
    return None


@pytest.mark.parametrize(("said", "code"), [
    ('exec: "x": executable file not found in $PATH: unknown /var/lib/containers/storage/secret', "EXECUTION_ERROR"),
    ("mount /home/owner/secret: input/output error", "SANDBOX_ERROR"),
])
def test_an_engines_own_words_stay_on_the_host(caplog: pytest.LogCaptureFixture, said: str, code: str) -> None:
    for trouble in (starting, engine_troubles):
        with pytest.raises(WorkFailed) as failed, trouble():
            raise APIError("500", explanation=said)
        assert failed.value.code == (code if trouble is starting else "SANDBOX_ERROR")
        assert "secret" not in str(failed.value) and "/" not in failed.value.message
        assert said in [getattr(record, "reason", "") for record in caplog.records], "the owner reads it whole"


def test_without_an_engine_only_the_runs_that_need_none_are_offered(tmp_path: Path) -> None:
    assert offer.offered(("render", "compute"), True) == ("render", "compute")
    assert offer.offered(("render", "compute", "echo"), False) == ("render", "echo", "cpu_benchmark")
    for address in (f"unix://{tmp_path}/nothing.sock", "off"):
        settings = read_settings({"NODE_CAPABILITIES": "compute", "NODE_CONTAINER_ENGINE": address})
        began = time.monotonic()
        assert offer.look_for_engine(settings) is None
        assert time.monotonic() - began < 10
        with pytest.raises(EngineMissing):
            find_engine(address, False)
    assert offer.look_for_engine(read_settings({"NODE_CONTAINER_ENGINE": "unix:///nothing.sock"})) is None


@pytest.mark.parametrize(("name", "value"), [
    ("NODE_CONTAINER_ENGINE", "docker"), ("NODE_CONTAINER_ENGINE", "tcp://203.0.113.7:2375"), ("NODE_CONTAINER_NETWORK", "host"),
    ("NODE_CONTAINER_NETWORK", "container:other"), ("NODE_CONTAINER_PROCESSES", "0"), ("NODE_CONTAINER_PULL", "maybe"),
])
def test_settings_that_would_open_the_host_are_refused(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        read_settings({name: value})


def test_where_nobody_may_look_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime folder that can't be looked into, of whatever reason: this one's name is too long for any file system."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 5000)
    assert not any("xxx" in address for address in usual_addresses())


@pytest.mark.parametrize(("said", "status"), [
    ('runc create failed: unable to start container process: exec: "pyhton": executable file not found in $PATH', 127),
    ("crun: executable file `pyhton` not found in $PATH: No such file or directory", 127),
    ('exec: "/app": is a directory: permission denied', 126), ("exec /app: exec format error", 126),
    ("error mounting /x to rootfs at /results: no such file or directory", None),
])
def test_only_what_an_engine_says_of_the_command_itself_ends_a_task(said: str, status: int | None) -> None:
    with pytest.raises(WorkFailed) as failed, life.starting():
        raise APIError(said, explanation=said)
    assert (failed.value.code, failed.value.exit_code) == (FailureCode.EXECUTION_ERROR, status)
