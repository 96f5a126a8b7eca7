"""Chooses the implementations by the settings, once per process."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from app import outbox
from app.adapters.chains.evm import EvmGateway
from app.adapters.chains.liteserver import Liteservers, read_config
from app.adapters.chains.solana import SolanaGateway
from app.adapters.chains.solana_payouts import SolanaPayouts
from app.adapters.chains.solana_settlements import SolanaSettlements
from app.adapters.chains.ton import TonGateway
from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.adapters.chains.ton_payouts import TonPayouts
from app.adapters.chains.toncenter import Toncenter
from app.adapters.courier import Courier, Line
from app.adapters.outbound import OutboundClient
from app.adapters.publisher import HUB_QUEUE, Publisher
from app.adapters.rabbitmq import RabbitMQ, check_addresses
from app.adapters.signals import Signals
from app.adapters.signer import SignerClient
from app.adapters.storage.local import LocalStore
from app.adapters.storage.port import ObjectStore
from app.adapters.storage.s3 import S3Store
from app.adapters.storage.s3_client import S3Access
from app.adapters.task_news import TaskNews
from app.config import Settings
from app.config_checks import check
from app.core import card_payments, estimates, pay_later, scene_estimates, solana_hub, ton_hub
from app.core.completions import Terms
from app.core.payout_addresses import AddressRules
from app.core.payout_proposals import Terms as ProposalTerms
from app.core.payouts import PayoutRules
from app.core.render_nodes import Terms as RenderNodeTerms
from app.core.stakes import StakeRules
from app.core.task_fit import Rules as TaskRules
from app.core.task_logs import LogLimits
from app.db import Database, make_engine
from app.errors import ConfigError
from app.flows import render_ordering
from app.flows.broker_access import Broker, Office
from app.flows.estimating import ProbeLimits
from app.flows.payouts import PayoutChain
from app.flows.results import Rules
from app.flows.x402 import Facilitator
from app.values import signatures
from app.values.money import Money
from app.values.networks import read_networks
from app.values.payouts import OPENS_FROM, SOLANA, read_limits, read_minimums, read_mints
from app.values.prices import read_prices
from app.values.prompt_times import Guesses
from app.values.prompts import Limits as PromptLimits
from app.values.rates import RateSource, read_table
from app.values.render_settings import Limits as RenderLimits
from app.values.render_tiers import read_tariff
from app.values.usd_rates import UsdRates, read_days


@dataclass(frozen=True, slots=True)
class Hub:
    """Everything that a view, a task or a command may need, ready made."""

    settings: Settings
    database: Database
    store: ObjectStore
    chain: SolanaGateway
    evm: EvmGateway
    ton: TonGateway
    outbound: OutboundClient
    cache: redis.Redis
    signals: Signals
    task_news: TaskNews
    rates: RateSource
    usd_rates: UsdRates
    celery: Celery
    card_terms: card_payments.Terms
    prices: Mapping[str, Money]
    payout_chains: tuple[PayoutChain, ...]
    settlements: SolanaSettlements
    signer: SignerClient
    payout_rules: PayoutRules
    node_broker: Broker | None

    @property
    def facilitator(self) -> Facilitator:
        """Who settles payments by x402 here."""
        return Facilitator(self.database, self.settlements, self.chain, self.signer)

    @property
    def broker_office(self) -> Office:
        """What granting GPU hosts their way to the broker takes."""
        return Office(self.database, self.node_broker, self.settings.secret_key)

    @property
    def address_rules(self) -> AddressRules:
        """How payout addresses are proven here."""
        settings = self.settings
        proofs = {SOLANA: signatures.verify}
        return AddressRules(settings.payout_cool_off_hours, settings.signature_window_seconds, proofs, settings.ton_network)

    @property
    def stake_rules(self) -> StakeRules:
        """What providers must stake here."""
        return StakeRules(read_minimums(self.settings.minimum_stake, "MINIMUM_STAKE"), self.settings.unstake_delay_hours)

    @property
    def task_rules(self) -> TaskRules:
        """Who gets compute tasks here."""
        return TaskRules(self.stake_rules.minimums, self.settings.reputation_head_start_seconds)

    @property
    def estimate_terms(self) -> estimates.Terms:
        """What renders cost here, and who renders them."""
        settings = self.settings
        tariff = read_tariff(settings.render_price_per_hour, settings.tier_multipliers)
        wait, guess = settings.economy_wait_seconds, settings.render_guess_seconds
        nodes = RenderNodeTerms(settings.node_unhealthy_seconds, settings.open_nodes, guess, wait)
        guesses = Guesses(settings.image_guess_seconds, settings.video_guess_seconds)
        return estimates.Terms(tariff, nodes, settings.unit_max_seconds, guesses)

    @property
    def prompt_limits(self) -> PromptLimits:
        """What is made of prompts here."""
        settings = self.settings
        return PromptLimits(settings.prompt_most_chars, settings.max_pixels, settings.prompt_video_seconds)

    @property
    def scene_estimate_terms(self) -> scene_estimates.Terms:
        """What estimates are made of here."""
        limits = RenderLimits(self.settings.max_pixels, self.settings.max_samples)
        return scene_estimates.Terms(self.estimate_terms, self.rates, limits)

    @property
    def probe_limits(self) -> ProbeLimits:
        """How much of probing is free here."""
        return ProbeLimits(self.settings.render_probes_a_day, self.settings.probe_wait_seconds)

    @property
    def render_terms(self) -> render_ordering.Terms:
        """What agents order here."""
        settings = self.settings
        limits = RenderLimits(settings.max_pixels, settings.max_samples)
        return render_ordering.Terms(
            self.estimate_terms,
            self.rates,
            limits,
            self.prompt_limits,
            settings.max_frames,
            settings.quote_seconds,
            pay_later.read_most(settings.pay_later_most),
            solana_hub.read(settings),
        )

    @property
    def proposal_terms(self) -> ProposalTerms:
        """How Cocoon's earnings are proposed for payout."""
        settings = self.settings
        period = timedelta(hours=settings.payout_period_hours)
        return ProposalTerms(period, Decimal(settings.participant_share_percent), self.payout_rules.minimums["TON"])

    @property
    def log_limits(self) -> LogLimits:
        """What is kept of a task's log."""
        return LogLimits(self.settings.task_log_lines, self.settings.task_log_bytes)

    @property
    def result_rules(self) -> Rules:
        """How this hub judges results."""
        settings = self.settings
        terms = Terms(settings.operator_share_percent, self.rates)
        limits = (settings.max_failures, settings.max_attempts)
        return Rules(
            limits,
            settings.max_result_bytes,
            settings.max_pixels,
            settings.max_run_result_bytes,
            terms,
            settings.max_task_result_bytes,
            settings.max_video_bytes,
        )


