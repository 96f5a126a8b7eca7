"""Images: here already, pulled over the registry's protocol, unknown, out of reach, too large."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from gpu_node.runners.container.runner import ContainerRunner
from tests.system.containers.conftest import RULES, Run, run_on
from tests.system.containers.podman import Podman
from tests.system.containers.registry import Registry, running_registry

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def registry(podman: Podman) -> Iterator[Registry]:
    with running_registry() as served:
        podman.trust_registry(f"127.0.0.1:{served.port}")
        yield served


@pytest.mark.parametrize("name", ["unknown:1", "unknown@sha256:" + "0" * 64, "unknown"])
def test_an_image_that_its_registry_does_not_know_is_an_error(run: Run, registry: Registry, name: str) -> None:
    done = run("true", docker_image=f"127.0.0.1:{registry.port}/{name}")
    assert done.failure is not None and done.failure.code == "IMAGE_NOT_FOUND", done.failure
    assert any("/v2/unknown/manifests/" in path for path in registry.asked), "it was really asked for"


@pytest.mark.parametrize(("name", "code"), [
    ("127.0.0.1:1/away:1", "INPUT_UNAVAILABLE"), ("UPPER//case", "IMAGE_NOT_FOUND"), ("a:b:c:d", "IMAGE_NOT_FOUND"),
])
def test_what_cannot_be_pulled_says_why(run: Run, name: str, code: str) -> None:
    done = run("true", docker_image=name)
    assert done.failure is not None and done.failure.code == code, done.failure


def test_an_image_is_pulled_once_and_run(run: Run, registry: Registry, podman: Podman) -> None:
    folder = podman.folder / "pushed"
    podman.command("push", "--format", "v2s2", "localhost/tiny", f"dir:{folder}")
    registry.images["pulled"] = folder
    name = f"127.0.0.1:{registry.port}/pulled:1"
    for _ in range(2):
        done = run("sh", "-c", "echo pulled", docker_image=name)
        assert done.failure is None and done.printed == ["pulled"]
    assert sum("/v2/pulled/manifests/1" in path for path in registry.asked) in (1, 2), "the second time it was here"


def test_a_host_may_pull_nothing_or_take_only_small_ones(make_runner: Callable[..., ContainerRunner]) -> None:
    done = run_on(make_runner(replace(RULES, may_pull=False)), "true", docker_image="localhost/other")
    assert done.failure is not None and done.failure.code == "IMAGE_NOT_FOUND" and "pulls none" in done.failure.message
    done = run_on(make_runner(replace(RULES, max_image_bytes=1000)), "true")
    assert done.failure is not None and done.failure.code == "IMAGE_TOO_LARGE"
