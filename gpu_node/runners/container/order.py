"""What a compute task asks for, as its claim brings it: read once, and refused before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

from gpu_node.failures import FailureCode, WorkFailed

GB = 10**9
LEAST_MEMORY_BYTES = 16 * 1024**2
LEAST_STORAGE_BYTES = 1024**2
MOST_ARGUMENTS, MOST_VARIABLES = 1024, 256
MOST_TEXT = 128 * 1024
INIT_SYSTEMS = frozenset({"init", "systemd"})


@dataclass(frozen=True)
class Order:
    """One container. An empty `command` is the image's own; `seconds` is the time from its start to its end."""

    image: str
    command: tuple[str, ...]
    environment: dict[str, str]
    has_network: bool
    cpu_cores: float
    gpu_count: int
    gpu_memory_bytes: int
    memory_bytes: int
    storage_bytes: int
    seconds: float


def read_order(settings: dict[str, Any]) -> Order:
    """The order of a job's settings (PROTOCOL.md, section 11). Raises WorkFailed."""
    image = settings.get("docker_image")
    if not isinstance(image, str) or not image or len(image) > 500 or any(character.isspace() for character in image):
        raise _refused("docker_image must be an image's name")
    return Order(
        image=image,
        command=_command(settings.get("command") or []),
        environment=_environment(settings.get("environment") or {}),
        has_network=settings.get("has_network") is True,
        cpu_cores=float(_number(settings, "cpu_cores", "1", Decimal("0.01"))),
        gpu_count=int(_number(settings, "gpu_count", "0", Decimal(0))),
        gpu_memory_bytes=int(_number(settings, "gpu_memory_gb", "0", Decimal(0)) * GB),
        memory_bytes=max(LEAST_MEMORY_BYTES, int(_number(settings, "ram_gb", "1", Decimal(0)) * GB)),
        storage_bytes=max(LEAST_STORAGE_BYTES, int(_number(settings, "storage_gb", "1", Decimal(0)) * GB)),
        seconds=float(_number(settings, "timeout_seconds", "3600", Decimal("0.001"))),
    )


def check_start(order: Order, entrypoint: list[str], command: list[str]) -> None:
    """Refuses what can't start. An init system is given more of the kernel by podman than a program. Raises WorkFailed."""
    said = [*entrypoint, *(order.command or command)]
    if not said:
        raise WorkFailed(FailureCode.IMAGE_INVALID, f"{order.image} starts nothing by itself: give a command")
    if PurePosixPath(said[0]).name in INIT_SYSTEMS:
        raise WorkFailed(FailureCode.IMAGE_INVALID, f"{said[0]} is an init system; give the program itself as the command")


def _number(settings: dict[str, Any], name: str, default: str, least: Decimal) -> Decimal:
    value = settings.get(name)
    try:
        number = Decimal(default) if value is None else Decimal(str(value))
    except ArithmeticError:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or not least <= number <= 10**9:
        raise _refused(f"{name} must be a number from {least} to 10⁹, not {str(value)[:50]!r}")
    return number


def _command(said: Any) -> tuple[str, ...]:
    is_list = isinstance(said, list) and all(isinstance(part, str) and "\0" not in part for part in said)
    if not is_list or len(said) > MOST_ARGUMENTS or sum(map(len, said)) > MOST_TEXT:
        raise _refused(f"command must be a list of up to {MOST_ARGUMENTS} texts")
    return tuple(said)


def _environment(said: Any) -> dict[str, str]:
    is_map = isinstance(said, dict) and len(said) <= MOST_VARIABLES and all(map(_is_variable, said.items()))
    if not is_map or sum(len(name) + len(value) for name, value in said.items()) > MOST_TEXT:
        raise _refused(f"environment must be up to {MOST_VARIABLES} names, each with a text")
    return dict(said)


def _is_variable(item: tuple[Any, Any]) -> bool:
    name, value = item
    is_text = isinstance(name, str) and isinstance(value, str)
    return is_text and bool(name) and "=" not in name and "\0" not in name + value


def _refused(said: str) -> WorkFailed:
    return WorkFailed(FailureCode.PAYLOAD_INVALID, said)