def make_celery(settings: Settings) -> Celery:
    """The hub's producer side of a broker; no results, JSON only, nothing declared but its own queue."""
    celery = Celery("lightyard", broker=settings.broker)
    celery.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue=HUB_QUEUE,
        broker_connection_retry_on_startup=True,
        task_create_missing_queues=True,
        timezone="UTC",
        **(_on_rabbitmq() if is_rabbitmq(settings.broker) else _on_redis()),
    )
    if settings.broker.startswith("amqps://"):  # by itself the library takes any host's certificate
        celery.conf.broker_use_ssl = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
    return celery


def is_rabbitmq(url: str) -> bool:
    return url.startswith(("amqp://", "amqps://", "pyamqp://"))


def _on_redis() -> dict[str, object]:
    """A broker that is away is found out at once: nobody's request waits for a doorbell that a sweep rings again."""
    options = {
        "visibility_timeout": 3600,
        "socket_connect_timeout": 2,
        "socket_timeout": 3,  # one that is there and does not answer, too; longer than a worker's blocking read (1 s)
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
    }
    return {"broker_transport_options": options}


def _on_rabbitmq() -> dict[str, object]:
    """Queues that outlive a broker, messages that are there once confirmed, and a worker that comes back from anything."""
    return {
        "task_default_queue_type": "quorum",
        "task_create_missing_queue_type": "quorum",
        "broker_transport_options": {"confirm_publish": True},
        "broker_connection_timeout": 2,
        "broker_heartbeat": 30,
        "broker_channel_error_retry": True,  # a time-out of the broker's, a queue that was deleted
        "worker_consumer": "workers.consumer:HubConsumer",
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }


