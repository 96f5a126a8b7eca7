"""The node's settings, read once from the environment. README.md has the same table for people."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

GIB = 1024**3
KEPT_IN_FILES = ("ENROL_KEY", "BROKER_URL", "NODE_INFERENCE_KEY")


class SettingError(ValueError):
    """A setting has a value that can't be used; the message names it and says what to do."""


@dataclass(frozen=True)
class NodeSettings:
    """All durations in seconds, all sizes in bytes."""

    hub_url: str
    home: Path
    name: str
    blender_python: str
    api_key: str | None = None
    provider_id: str | None = None
    broker_url: str | None = None
    capabilities: tuple[str, ...] = ("render",)
    slots: int = 1
    relay: bool = False
    production: bool = False
    sandbox: str = "auto"
    poll_seconds: float = 15.0
    progress_seconds: float = 1.0
    drain_seconds: float = 60.0
    hub_patience_seconds: float = 600.0
    batch_limit: int = 10
    batch_seconds: float = 5.0
    warm_seconds: float = 60.0
    spare_child: bool = True
    max_memory_bytes: int = 16 * GIB
    max_scene_bytes: int = 4 * GIB
    cache_bytes: int = 20 * GIB
    max_payload_bytes: int = 64 * 1024**2
    inference_url: str | None = None
    inference_model: str | None = None
    inference_key: str | None = None
    inference_seconds: float = 300.0
    images_url: str | None = None
    images_model: str | None = None
    video_url: str | None = None
    video_model: str | None = None
    video_seconds: float = 1800.0
    container_engine: str = "auto"
    container_network: str | None = None
    container_pull: bool = True
    container_image_bytes: int = 32 * GIB
    container_cache_bytes: int = 64 * GIB
    container_cache_seconds: float = 7 * 86400.0
    container_silence_seconds: float = 180.0
    container_registries: tuple[str, ...] = ()
    container_allowed_registries: tuple[str, ...] = ()
    container_disk: str = "measured"
    container_processes: int = 1024
    container_grace_seconds: float = 10.0
    container_log_bytes: int = 1024**2
    log_level: str = "INFO"


def read_settings(environ: Mapping[str, str] | None = None) -> NodeSettings:
    """Settings from `environ` (the process's own when None). Raises SettingError."""
    env = with_files(os.environ if environ is None else environ)
    home = Path(env.get("NODE_HOME") or "~/.lightyard-node").expanduser()
    settings = NodeSettings(
        hub_url=(env.get("HUB_URL") or "http://127.0.0.1:8000").rstrip("/"),
        home=home,
        name=env.get("NODE_NAME") or socket.gethostname(),
        blender_python=env.get("BLENDER_PYTHON") or sys.executable,
        api_key=env.get("ENROL_KEY") or None,
        provider_id=env.get("ENROL_PROVIDER_ID") or None,
        broker_url=env.get("BROKER_URL") or None,
        capabilities=tuple(filter(None, (env.get("NODE_CAPABILITIES") or "render").replace(" ", "").split(","))),
        slots=_integer(env, "NODE_SLOTS", 1, 1, 64),
        relay=_switch(env, "NODE_RELAY", False),
        production=env.get("LIGHTYARD_ENV") == "production",
        sandbox=env.get("NODE_SANDBOX") or "auto",
        poll_seconds=_seconds(env, "NODE_POLL_SECONDS", 15.0),
        progress_seconds=_seconds(env, "NODE_PROGRESS_SECONDS", 1.0),
        drain_seconds=_seconds(env, "NODE_DRAIN_SECONDS", 60.0),
        hub_patience_seconds=_seconds(env, "NODE_HUB_PATIENCE_SECONDS", 600.0),
        batch_limit=_integer(env, "NODE_BATCH_LIMIT", 10, 1, 64),
        batch_seconds=_seconds(env, "NODE_BATCH_SECONDS", 5.0),
        warm_seconds=_seconds(env, "NODE_WARM_SECONDS", 60.0),
        spare_child=_switch(env, "NODE_SPARE_CHILD", True),
        max_memory_bytes=_integer(env, "NODE_MAX_MEMORY_BYTES", 16 * GIB, 512 * 1024**2, 2**50),
        max_scene_bytes=_integer(env, "NODE_MAX_SCENE_BYTES", 4 * GIB, 1024, 2**50),
        cache_bytes=_integer(env, "NODE_CACHE_BYTES", 20 * GIB, 0, 2**50),
        max_payload_bytes=_integer(env, "NODE_MAX_PAYLOAD_BYTES", 64 * 1024**2, 1024, 2**40),
        inference_url=(env.get("NODE_INFERENCE_URL") or "").rstrip("/") or None,
        inference_model=env.get("NODE_INFERENCE_MODEL") or None,
        inference_key=env.get("NODE_INFERENCE_KEY") or None,
        inference_seconds=_seconds(env, "NODE_INFERENCE_SECONDS", 300.0),
        images_url=(env.get("NODE_IMAGES_URL") or "").rstrip("/") or None,
        images_model=env.get("NODE_IMAGES_MODEL") or None,
        video_url=(env.get("NODE_VIDEO_URL") or "").rstrip("/") or None,
        video_model=env.get("NODE_VIDEO_MODEL") or None,
        video_seconds=_seconds(env, "NODE_VIDEO_SECONDS", 1800.0),
        container_engine=env.get("NODE_CONTAINER_ENGINE") or "auto",
        container_network=env.get("NODE_CONTAINER_NETWORK") or None,
        container_pull=_switch(env, "NODE_CONTAINER_PULL", True),
        container_image_bytes=_integer(env, "NODE_CONTAINER_IMAGE_BYTES", 32 * GIB, 1024, 2**50),
        container_cache_bytes=_integer(env, "NODE_CONTAINER_CACHE_BYTES", 64 * GIB, 0, 2**50),
        container_cache_seconds=_integer(env, "NODE_CONTAINER_CACHE_SECONDS", 7 * 86400, 0, 2**31),
        container_silence_seconds=_seconds(env, "NODE_CONTAINER_SILENCE_SECONDS", 180.0),
        container_registries=_names(env, "NODE_CONTAINER_REGISTRIES"),
        container_allowed_registries=_names(env, "NODE_CONTAINER_ALLOWED_REGISTRIES"),
        container_disk=env.get("NODE_CONTAINER_DISK") or ("bounded" if env.get("LIGHTYARD_ENV") == "production" else "measured"),
        container_processes=_integer(env, "NODE_CONTAINER_PROCESSES", 1024, 1, 2**22),
        container_grace_seconds=_seconds(env, "NODE_CONTAINER_GRACE_SECONDS", 10.0),
        container_log_bytes=_integer(env, "NODE_CONTAINER_LOG_BYTES", 1024**2, 1024, 2**30),
        log_level=(env.get("LOG_LEVEL") or "INFO").upper(),
    )
    _check(settings)
    if settings.production:
        _check_production(settings, env)
    return settings


