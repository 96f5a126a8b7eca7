"""Images: here already, pulled over the registry's protocol, unknown, out of reach, too large."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from gpu_node.runners.container.images import ImageRules
from gpu_node.runners.container.registries import RegistryRules
from gpu_node.runners.container.runner import ContainerRunner
from tests.factories.stacks import wait_until
from tests.system.containers.conftest import RULES, Run, run_on
from tests.system.containers.podman import Podman
from tests.system.containers.registry import Registry, running_registry

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def registry(podman: Podman) -> Iterator[Registry]:
    with running_registry() as served:
        podman.trust_registry(f"127.0.0.1:{served.port}")
        yield served


@pytest.fixture
def run(make_runner: Callable[..., ContainerRunner], registry: Registry) -> Run:
    """On a host that has these registries for its own: the second one is nobody's."""
    own = (f"127.0.0.1:{registry.port}", "127.0.0.1:1")
    runner = make_runner(replace(RULES, images=ImageRules(registries=RegistryRules(own))))
    return lambda *command, **more: run_on(runner, *command, **more)


def serve(podman: Podman, registry: Registry, name: str) -> None:
    """An image with a layer of its own, which the engine has no more."""
    podman.make_image(name)
    folder = podman.folder / f"pushed-{name}"
    podman.command("push", "--format", "v2s2", f"localhost/{name}", f"dir:{folder}")
    podman.command("rmi", f"localhost/{name}")
    registry.images[name] = folder


@pytest.mark.parametrize("name", ["unknown:1", "unknown@sha256:" + "0" * 64, "unknown"])
def test_an_image_that_its_registry_does_not_know_is_an_error(run: Run, registry: Registry, name: str) -> None:
    done = run("true", docker_image=f"127.0.0.1:{registry.port}/{name}")
    assert done.failure is not None and done.failure.code == "IMAGE_NOT_FOUND", done.failure
    assert any("/v2/unknown/manifests/" in path for path in registry.asked), "it was really asked for"


@pytest.mark.parametrize(("name", "code"), [
    ("127.0.0.1:1/away:1", "INPUT_UNAVAILABLE"), ("UPPER//case", "IMAGE_NOT_FOUND"), ("a:b:c:d", "IMAGE_NOT_FOUND"),
    ("127.0.0.1:80/of-the-hosts-own:1", "IMAGE_NOT_FOUND"), ("LOCALHOST/x:1", "IMAGE_NOT_FOUND"),
])
def test_what_cannot_be_pulled_says_why(run: Run, name: str, code: str) -> None:
    done = run("true", docker_image=name)
    assert done.failure is not None and done.failure.code == code, done.failure
    assert "dial" not in done.failure.message and "http" not in done.failure.message, "the engine's words stay here"


def test_a_registry_that_falls_silent_is_given_up_and_the_slot_is_free(
    make_runner: Callable[..., ContainerRunner], registry: Registry, podman: Podman
) -> None:
    serve(podman, registry, "silent")
    registry.silent.add("silent")
    host = f"127.0.0.1:{registry.port}"
    runner = make_runner(replace(RULES, images=ImageRules(silence_seconds=3.0, registries=RegistryRules((host,)))))
    done = run_on(runner, "true", docker_image=f"{host}/silent:1")
    assert done.failure is not None and done.failure.code == "INPUT_UNAVAILABLE", done.failure
    assert "nothing came from the registry" in done.failure.message and "for 3 s" in done.failure.message
    assert registry.was_left.wait(60), "the engine has hung up, too"
    assert run_on(runner, "true").failure is None, "the same node works on"