def _publisher(settings: Settings, celery: Celery, cache: redis.Redis) -> Publisher:
    if not is_rabbitmq(settings.broker):
        return Publisher(celery, cache, is_broker=settings.broker == settings.redis_url)
    # Where registrations make the hosts' queues, a ring makes none: a stranger may name any kind of work.
    bells = Line(celery, settings.doorbell_broker, declares=not settings.rabbitmq_api_url)
    return Publisher(celery, cache, Courier({HUB_QUEUE: Line(celery, settings.broker)}, bells))


def node_broker(settings: Settings) -> RabbitMQ | None:
    """Who gives GPU hosts users and queues; nobody where RABBITMQ_API_URL is not set."""
    api_url, broker_url, public_url = settings.rabbitmq_api_url, settings.broker_url, settings.rabbitmq_public_url
    if not api_url:
        return None
    check_addresses(api_url, broker_url, public_url)
    return RabbitMQ(api_url, broker_url, public_url, settings.rabbitmq_nodes_vhost, settings.rabbitmq_user_connections)


def build(settings: Settings) -> Hub:
    """Connect the parts; nothing is called yet, so a hub boots while its chain or cache is away."""
    check(settings)
    for name in ("database_url", "redis_url"):
        if not getattr(settings, name):
            raise ConfigError(f"{name.upper()} is not set; `lightyard up` starts embedded servers and sets it")
    celery = make_celery(settings)
    cache = connect_cache(settings.redis_url)
    solana = _solana_payouts(settings)
    hub = Hub(
        settings=settings,
        database=Database(make_engine(settings)),
        store=make_store(settings),
        chain=SolanaGateway(settings.solana_rpc_urls, settings.solana_timeout_seconds),
        evm=EvmGateway(
            settings.evm_rpc_urls, settings.evm_timeout_seconds, settings.evm_anchor_key, settings.evm_max_fee_gwei
        ),
        ton=_ton(settings),
        outbound=OutboundClient(allow_private=settings.allow_private_endpoints),
        cache=cache,
        signals=Signals(cache),
        task_news=TaskNews(cache),
        rates=read_table(settings.rates),
        usd_rates=read_days(settings.rates_usd_since, read_table(settings.rates)),
        celery=celery,
        card_terms=card_payments.read_terms(settings),
        prices=read_prices(settings.dispatch_prices),
        payout_chains=_payout_chains(settings, solana),
        settlements=SolanaSettlements(
            settings.solana_rpc_urls, settings.solana_timeout_seconds, solana, settings.x402_network
        ),
        signer=SignerClient(settings.signer_socket_path),
        payout_rules=PayoutRules(
            read_minimums(settings.minimum_payout),
            settings.payout_cool_off_hours,
            read_minimums(settings.payout_opens_account_from, OPENS_FROM),
        ),
        node_broker=node_broker(settings),
    )
    outbox.connect(_publisher(settings, celery, cache))
    return hub


def _ton(settings: Settings) -> TonGateway:
    """Liteservers where a configuration of them is given, else toncenter, which may be none at all."""
    if settings.ton_config:
        folder = settings.home / "tonlib"
        return CheckedTonGateway(Liteservers(Path(settings.ton_config), folder, settings.ton_timeout_seconds))
    return CheckedTonGateway(Toncenter(settings.ton_api_urls, settings.ton_timeout_seconds, settings.ton_api_key))


def _solana_payouts(settings: Settings) -> SolanaPayouts:
    mints, lag_seconds = read_mints(settings.solana_mints), settings.payout_lag_seconds
    opens_from = read_minimums(settings.payout_opens_account_from, OPENS_FROM)
    return SolanaPayouts(settings.solana_rpc_urls, settings.solana_timeout_seconds, mints, lag_seconds, opens_from)


