"""Every setting of the hub: type, unit and default in one table, read once from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from app.setting import TYPES, given, read, setting

# The first account of the mnemonic that local EVM chains give money to; everybody knows its key.
DEVELOPMENT_ANCHOR_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
DEVELOPMENT_SECRET = "development-only-secret-key-do-not-use"  # noqa: S105  refused in production


@dataclass(frozen=True, slots=True)
class Settings:
    lightyard_env: str = setting("development", "`development` or `production`", choices="development production")
    lightyard_home: str = setting(".lightyard", "folder for data, logs and sockets of the embedded parts")
    secret_key: str = setting(DEVELOPMENT_SECRET, "signs tokens and file URLs; 32 characters or more in production")
    secret_key_previous: str = setting("", "older or coming SECRET_KEYs, comma-separated: they verify, and sign nothing")
    debug: bool = setting(False, "logs more than production should tell; refused there")
    cors_origins: str = setting("", "origins that browsers may call from, comma-separated; `*` is refused in production")
    port: int = setting(8000, "port of the API", least=1, most=65_535)
    bind_host: str = setting("127.0.0.1", "address that the API listens on; 0.0.0.0 for all")
    api_workers: int = setting(2, "gunicorn's gevent worker processes", "processes", least=1, most=256)
    hub_workers: int = setting(1, "Celery workers of the hub that `lightyard up` starts", "processes", least=1, most=64)
    public_host: str = setting("localhost", "domain that wallet sign-ins are bound to")
    public_url: str = setting("", "base of signed file URLs; empty: http://127.0.0.1:PORT")
    nodes: int = setting(1, "local GPU nodes that `lightyard up` starts", "nodes", most=64)
    database_url: str = setting("", "PostgreSQL; empty: the embedded one")
    database_role: str = setting("", "role taken on by connections: `lightyard_app` posts to the ledger, changes nothing in it")
    database_pool_size: int = setting(10, "connections each process keeps", "connections", least=1, most=1000)
    statement_timeout_seconds: int = setting(30, "longest SQL statement", "s")
    broker_url: str = setting("", "Celery's broker; empty: REDIS_URL")
    rabbitmq_api_url: str = setting(
        "", "RabbitMQ's management API, `http://user:password@host:15672`: gives each provider's hosts user and queues"
    )
    rabbitmq_public_url: str = setting("", "RabbitMQ as GPU hosts reach it, `amqps://host:5671`; empty: as BROKER_URL has it")
    rabbitmq_nodes_vhost: str = setting("nodes", "RabbitMQ's virtual host for GPU hosts' queues; it holds nothing else")
    rabbitmq_user_connections: int = setting(
        64, "most connections of one provider's hosts; channels: four times as many", "connections", least=1, most=100_000
    )
    redis_url: str = setting("", "cache, limits and pub/sub; empty: the embedded Valkey")
    storage_url: str = setting("", "`file:///folder` or `s3://bucket/prefix`; empty: LIGHTYARD_HOME/files")
    s3_endpoint_url: str = setting("", "the S3 server of STORAGE_URL=s3://…; empty: AWS")
    s3_public_url: str = setting("", "the S3 server as clients and nodes reach it, for signed URLs; empty: S3_ENDPOINT_URL")
    s3_region: str = setting("us-east-1", "region that S3 requests are signed for")
    s3_access_key_id: str = setting("", "S3 access key; empty: boto3's usual places")
    s3_secret_access_key: str = setting("", "S3 secret key; empty: boto3's usual places")
    s3_path_style: bool = setting(False, "bucket in the path, not in the host name; most servers other than AWS want it")
    solana_rpc_url: str = setting("", "Solana JSON-RPC, comma-separated; empty: the local chain on PORT+899")
    solana_timeout_seconds: int = setting(10, "longest wait for one RPC call", "s")
    evm_rpc_url: str = setting("", "EVM JSON-RPC that roots are anchored on, comma-separated; empty: they are not anchored")
    evm_timeout_seconds: int = setting(10, "longest wait for one RPC call", "s", least=1)
    evm_anchor_key: str = setting("", "private key, hex, of the address that anchors; only the worker needs it")
    evm_max_fee_gwei: int = setting(200, "most that an anchor offers for gas", "gwei", least=1, most=1_000_000)
    solana_wallet: str = setting("", "Solana address that deposits to the hub go to; empty: it takes none")
    deposit_seconds: int = setting(
        3600, "a deposit is waited for so long; what comes later is credited all the same", "s", least=1, most=31_536_000
    )
    invoice_seller: str = setting(
        "", "whose invoices they are: name, address, tax number, lines separated by `|`; empty: Lightyard at PUBLIC_HOST"
    )
    ton_api_url: str = setting("", "TON by toncenter's v2 interface, comma-separated; empty: no TON, unless TON_CONFIG is set")
    ton_api_key: str = setting("", "key of toncenter")
    ton_config: str = setting("", "a network's global configuration file: TON straight from its liteservers, by pytonlib")
    ton_network: str = setting("mainnet", "which addresses are good", choices="mainnet testnet")
    ton_wallet: str = setting("", "TON address that payments to the hub go to; empty: it takes none")
    ton_jetton_masters: str = setting("", "jettons that are money: `master address:asset`, comma-separated")
    ton_timeout_seconds: int = setting(10, "longest wait for one call", "s", least=1)
    anchor_interval_seconds: int = setting(300, "an entry waits so long for its tree at most", "s", least=1)
    anchor_entries: int = setting(100, "so many waiting entries get a tree at once", "entries", least=1)
    anchor_tree_entries: int = setting(1000, "most leaves of one tree", "entries", least=1, most=100_000)
    anchor_confirmations: int = setting(12, "blocks, its own counted, that make an anchor final", "blocks", least=1, most=1000)
    anchor_replace_seconds: int = setting(300, "an anchor not mined for so long is replaced by one that offers more", "s")
    solana_mints: str = setting(
        "USDC=EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v,USDT=Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB,"
        "RENDER=rndrizKT3MK1iimdxRdWabcF7Zg7AR5T4nud4EkHBof",
        "mints that tokens are paid out of, and no others; `lightyard up` sets the local chain's",
    )
    minimum_payout: str = setting("0.01", "smallest payout, in units of its asset; some assets' own: `0.01,SOL=0.002`")
    payout_opens_account_from: str = setting(
        "10,RENDER=3", "a smaller token payout waits for its payee to open a token account; the signer needs the same; `0`: none"
    )
    payout_cool_off_hours: int = setting(24, "a new payout address counts after", "h", most=8760)
    minimum_stake: str = setting("0", "least stake to take tasks on, in units of their asset; some assets' own: `0,USDC=500`")
    unstake_delay_hours: int = setting(72, "a stake that is asked back can still be slashed for so long", "h", most=8760)
    dispute_hours: int = setting(48, "a completed task can be disputed for so long", "h", least=1, most=8760)
    payout_valid_seconds: int = setting(180, "a TON message of ours may be executed so long", "s", least=30, most=600)
    payout_lag_seconds: int = setting(120, "a chain's node whose newest final block is older is not believed", "s", least=5)
    signer_home: str = setting("", "the signer's folder with the hot wallets' keys and its journal; empty: LIGHTYARD_HOME/signer")
    signer_socket: str = setting("", "unix socket on which the signer listens; empty: LIGHTYARD_HOME/signer.sock")
    signer_max_payout: str = setting(
        "SOL=20,USDC=2000,USDT=2000,RENDER=500,TON=1000", "the most that the signer signs for one payout, by asset"
    )
    signer_max_day: str = setting(
        "SOL=200,USDC=20000,USDT=20000,RENDER=5000,TON=10000", "the most that the signer signs in 24 hours, by asset"
    )
    signer_max_fee_lamports: int = setting(
        50_000, "the most that the signer pays as the fee of one transaction by which somebody pays with x402", "lamports"
    )
    signer_max_day_fee_lamports: int = setting(100_000_000, "the most that it pays for such fees in 24 hours", "lamports")
    signer_quiet_seconds: int = setting(
        240, "after its start the signer signs nothing new for so long: what it forgot with a lost disk has expired by then", "s"
    )
    pulse_folder: str = setting(
        "", "worker, beat, poller and backups touch a file here while they turn, for health checks; empty: none"
    )
    rate_limits: bool = setting(True, "per-IP limits of the dialects (`on`/`off`)")
    trusted_proxies: str = setting("", "networks whose X-Forwarded-For counts, comma-separated")
    metrics_token: str = setting("", "bearer token that /metrics wants; empty: open")
    allow_private_endpoints: bool = setting(False, "accept users' URLs on private networks; refused in production")
    node_proof_required: bool = setting(True, "nodes must prove their key before work")
    open_nodes: bool = setting(False, "nodes enrolled with nobody may work; on in `lightyard up`")
    test_mints: bool = setting(False, "accept the local chain's test money; refused in production")
    body_patience_seconds: int = setting(30, "a request's body may take so long, and more for what has come of it", "s", least=1)
    body_bytes_per_second: int = setting(8192, "slowest that a body may come after that, on average", "bytes/s", least=1)
    max_json_bytes: int = setting(1_048_576, "largest JSON body", "bytes")
    max_upload_bytes: int = setting(2_147_483_648, "largest uploaded scene or result", "bytes")
    max_frames: int = setting(10_000, "frames of one job", "frames")
    max_pixels: int = setting(134_217_728, "pixels of one picture", "pixels")
    max_samples: int = setting(65_536, "samples per pixel", "samples")
    max_unpacked_bytes: int = setting(4_294_967_296, "largest decompressed scene", "bytes")
    max_blender_version: str = setting("4.5", "newest .blend that the nodes can open")
    x402_minimum: str = setting(
        "0.01,SOL=0.0005", "smallest payment that the hub pays the fee of; some assets' own: `0.01,SOL=0.0005`"
    )
    x402_payee_percent: int = setting(
        10, "fees of payments by x402 to one provider may use so much of SIGNER_MAX_DAY_FEE_LAMPORTS in 24 hours", "%", most=100
    )
    x402_payees_percent: int = setting(
        50, "those of payments to all providers together may use so much of it; payments to the hub have the rest", "%", most=100
    )
    x402_network: str = setting(
        "", "CAIP-2 name of the Solana cluster for x402; empty: by its genesis hash. `lightyard up` calls a local chain devnet"
    )
    x402_wait_seconds: int = setting(
        25, "a request that pays with x402 waits so long for its payment to be final, then it is pending", "s", least=1, most=60
    )
    quote_seconds: int = setting(900, "how long a quote may be paid", "s")
    unpaid_kept_seconds: int = setting(86_400, "an unpaid quote and its file are kept so long after its expiry", "s")
    upload_unused_seconds: int = setting(86_400, "an upload that no job used is kept so long after its address expired", "s")
    upload_kept_seconds: int = setting(
        604_800, "an upload is kept so long after the last job with it was ordered and ended; results stay", "s"
    )
    scene_upload_seconds: int = setting(172_800, "a scene that was announced may be sent for so long, in parts", "s", least=60)
    scene_unused_seconds: int = setting(
        2_592_000, "a scene is kept so long after it came, or the last job with it was ordered and ended", "s", least=3600
    )
    account_scene_bytes: int = setting(107_374_182_400, "what all scenes of one account may take together", "bytes", least=1)
    untaken_seconds: int = setting(86_400, "a paid job that nobody works on for so long is ended and refunded", "s", least=60)
    dispatch_prices: str = setting(
        "render=10,inference=5,cpu_benchmark=1,echo=0,other=1", "what a dispatched job costs, by its type", "credits"
    )
    dispatch_max_seconds: int = setting(900, "longest work on one dispatched job", "s", least=1)
    offer_seconds: int = setting(5, "a dispatched job is kept so long for the node it was offered to", "s", least=1, most=600)
    max_run_result_bytes: int = setting(16_777_216, "largest result that is no picture", "bytes")
    max_video_bytes: int = setting(2_147_483_648, "largest video that a job's frames are joined to", "bytes", least=1)
    max_task_result_bytes: int = setting(1_073_741_824, "largest result of a compute task", "bytes", least=1)
    task_lease_seconds: int = setting(
        300, "a compute task stays in a provider's own software so long without a sign of life", "s", least=10
    )
    task_pull_seconds: int = setting(900, "a node may take so long to fetch a task's image, and end it", "s", least=1)
    platform_fee_percent: int = setting(5, "the hub's share of a render's price", "%", most=100)
    participant_share_percent: int = setting(
        95, "a Cocoon participant's part of what its workers earn, unless it has its own", "%", most=100
    )
    payout_period_hours: int = setting(
        168, "Cocoon earnings are proposed for payout by periods of so long, since a Monday in UTC", "h", least=1, most=8760
    )
    rates_usd: str = setting(
        "SOL=150,TON=3,USDC=1,USDT=1,RENDER=4,RCREDIT=4", "what one unit of each asset is worth", "US dollars"
    )
    rates_usd_since: str = setting(
        "", "past rates for tax reports, each from a day (UTC) on: `TON@2025-01-01=5.5,…`; else RATES_USD", "US dollars"
    )
    credit_usd: str = setting("0.10", "what one CREDIT is worth, unless RATES_USD says so", "US dollars")
    credit_packages: str = setting(
        "cred10=100,cred50=500,cred100=1000", "credits by Stripe `sku`; sold at CREDIT_USD, or at a price: sku=100@9.50"
    )
    stripe_webhook_secret: str = setting("", "signs Stripe's events; several, comma-separated, while a new one is rolled in")
    stripe_live: str = setting("auto", "take live events or test ones; auto: live ones in production", choices="auto on off")
    stripe_currency: str = setting("usd", "what packages are paid in; its minor unit must be a hundredth")
    stripe_tolerance_seconds: int = setting(300, "how far the time in a Stripe signature may be off, either way", "s", least=1)
    operator_share_percent: int = setting(70, "of a job's credits; the platform keeps the rest", "%", most=100)
    fallback_render_seconds: int = setting(60, "render time priced when a scene was never measured", "s")
    render_price_per_hour: str = setting("0.5", "what a node's hour costs that renders for RNP-019, times its tier", "RENDER")
    tier_multipliers: str = setting("priority=2,economy=1", "what each tier of RNP-019 costs, times RENDER_PRICE_PER_HOUR")
    render_guess_seconds: int = setting(
        60, "RNP-019 estimates a Full HD frame with 128 samples at so long while its scene was never measured", "s", least=1
    )
    render_probes_a_day: int = setting(
        20, "scenes that an account may have probed in 24 hours, to see how long a frame takes; free", "scenes", most=100_000
    )
    image_guess_seconds: int = setting(20, "a 1024x1024 picture of a prompt takes so long, until some were made", "s", least=1)
    video_guess_seconds: int = setting(60, "and 24 frames of a 1280x720 video", "s", least=1)
    prompt_video_seconds: int = setting(60, "longest video that may be ordered with a prompt", "s", least=1)
    prompt_most_chars: int = setting(8000, "longest prompt of RNP-019", "characters", least=1, most=250_000)
    probe_wait_seconds: int = setting(5, "an estimate waits so long for each small frame of its probe", "s", most=60)
    economy_wait_seconds: int = setting(
        900, "a frame of the tier economy that waits longer goes before all others; such ones have half of the nodes' work", "s",
        least=1, most=86_400,
    )
    render_second_try_seconds: int = setting(
        120, "a frame waits so long for another node when those that are there failed at its job; then they may try again", "s",
        most=86_400,
    )
    pay_later_most: str = setting("5", "what an account may owe for renders with `pay_before_download`, open ones too", "RENDER")
    lease_seconds: int = setting(60, "an attempt's lease; progress renews it", "s")
    unit_max_seconds: int = setting(3600, "longest work on one frame", "s")
    unit_max_memory_bytes: int = setting(17_179_869_184, "memory one render may take", "bytes")
    max_failures: int = setting(3, "reported failures after which a job fails", "failures")
    max_attempts: int = setting(5, "attempts in all after which a job fails", "attempts")
    ring_again_seconds: int = setting(2, "an unclaimed unit is rung again after", "s")
    node_unhealthy_seconds: int = setting(90, "silence after which a node is UNHEALTHY", "s")
    reputation_head_start_seconds: int = setting(
        2, "by how much the best-reputed provider that is there sees a compute task before a newcomer does", "s", most=60
    )
    heartbeat_seconds: int = setting(30, "how often nodes and sockets report", "s")
    relay_ping_seconds: int = setting(30, "how often a node on the relay is pinged", "s", least=1, most=3600)
    relay_silence_seconds: int = setting(90, "without a pong for so long, a node's socket is closed (4002)", "s", least=1)
    relay_message_bytes: int = setting(1_048_576, "largest message of a node on the relay", "bytes", least=1024, most=2**26)
    relay_messages_per_second: int = setting(
        50, "messages a node may send, four seconds' worth at once; each 16 KiB count as one more", "messages/s", least=1
    )
    relay_waiting_bytes: int = setting(262_144, "what may wait for a slow reader; more closes its socket", "bytes", least=4096)
    relay_poll_seconds: int = setting(15, "how often a process looks for work that no doorbell told of", "s", least=1)
    worker_poll_seconds: int = setting(15, "how often a Cocoon worker is asked how it is", "s", least=1, most=3600)
    worker_timeout_seconds: int = setting(5, "longest wait for one answer of a Cocoon worker", "s", least=1, most=60)
    worker_answer_bytes: int = setting(1_048_576, "largest answer of a Cocoon worker", "bytes", least=4096, most=2**26)
    worker_late_seconds: int = setting(600, "a Cocoon worker that synced with TON so long ago is a warning", "s", least=1)
    worker_lost_seconds: int = setting(3600, "and so long ago is degraded", "s", least=1)
    worker_failing_percent: int = setting(10, "a larger share of failed requests in ten minutes is a warning", "%", most=100)
    worker_hot_celsius: int = setting(85, "a hotter GPU beside a Cocoon worker is a warning", "°C", least=1)
    worker_samples_hours: int = setting(3, "each poll of a Cocoon worker is kept so long", "h", least=2, most=720)
    worker_steps_hours: int = setting(72, "its figures by five minutes are kept so long", "h", least=50, most=8760)
    worker_history_days: int = setting(400, "its figures by the hour are kept so long", "days", least=31, most=36_500)
    metrics_scrape_seconds: int = setting(15, "how often the workers' exposition for /metrics is made", "s", least=1, most=600)
    metrics_waiting_bytes: int = setting(
        8_388_608, "what may wait for a slow reader of /ws/metrics; more closes its socket", "bytes", least=4096
    )
    task_log_lines: int = setting(10_000, "so many of a compute task's newest lines are kept", "lines", least=100, most=10**7)
    task_log_bytes: int = setting(4_194_304, "and how much they may be together", "bytes", least=65_536, most=2**30)
    task_log_kept_days: int = setting(30, "a task's log and figures are kept so long after its end", "days", least=1)
    task_streams_per_account: int = setting(100, "an account may follow tasks over so many sockets at once", "sockets", least=1)
    preview_pixels: int = setting(512, "longest side of a frame's watermarked preview", "pixels", least=64, most=4096)
    preview_kept_days: int = setting(14, "a preview is kept so long, then drawn anew when asked for", "days", least=1)
    job_event_kept_days: int = setting(30, "events of a render are kept so long after its end", "days", least=1)
    event_streams_per_account: int = setting(
        20, "streams of job events that an account may have open at once", "streams", least=1, most=10_000
    )
    event_streams_per_process: int = setting(
        400, "and an API process; gunicorn's worker serves 1000 connections in all", "streams", least=1, most=10_000
    )
    event_stream_seconds: int = setting(
        3600, "a stream of job events ends after this long; clients go on with Last-Event-ID", "s", least=10, most=86_400
    )
    event_heartbeat_seconds: int = setting(15, "and says so often that it is there", "s", least=1, most=60)
    task_follow_seconds: int = setting(20, "longest wait for a new line, where a log is asked for with `follow`", "s", most=60)
    inspection_wait_seconds: int = setting(2, "a quote waits so long for an idle node to open the scene; 0: not at all", "s")
    max_result_bytes: int = setting(268_435_456, "largest picture a node may upload", "bytes")
    file_url_seconds: int = setting(3600, "validity of signed file URLs", "s", least=1, most=604_800)
    otel_exporter_otlp_endpoint: str = setting(
        "", "collector that traces go to, OTLP over HTTP; empty: no traces. Other OTEL_… variables are OpenTelemetry's own"
    )
    accept_stub_signatures: bool = setting(
        False, "take what RoboCompute's own SDK sends for a wallet's signature, which proves nothing; refused in production"
    )
    signature_window_seconds: int = setting(300, "tolerance of signed timestamps, and life of a wallet's challenge", "s")

    @property
    def is_production(self) -> bool:
        return self.lightyard_env == "production"

    @property
    def home(self) -> Path:
        return Path(self.lightyard_home).resolve()

    @property
    def previous_secret_keys(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.secret_key_previous.split(",") if part.strip())

    @property
    def named_origins(self) -> tuple[str, ...]:
        """CORS_ORIGINS as browsers send them; `*` is one of them where it is set."""
        return tuple(part.strip().rstrip("/").lower() for part in self.cors_origins.split(",") if part.strip())

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/") or f"http://127.0.0.1:{self.port}"

    @property
    def seller(self) -> str:
        """Who issues invoices, line by line."""
        lines = [part.strip() for part in self.invoice_seller.split("|") if part.strip()]
        return "\n".join(lines or (f"Lightyard at {self.public_host}",))

    @property
    def broker(self) -> str:
        return self.broker_url or self.redis_url

    @property
    def doorbell_broker(self) -> str:
        """Where GPU hosts listen: beside the hub's own queue, or in a virtual host of their own."""
        if not self.rabbitmq_api_url:
            return self.broker
        return urlsplit(self.broker_url)._replace(path="/" + quote(self.rabbitmq_nodes_vhost, safe="")).geturl()

    @property
    def solana_rpc_urls(self) -> tuple[str, ...]:
        urls = tuple(part.strip() for part in self.solana_rpc_url.split(",") if part.strip())
        return urls or (f"http://127.0.0.1:{self.port + 899}",)

    @property
    def signer_folder(self) -> Path:
        return Path(self.signer_home or self.home / "signer").resolve()

    @property
    def signer_socket_path(self) -> Path:
        return Path(self.signer_socket or self.home / "signer.sock").resolve()

    @property
    def ton_api_urls(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.ton_api_url.split(",") if part.strip())

    @property
    def takes_ton(self) -> bool:
        """Whether any TON is configured."""
        return bool(self.ton_api_urls or self.ton_config)

    @property
    def own_bucket(self) -> str | None:
        """The bucket that this hub's files lie in; None for a folder."""
        address = urlsplit(self.storage)
        return address.netloc if address.scheme == "s3" else None

    @property
    def rates(self) -> str:
        return f"CREDIT={self.credit_usd.strip()},{self.rates_usd}"

    @property
    def takes_live_payments(self) -> bool:
        return self.is_production if self.stripe_live == "auto" else self.stripe_live == "on"

    @property
    def evm_rpc_urls(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.evm_rpc_url.split(",") if part.strip())

    @property
    def storage(self) -> str:
        return self.storage_url or f"file://{self.home / 'files'}"


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment, or from files that `NAME_FILE` names.

    Unknown variables are ignored, empty ones mean the default.
    """
    source = os.environ if environment is None else environment
    values = {
        item.name: read(item, text) for item in fields(Settings) if (text := given(item.name.upper(), source)) != ""
    }
    return Settings(**values)


def describe() -> list[dict[str, Any]]:
    """Every setting as its row of the table: name, type, unit, default, what it is for."""
    return [
        {
            "name": item.name.upper(),
            "type": " or ".join(item.metadata["choices"]) or TYPES[type(item.default)],
            "unit": item.metadata["unit"],
            "default": item.default,
            "description": item.metadata["description"],
        }
        for item in fields(Settings)
    ]
