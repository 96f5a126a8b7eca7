"""docker-compose.yml as an engine reads it: anchors merged, variables filled in."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z_]+)(?:(?P<how>:[-?])(?P<other>[^}]*))?\}")


class Missing(Exception):
    """A variable that has no default was not given; the message is the file's own."""


def fill(node: Any, variables: Mapping[str, str]) -> Any:
    """`node` with ${NAME}, ${NAME:-default}, ${NAME:?message} and $$ replaced in every text."""
    if isinstance(node, dict):
        return {key: fill(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(item, variables) for item in node]
    return VARIABLE.sub(lambda match: _value(match, variables), node) if isinstance(node, str) else node


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    given = variables.get(match["name"], "")
    if given or match["how"] != ":?":
        return given or match["other"] or ""
    raise Missing(match["other"])


def raw() -> dict[str, Any]:
    """The file with its anchors merged and its variables as they are written."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


@dataclass(frozen=True)
class Mount:
    source: str
    target: str
    is_read_only: bool

    @property
    def is_volume(self) -> bool:
        return not self.source.startswith((".", "/"))


def mounts(service: Mapping[str, Any]) -> Iterator[Mount]:
    """Volumes and folders of a service whose variables are filled in."""
    for text in service.get("volumes", []):
        source, target, *options = text.split(":")
        yield Mount(source, target, bool(options) and "ro" in options[0].split(","))


def secret_mounts(compose: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[Mount]:
    """Its secrets: the file on the host, and where the service finds it."""
    for item in service.get("secrets", []):
        asked = {"source": item} if isinstance(item, str) else item
        target = asked.get("target", asked["source"])
        yield Mount(
            compose["secrets"][asked["source"]]["file"], target if target.startswith("/") else f"/run/secrets/{target}", True
        )


def files_of_environment(service: Mapping[str, Any]) -> dict[str, str]:
    """Its environment, as texts."""
    return {name: str(value) for name, value in service.get("environment", {}).items()}