def test_a_pull_that_has_too_little_room_ends_and_leaves_nothing(
    make_runner: Callable[..., ContainerRunner], registry: Registry, podman: Podman
) -> None:
    serve(podman, registry, "large")
    host = f"127.0.0.1:{registry.port}"
    rules = replace(RULES, images=ImageRules(max_bytes=1000, registries=RegistryRules((host,))))
    done = run_on(make_runner(rules), "true", docker_image=f"{host}/large:1")
    assert done.failure is not None and done.failure.code == "IMAGE_TOO_LARGE", done.failure

    def is_gone() -> bool:
        """An engine that was at its end makes the image all the same; the next look at the store, here a start's, finds it."""
        make_runner(rules)
        return f"{host}/large" not in podman.command("images", "--format", "{{.Repository}}")

    wait_until(is_gone, "the image that is too large is gone")


def test_an_image_that_nobody_used_for_long_goes_at_the_next_start(
    make_runner: Callable[..., ContainerRunner], registry: Registry, podman: Podman
) -> None:
    serve(podman, registry, "old")
    host = f"127.0.0.1:{registry.port}"
    rules = ImageRules(registries=RegistryRules((host,)))
    assert run_on(make_runner(replace(RULES, images=rules)), "true", docker_image=f"{host}/old:1").failure is None
    assert f"{host}/old" in podman.command("images", "--format", "{{.Repository}}")
    make_runner(replace(RULES, images=replace(rules, kept_seconds=0.0)))
    names = podman.command("images", "--format", "{{.Repository}}")
    assert f"{host}/old" not in names and "localhost/tiny" in names


def test_an_image_is_pulled_once_and_run(run: Run, registry: Registry, podman: Podman) -> None:
    folder = podman.folder / "pushed"
    podman.command("push", "--format", "v2s2", "localhost/tiny", f"dir:{folder}")
    registry.images["pulled"] = folder
    name = f"127.0.0.1:{registry.port}/pulled:1"
    asked = []
    for _ in range(2):
        done = run("sh", "-c", "echo pulled", docker_image=name)
        assert done.failure is None and done.printed == ["pulled"]
        asked.append([path for path in registry.asked if "/pulled/" in path])
    assert any("/blobs/" in path for path in asked[0]), "it came from the registry"
    assert asked[0] == asked[1], "and the second time it was here"


def test_what_was_pulled_goes_when_it_is_too_much(
    make_runner: Callable[..., ContainerRunner], registry: Registry, podman: Podman
) -> None:
    folder = podman.folder / "pushed-too"
    podman.command("push", "--format", "v2s2", "localhost/tiny", f"dir:{folder}")
    registry.images |= {"first": folder, "second": folder}
    host = f"127.0.0.1:{registry.port}"
    runner = make_runner(replace(RULES, images=ImageRules(kept_bytes=3_000_000, registries=RegistryRules((host,)))))
    for name in ("first", "second"):
        assert run_on(runner, "true", docker_image=f"{host}/{name}:1").failure is None
    names = podman.command("images", "--format", "{{.Repository}}").split()
    assert f"{host}/second" in names and f"{host}/first" not in names and "localhost/tiny" in names


def test_a_host_may_pull_nothing_or_take_only_small_ones(make_runner: Callable[..., ContainerRunner]) -> None:
    done = run_on(make_runner(replace(RULES, images=ImageRules(may_pull=False))), "true", docker_image="localhost/other")
    assert done.failure is not None and done.failure.code == "IMAGE_NOT_FOUND" and "pulls none" in done.failure.message
    done = run_on(make_runner(replace(RULES, images=ImageRules(max_bytes=1000))), "true")
    assert done.failure is not None and done.failure.code == "IMAGE_TOO_LARGE"


def test_an_image_of_the_hosts_owner_is_not_found_by_its_id(make_runner: Callable[..., ContainerRunner], podman: Podman) -> None:
    digits = podman.command("image", "inspect", "--format", "{{.Id}}", "localhost/tiny").removeprefix("sha256:")
    runner = make_runner(replace(RULES, images=ImageRules(may_pull=False)))
    for name in (digits[:63], digits[:12], digits[:4]):
        done = run_on(runner, "true", docker_image=name)
        assert done.failure is not None and done.failure.code == "IMAGE_NOT_FOUND", (name, done.failure)
    assert run_on(runner, "true", docker_image="localhost/tiny").failure is None
