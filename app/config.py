"""Every setting of the hub: type, unit and default in one table, read once from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from app.errors import ConfigError

DEVELOPMENT_SECRET = "development-only-secret-key-do-not-use"  # noqa: S105  refused in production
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def setting(default: Any, description: str, unit: str = "") -> Any:
    """Declare one setting; its environment variable is the upper-case field name."""
    return field(default=default, metadata={"description": description, "unit": unit})


@dataclass(frozen=True, slots=True)
class Settings:
    lightyard_env: str = setting("development", "`development` or `production`")
    lightyard_home: str = setting(".lightyard", "folder for data, logs and sockets of the embedded parts")
    secret_key: str = setting(DEVELOPMENT_SECRET, "signs tokens and file URLs; 32 characters or more in production")
    debug: bool = setting(False, "Flask's debug mode; refused in production")
    cors_origins: str = setting("", "origins that browsers may call from, comma-separated; `*` is refused in production")
    port: int = setting(8000, "port of the API")
    public_host: str = setting("localhost", "domain that wallet sign-ins are bound to")
    public_url: str = setting("", "base of signed file URLs; empty: http://127.0.0.1:PORT")
    nodes: int = setting(1, "local GPU nodes that `lightyard up` starts", "nodes")
    database_url: str = setting("", "PostgreSQL; empty: the embedded one")
    database_pool_size: int = setting(10, "connections each process keeps", "connections")
    statement_timeout_seconds: int = setting(30, "longest SQL statement", "s")
    broker_url: str = setting("", "Celery's broker; empty: REDIS_URL")
    redis_url: str = setting("", "cache, limits and pub/sub; empty: the embedded Valkey")
    storage_url: str = setting("", "`file:///folder` or `s3://bucket/prefix`; empty: LIGHTYARD_HOME/files")
    solana_rpc_url: str = setting("", "Solana JSON-RPC, comma-separated; empty: the local chain on PORT+899")
    solana_timeout_seconds: int = setting(10, "longest wait for one RPC call", "s")
    rate_limits: bool = setting(True, "per-IP limits of the dialects (`on`/`off`)")
    trusted_proxies: str = setting("", "networks whose X-Forwarded-For counts, comma-separated")
    metrics_token: str = setting("", "bearer token that /metrics wants; empty: open")
    allow_private_endpoints: bool = setting(False, "accept users' URLs on private networks; refused in production")
    node_proof_required: bool = setting(True, "nodes must prove their key before work")
    open_nodes: bool = setting(False, "nodes enrolled with nobody may work")
    test_mints: bool = setting(False, "accept the local chain's test money; refused in production")
    max_json_bytes: int = setting(1_048_576, "largest JSON body", "bytes")
    max_upload_bytes: int = setting(2_147_483_648, "largest uploaded scene or result", "bytes")
    max_frames: int = setting(10_000, "frames of one job", "frames")
    max_pixels: int = setting(134_217_728, "pixels of one picture", "pixels")
    max_samples: int = setting(65_536, "samples per pixel", "samples")
    max_unpacked_bytes: int = setting(4_294_967_296, "largest decompressed scene", "bytes")
    max_blender_version: str = setting("4.5", "newest .blend that the nodes can open")
    quote_seconds: int = setting(900, "how long a quote may be paid", "s")
    platform_fee_percent: int = setting(5, "the hub's share of a render's price", "%")
    fallback_render_seconds: int = setting(60, "render time priced when a scene was never measured", "s")
    lease_seconds: int = setting(60, "an attempt's lease; progress renews it", "s")
    unit_max_seconds: int = setting(3600, "longest work on one frame", "s")
    unit_max_memory_bytes: int = setting(17_179_869_184, "memory one render may take", "bytes")
    max_failures: int = setting(3, "reported failures after which a job fails", "failures")
    max_attempts: int = setting(5, "attempts in all after which a job fails", "attempts")
    ring_again_seconds: int = setting(2, "an unclaimed unit is rung again after", "s")
    node_unhealthy_seconds: int = setting(90, "silence after which a node is UNHEALTHY", "s")
    heartbeat_seconds: int = setting(30, "how often nodes and sockets report", "s")
    file_url_seconds: int = setting(3600, "validity of signed file URLs", "s")
    signature_window_seconds: int = setting(300, "tolerance of signed timestamps", "s")

    @property
    def is_production(self) -> bool:
        return self.lightyard_env == "production"

    @property
    def home(self) -> Path:
        return Path(self.lightyard_home).resolve()

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/") or f"http://127.0.0.1:{self.port}"

    @property
    def broker(self) -> str:
        return self.broker_url or self.redis_url

    @property
    def solana_rpc_urls(self) -> tuple[str, ...]:
        urls = tuple(part.strip() for part in self.solana_rpc_url.split(",") if part.strip())
        return urls or (f"http://127.0.0.1:{self.port + 899}",)

    @property
    def storage(self) -> str:
        return self.storage_url or f"file://{self.home / 'files'}"


def parse(name: str, kind: type, text: str) -> Any:
    """Turn an environment variable's text into the setting's type, or say what it must look like."""
    if kind is bool:
        if text.strip().lower() in _TRUE | _FALSE:
            return text.strip().lower() in _TRUE
        raise ConfigError(f"{name.upper()} must be on or off, not {text!r}")
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ConfigError(f"{name.upper()} must be a whole number, not {text!r}") from None
    return text


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment; unknown variables are ignored, empty numbers and flags mean the default."""
    source = os.environ if environment is None else environment
    values = {
        item.name: parse(item.name, type(item.default), source[item.name.upper()])
        for item in fields(Settings)
        if source.get(item.name.upper(), "") != ""
    }
    return Settings(**values)


def unsafe(settings: Settings) -> list[str]:
    """Name each setting that production must not run with."""
    problems = {
        "SECRET_KEY": settings.secret_key == DEVELOPMENT_SECRET or len(settings.secret_key) < 32,
        "DEBUG": settings.debug,
        "CORS_ORIGINS": "*" in settings.cors_origins,
        "ALLOW_PRIVATE_ENDPOINTS": settings.allow_private_endpoints,
        "NODE_PROOF_REQUIRED": not settings.node_proof_required,
        "TEST_MINTS": settings.test_mints,
        "SOLANA_RPC_URL": not settings.solana_rpc_url or "127.0.0.1" in settings.solana_rpc_url,
        "DATABASE_URL": not settings.database_url,
        "REDIS_URL": not settings.redis_url,
    }
    return [name for name, bad in problems.items() if bad]


def check(settings: Settings) -> None:
    """Refuse to boot production with an unsafe setting."""
    names = unsafe(settings) if settings.is_production else []
    if names:
        raise ConfigError(f"LIGHTYARD_ENV=production refuses these settings: {', '.join(names)}", details={"settings": names})
