"""Where the doctor looks: the settings, and what the stack of this home that runs has told."""

from dataclasses import dataclass, replace
from typing import Any

from app.config import Settings
from app.errors import ConfigError
from app.stack import endpoints
from app.stack.stack import is_stack_running


@dataclass(frozen=True, slots=True)
class Place:
    """`settings` have the addresses filled in that the running stack told; `is_embedded` names the parts that `lightyard up`
    brings itself."""

    settings: Settings
    is_running: bool
    embedded: frozenset[str]


# What of a stack's endpoints stands for which setting
TOLD = {
    "database_url": "database_url",
    "redis_url": "redis_url",
    "solana_rpc_url": "solana_rpc_url",
    "evm_rpc_url": "evm_rpc_url",
    "ton_api_url": "ton_api_url",
}


def look_around(settings: Settings) -> Place:
    """What is configured, else what runs here, else nothing: then `lightyard up` would bring it."""
    is_running = is_stack_running(settings.home)
    embedded = frozenset(name for name in TOLD if not getattr(settings, name))
    told: dict[str, Any] = {}
    if is_running:
        try:
            told = endpoints.read(settings.home)
        except ConfigError:
            told = {}  # it is starting, or its file was taken away
    known: dict[str, Any] = {name: str(told[key]) for name, key in TOLD.items() if name in embedded and told.get(key)}
    return Place(replace(settings, **known), is_running, embedded)