def _payout_chains(settings: Settings, solana: SolanaPayouts) -> tuple[PayoutChain, ...]:
    """Chains that payouts leave on; one gateway for each TON server, because they must agree."""
    if settings.ton_config:
        gateways = [_ton(settings)]
    else:
        servers = [Toncenter((url,), settings.ton_timeout_seconds, settings.ton_api_key) for url in settings.ton_api_urls]
        gateways = [CheckedTonGateway(server) for server in servers]
    if not gateways:
        return (solana,)
    return solana, TonPayouts(gateways, settings.payout_lag_seconds, settings.payout_valid_seconds)


def connect_cache(url: str) -> redis.Redis:
    """Valkey. One more try for a connection that went stale, and no waiting: what it keeps, everybody can do without a while."""
    retry = Retry(NoBackoff(), 1)
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=5, socket_connect_timeout=2, retry=retry)


def malformed(settings: Settings) -> dict[str, str]:
    """Settings with a form of their own that don't keep to it, each with what it should be; with one of them no hub boots."""
    readers: dict[str, Callable[[], object]] = {
        "TRUSTED_PROXIES": lambda: read_networks(settings.trusted_proxies),
        "RATES_USD": lambda: read_table(settings.rates),
        "RATES_USD_SINCE": lambda: read_days(settings.rates_usd_since, read_table(settings.rates)),
        "CREDIT_PACKAGES": lambda: card_payments.read_terms(settings),
        "DISPATCH_PRICES": lambda: read_prices(settings.dispatch_prices),
        "TIER_MULTIPLIERS": lambda: read_tariff(settings.render_price_per_hour, settings.tier_multipliers),
        pay_later.SETTING: lambda: pay_later.read_most(settings.pay_later_most),
        "STORAGE_URL": lambda: _storage_address(settings),
        "MINIMUM_PAYOUT": lambda: read_minimums(settings.minimum_payout),
        "MINIMUM_STAKE": lambda: read_minimums(settings.minimum_stake, "MINIMUM_STAKE"),
        "X402_MINIMUM": lambda: read_minimums(settings.x402_minimum, "X402_MINIMUM"),
        OPENS_FROM: lambda: read_minimums(settings.payout_opens_account_from, OPENS_FROM),
        "SOLANA_MINTS": lambda: read_mints(settings.solana_mints),
        "SIGNER_MAX_PAYOUT": lambda: read_limits("SIGNER_MAX_PAYOUT", settings.signer_max_payout),
        "SIGNER_MAX_DAY": lambda: read_limits("SIGNER_MAX_DAY", settings.signer_max_day),
        "SOLANA_WALLET": lambda: solana_hub.read_wallet(settings),
        "TON_WALLET": lambda: ton_hub.read_wallet(settings),
        "TON_JETTON_MASTERS": lambda: ton_hub.read_masters(settings),
        "RABBITMQ_API_URL": lambda: check_addresses(
            settings.rabbitmq_api_url, settings.broker_url, settings.rabbitmq_public_url
        ),
        "TON_CONFIG": lambda: read_config(Path(settings.ton_config)) if settings.ton_config else None,
    }
    problems: dict[str, str] = {}
    for name, read in readers.items():
        try:
            read()
        except ConfigError as error:
            if error.message not in problems.values():  # packages are priced by the rates: said once is enough
                problems[name] = error.message
    return problems


def _storage_address(settings: Settings) -> SplitResult:
    try:
        address = urlsplit(settings.storage)
    except ValueError:
        address = SplitResult("", "", "", "", "")
    is_folder = address.scheme == "file" and address.path.strip("/") and address.netloc in ("", "localhost")
    if not (is_folder or (address.scheme == "s3" and address.netloc)):
        raise ConfigError("STORAGE_URL must be file:///folder or s3://bucket/prefix")
    return address


def make_store(settings: Settings) -> ObjectStore:
    address = _storage_address(settings)
    if address.scheme == "file":
        folder, older = Path(address.path), settings.previous_secret_keys
        return LocalStore(folder, settings.secret_key, settings.base_url, settings.max_upload_bytes, older)
    return S3Store(
        S3Access(
            bucket=address.netloc,
            prefix=address.path,
            endpoint_url=settings.s3_endpoint_url,
            public_url=settings.s3_public_url,
            region=settings.s3_region,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=settings.s3_secret_access_key,
            is_path_style=settings.s3_path_style,
        )
    )