def with_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the secrets that `NAME_FILE` names read in. Raises SettingError."""
    env = dict(environ)
    for name in KEPT_IN_FILES:
        path = env.get(f"{name}_FILE")
        if not path:
            continue
        if env.get(name):
            raise SettingError(f"{name} and {name}_FILE are both set: keep one of them")
        try:
            env[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"{name}_FILE={path} can't be read: {error}") from None
        if not env[name]:
            raise SettingError(f"{name}_FILE={path} is empty: write the value into it, or leave {name}_FILE away")
    return env


def _check(settings: NodeSettings) -> None:
    if not settings.hub_url.startswith(("http://", "https://")):
        raise SettingError(f"HUB_URL is {settings.hub_url!r}: give the hub's address, http:// or https://")
    if settings.sandbox not in ("auto", "bubblewrap", "none"):
        raise SettingError(f"NODE_SANDBOX is {settings.sandbox!r}: use auto, bubblewrap or none")
    _check_servers(settings)
    _check_containers(settings)


def _check_servers(settings: NodeSettings) -> None:
    """Of models, where this host is to ask any."""
    servers = {"NODE_INFERENCE_URL": settings.inference_url, "NODE_IMAGES_URL": settings.images_url,
               "NODE_VIDEO_URL": settings.video_url}
    if "inference" not in settings.capabilities:
        return
    for name, url in servers.items():
        if url is not None and not url.startswith(("http://", "https://")):
            raise SettingError(f"{name} is {url!r}: give an address such as http://127.0.0.1:8080/v1")
    if not any(servers.values()):
        raise SettingError("NODE_CAPABILITIES has inference: give NODE_INFERENCE_URL, such as http://127.0.0.1:8080/v1, or "
                           "NODE_IMAGES_URL or NODE_VIDEO_URL")


def _check_containers(settings: NodeSettings) -> None:
    engine = settings.container_engine
    if engine not in ("auto", "off") and not engine.startswith(("unix:///", "tcp://127.0.0.1:", "http+unix://")):
        raise SettingError(f"NODE_CONTAINER_ENGINE is {engine!r}: use auto, off, or a socket such as unix:///run/podman/podman.sock")
    if settings.container_disk not in ("bounded", "measured"):
        raise SettingError(f"NODE_CONTAINER_DISK is {settings.container_disk!r}: use bounded, or measured where this host can't")
    if settings.container_network in ("host", "default") or (settings.container_network or "").startswith("container:"):
        raise SettingError(f"NODE_CONTAINER_NETWORK is {settings.container_network!r}: name a network that is made for "
                           "strangers' containers, and leads nowhere else on this host")


def _check_production(settings: NodeSettings, env: Mapping[str, str]) -> None:
    if settings.sandbox == "none":
        raise SettingError("NODE_SANDBOX=none is refused in production: install bubblewrap")
    for name in ("LIGHTYARD_FAILPOINTS", "LIGHTYARD_FAILPOINTS_FOLDER"):
        if env.get(name):
            raise SettingError(f"{name} is refused in production: it ends the node, for crash tests; unset it")
    if settings.hub_url.startswith("http://") and not _is_private(urlsplit(settings.hub_url).hostname or ""):
        raise SettingError("HUB_URL must begin with https:// in production: the node's token would travel in the open")


def _is_private(host: str) -> bool:
    """An address of a network of one's own, or a name of one word, such as a neighbour's or a container's."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost"))


def _names(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(filter(None, (env.get(name) or "").replace(" ", "").split(",")))


def _integer(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name)
    try:
        value = int(text) if text else default
    except ValueError:
        raise SettingError(f"{name} is {text!r}: give a whole number") from None
    if not low <= value <= high:
        raise SettingError(f"{name} is {value}: give a number from {low} to {high}")
    return value


def _switch(env: Mapping[str, str], name: str, default: bool) -> bool:
    text = (env.get(name) or ("on" if default else "off")).lower()
    if text not in ("on", "off"):
        raise SettingError(f"{name} is {text!r}: use on or off")
    return text == "on"


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    try:
        value = float(text) if text else default
    except ValueError:
        raise SettingError(f"{name} is {text!r}: give a number of seconds") from None
    if not 0 < value <= 86400:
        raise SettingError(f"{name} is {value}: give seconds above 0, at most 86400")
    return value
