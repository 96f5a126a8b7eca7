"""What production refuses to boot with, and what it only warns of: each setting by its name, with what mends it.

Refused is what is known to be unsafe. A warning is for what may be right: a server's name may lead into a network of one's own, a
password may stand elsewhere than in the address.
"""

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs, urlsplit

from app.config import DEVELOPMENT_ANCHOR_KEY, DEVELOPMENT_SECRET, Settings
from app.errors import ConfigError
from app.values.hosts import Reach, is_here, reach_of
from app.values.networks import Network, read_networks
from app.values.payouts import read_limits
from app.values.rates import read_table

Finding = tuple[str, bool, str]
"""(setting, whether it is so, what is wrong and what mends it)."""

KEY_CHARS, TOKEN_CHARS, FEWEST_CHARACTERS = 32, 16, 8
NEW_KEY = "32 characters or more, for one `openssl rand -hex 32`"
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")
WIDEST_PREFIX = {4: 8, 6: 16}
OWN_NETWORKS = tuple(map(ipaddress.IPv6Network, ("fc00::/7", "fe80::/10")))  # wide, and nobody's on the internet
ABSURD_PAYOUT_USD, ABSURD_DAY_USD = 1_000_000, 10_000_000
LONGEST_WINDOW_SECONDS, USUAL_WINDOW_SECONDS = 3600, 300
SOLANA_TRANSACTION_SECONDS = 120  # what was signed on Solana has ended after 150 blocks, well within it
PLAYGROUND = re.compile(r"(^|[.-])(devnet|testnet|sepolia|holesky|hoodi|goerli|amoy)([.-]|$)")
KNOWN_PASSWORDS = {"guest", "postgres", "password", "redis", "rabbitmq", "minioadmin", "admin", "changeme", "secret"}
MAINNET_MINTS = dict(pair.split("=") for pair in Settings().solana_mints.split(","))


def unsafe(settings: Settings, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Each setting that production must not run with, and what is wrong with it."""
    found = os.environ if environment is None else environment
    return _true(
        *_keys(settings),
        *_doors(settings),
        *_chains(settings),
        *_servers(settings, found),
        *_signing(settings),
        *_left_over(found),
    )


def unsafe_signer(settings: Settings, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The same for the signer, which has few settings and none of the hub's secrets."""
    return _true(*_signing(settings), *_left_over(os.environ if environment is None else environment))


def warnings(settings: Settings, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Each setting that production may run with, and that its operator should think about."""
    found = os.environ if environment is None else environment
    return _true(
        *_doubtful_doors(settings), *_doubtful_chains(settings), *_doubtful_servers(settings, found), *_doubtful_money(settings)
    )


def check(settings: Settings) -> None:
    """Refuse to boot production with an unsafe setting."""
    _refuse(unsafe(settings) if settings.is_production else {})


def check_signer(settings: Settings) -> None:
    """Refuse to start production's signer with an unsafe setting of its own."""
    _refuse(unsafe_signer(settings) if settings.is_production else {})


def _refuse(problems: Mapping[str, str]) -> None:
    if problems:
        lines = "".join(f"\n  {name} {reason}" for name, reason in problems.items())
        raise ConfigError(f"LIGHTYARD_ENV=production refuses these settings:{lines}", details={"settings": list(problems)})


def _true(*findings: Finding) -> dict[str, str]:
    """What is so; of several findings about one setting, the first."""
    found: dict[str, str] = {}
    for name, is_so, reason in findings:
        if is_so:
            found.setdefault(name, reason)
    return found


def _keys(settings: Settings) -> Iterable[Finding]:
    key, older = settings.secret_key, settings.previous_secret_keys
    weak = [each for each in older if each == DEVELOPMENT_SECRET or len(each) < KEY_CHARS or _is_guessable(each)]
    yield "SECRET_KEY", key == DEVELOPMENT_SECRET or len(key) < KEY_CHARS, f"is the default or too short: {NEW_KEY}"
    yield "SECRET_KEY_PREVIOUS", bool(weak), "has a default, short or guessable key: tokens could be forged with it; leave it out"
    short = 0 < len(settings.metrics_token) < TOKEN_CHARS
    yield "METRICS_TOKEN", short, f"can be guessed: {TOKEN_CHARS} characters or more"
    secrets = [part.strip() for part in settings.stripe_webhook_secret.split(",") if part.strip()]
    guessable = any(len(part) < TOKEN_CHARS for part in secrets)
    yield "STRIPE_WEBHOOK_SECRET", guessable, "can be guessed, and credits had for nothing: take Stripe's own (whsec_…)"
    yield "EVM_ANCHOR_KEY", _is_known_key(settings.evm_anchor_key), "is the key that every local chain gives money to"
    known = settings.s3_secret_access_key in KNOWN_PASSWORDS
    yield "S3_SECRET_ACCESS_KEY", known, "is a server's default, which everybody knows: make a key of the hub's own"


def _doors(settings: Settings) -> Iterable[Finding]:
    """What strangers may do, and how they come in."""
    origins = settings.named_origins
    odd = [origin for origin in origins if origin != "*" and not ORIGIN.fullmatch(origin)]
    yield "DEBUG", settings.debug, "must be off"
    yield "CORS_ORIGINS", "*" in settings.cors_origins, "must name the origins, not *"
    yield "CORS_ORIGINS", bool(odd), f"must be origins such as https://app.example, without a path: not {', '.join(odd)}"
    yield "ALLOW_PRIVATE_ENDPOINTS", settings.allow_private_endpoints, "must be off: users' URLs could reach your network"
    yield "NODE_PROOF_REQUIRED", not settings.node_proof_required, "must be on: anybody could pose as a node"
    stubs = settings.accept_stub_signatures
    yield "ACCEPT_STUB_SIGNATURES", stubs, "must be off: an API key alone would do where the wallet must sign, too"
    yield "OPEN_NODES", settings.open_nodes, "must be off: nodes of nobody would get work"
    yield "RATE_LIMITS", not settings.rate_limits, "must be on: passwords could be guessed without end"
    wide = [str(network) for network in _networks(settings) if _is_wide(network)]
    yield "TRUSTED_PROXIES", bool(wide), (
        f"trusts half the internet ({', '.join(wide)}), so anybody's X-Forwarded-For would count: name your proxies' addresses")
    window = settings.signature_window_seconds
    yield "SIGNATURE_WINDOW_SECONDS", window > LONGEST_WINDOW_SECONDS, (
        f"lets a signature that somebody overheard be used for {window} s: {USUAL_WINDOW_SECONDS} is usual")
    for name, url in (("PUBLIC_URL", settings.public_url), ("S3_PUBLIC_URL", settings.s3_public_url)):
        is_open = url.lower().startswith("http://") and reach_of(url) is not Reach.PRIVATE
        yield name, is_open, "must be https: addresses of files, scenes and tokens would travel in the open"


def _chains(settings: Settings) -> Iterable[Finding]:
    """Money that is none."""
    yield "TEST_MINTS", settings.test_mints, "must be off: test money would count"
    rpc_urls = settings.solana_rpc_urls
    yield "SOLANA_RPC_URL", any(map(is_here, rpc_urls)), "must be an RPC of the real chain, not a local one"
    yield "SOLANA_RPC_URL", any(map(_is_playground, rpc_urls)), "must be an RPC of the mainnet: test money would count"
    yield "EVM_RPC_URL", any(map(is_here, settings.evm_rpc_urls)), "must be an RPC of a real chain, not a local one"
    yield "TON_API_URL", any(map(is_here, settings.ton_api_urls)), "must be a server of a real chain, not a local one"
    is_toy = any(map(_is_playground, settings.ton_api_urls))
    yield "TON_API_URL", is_toy, "must be a server of the mainnet: test money would count"
    is_test = settings.takes_ton and settings.ton_network != "mainnet"
    yield "TON_NETWORK", is_test, "must be mainnet: test money would count"
    yield "STRIPE_LIVE", settings.stripe_live == "off", "must be auto or on: test cards would buy credits"


def _servers(settings: Settings, environment: Mapping[str, str]) -> Iterable[Finding]:
    """Servers of one's own that others can reach."""
    yield "DATABASE_URL", not settings.database_url, "must be set: the embedded PostgreSQL is for development"
    yield "REDIS_URL", not settings.redis_url, "must be set: the embedded Valkey is for development"
    for name, url in _addresses(settings):
        is_open = reach_of(url) is Reach.PUBLIC
        yield name, is_open and not _is_encrypted(url, environment), "is on the internet without TLS: use it, or a private net"
        yield name, is_open and not _has_password(url, environment), "is a server on the internet without a password: set one"
        yield name, not is_here(url) and _has_known_password(url), "has a password that everybody knows: set another"
    is_plain = bool(settings.rabbitmq_api_url) and not settings.rabbitmq_public_url.startswith("amqps://")
    yield "RABBITMQ_PUBLIC_URL", is_plain, (
        "must be amqps://host:5671: hosts' passwords and doorbells would cross networks in the clear")
    for name, urls in _rpc_addresses(settings):
        plain = any(url.lower().startswith("http://") and reach_of(url) is Reach.PUBLIC for url in urls)
        yield name, plain, "must be https: who sits between could show payments that were never made"


def _signing(settings: Settings) -> Iterable[Finding]:
    """What the signer would do that it should not."""
    yield "SIGNER_MAX_PAYOUT", _exceeds(settings, "SIGNER_MAX_PAYOUT", ABSURD_PAYOUT_USD), (
        f"is worth more than {ABSURD_PAYOUT_USD:,} US dollars: no limit at all; a thief takes one payout of it")
    yield "SIGNER_MAX_DAY", _exceeds(settings, "SIGNER_MAX_DAY", ABSURD_DAY_USD), (
        f"is worth more than {ABSURD_DAY_USD:,} US dollars: no limit at all; a thief takes a day of it")
    least = max(settings.payout_valid_seconds, SOLANA_TRANSACTION_SECONDS)
    yield "SIGNER_QUIET_SECONDS", settings.signer_quiet_seconds < least, (
        f"must be {least} or more: after a lost disk a payout could be signed twice")


def _left_over(environment: Mapping[str, str]) -> Iterable[Finding]:
    """What tests and debugging leave in an environment."""
    yield "LIGHTYARD_FAILPOINTS_FOLDER", bool(environment.get("LIGHTYARD_FAILPOINTS_FOLDER")), (
        "must not be set: a file in that folder ends the process; it is for crash tests")
    is_debug = environment.get("FLASK_DEBUG", "").lower() not in ("", "0", "false", "no")
    yield "FLASK_DEBUG", is_debug, "must not be set"
    yield "GUNICORN_CMD_ARGS", "forwarded" in environment.get("GUNICORN_CMD_ARGS", ""), (
        "must not say whose headers are believed: that is TRUSTED_PROXIES' business")


def _doubtful_doors(settings: Settings) -> Iterable[Finding]:
    is_short = len(settings.secret_key) < KEY_CHARS
    yield "SECRET_KEY", not is_short and _is_guessable(settings.secret_key), f"is a few characters over and over: {NEW_KEY}"
    yield "PUBLIC_URL", not settings.public_url, "is empty: addresses of files would begin with http://127.0.0.1"
    yield "PUBLIC_URL", _is_another_place(settings), (
        f"is not on PUBLIC_HOST ({settings.public_host}), which wallets sign in to: right only where your pages are there")
    yield "PUBLIC_HOST", settings.public_host == "localhost", "is localhost: wallets sign in to that; set the hub's domain"
    yield "METRICS_TOKEN", not settings.metrics_token, "is empty: whoever reaches /metrics reads turnover and balances"
    yield "TRUSTED_PROXIES", not settings.trusted_proxies.strip(), (
        "is empty: behind a proxy all clients share one rate limit, and https is not known of; name the proxy's address")
    plain = [origin for origin in settings.named_origins if origin.startswith("http://")]
    yield "CORS_ORIGINS", bool(plain), f"has pages that can be changed on their way: {', '.join(plain)}"
    window = settings.signature_window_seconds
    yield "SIGNATURE_WINDOW_SECONDS", window > USUAL_WINDOW_SECONDS, (
        f"is {window} s: an overheard signature is good for so long; {USUAL_WINDOW_SECONDS} is usual")
    yield "FILE_URL_SECONDS", settings.file_url_seconds > 86_400, "is more than a day: whoever finds an address has the file"
    yield "STRIPE_TOLERANCE_SECONDS", settings.stripe_tolerance_seconds > 3600, "is more than an hour: 300 is Stripe's own"
    yield "MAX_JSON_BYTES", settings.max_json_bytes > 2**24, "is more than 16 MiB: bodies are read into memory, many at a time"
    yield "SECRET_KEY_PREVIOUS", bool(settings.previous_secret_keys), (
        "is set: take it away once what was signed under it has ended (7 days), see docs/security.md")


def _doubtful_chains(settings: Settings) -> Iterable[Finding]:
    for name, urls in _rpc_addresses(settings):
        plain = any(url.lower().startswith("http://") and reach_of(url) is Reach.NAMED for url in urls)
        yield name, plain, "is http: unless it stays in your network, who sits between could show payments that were never made"
    yield "SOLANA_RPC_URL", len(settings.solana_rpc_urls) < 2, "is one server: for large sums name two, which must agree"
    yield "TON_API_URL", len(settings.ton_api_urls) == 1, "is one server, without proofs: for large sums name two that must agree"
    yield "EVM_RPC_URL", any(map(_is_playground, settings.evm_rpc_urls)), "is a test network: roots there may be gone one day"
    mints = (pair.partition("=") for pair in settings.solana_mints.split(","))
    foreign = [asset for asset, _, mint in mints if MAINNET_MINTS.get(asset.strip(), mint) != mint]
    yield "SOLANA_MINTS", bool(foreign), f"has other mints than the mainnet's for {', '.join(foreign)}: is that money?"
    yield "EVM_MAX_FEE_GWEI", settings.evm_max_fee_gwei > 5000, "is more than 5000 gwei: an anchor may cost a fortune"


def _doubtful_servers(settings: Settings, environment: Mapping[str, str]) -> Iterable[Finding]:
    for name, url in _addresses(settings):
        is_named = reach_of(url) is Reach.NAMED
        yield name, is_named and not _is_encrypted(url, environment), "has no TLS: right only inside a network of your own"
        yield name, is_named and not _has_password(url, environment), "has no password: right only inside a network of your own"
    is_plain = settings.s3_endpoint_url.lower().startswith("http://") and reach_of(settings.s3_endpoint_url) is not Reach.PRIVATE
    yield "S3_ENDPOINT_URL", is_plain, "is http: scenes and results travel in the open"
    yield "DATABASE_ROLE", not settings.database_role, "is empty: the hub could change its ledger; lightyard_app can only add"
    yield "STATEMENT_TIMEOUT_SECONDS", settings.statement_timeout_seconds == 0, "is 0: a statement may hold its locks for ever"
    yield "SSLKEYLOGFILE", bool(environment.get("SSLKEYLOGFILE")), "is set: the keys of TLS connections are written there"
    yield "LIGHTYARD_ENV", not settings.is_production and reach_of(settings.base_url) is not Reach.PRIVATE, (
        "is development at a public address: nothing unsafe is refused")


def _doubtful_money(settings: Settings) -> Iterable[Finding]:
    yield "PAYOUT_COOL_OFF_HOURS", settings.payout_cool_off_hours == 0, (
        "is 0: who steals a sign-in has the next payout; 24 leaves its owner a day to notice")
    yield "UNSTAKE_DELAY_HOURS", settings.unstake_delay_hours < settings.dispute_hours, (
        "is less than DISPUTE_HOURS: a stake is gone before the work that it stands for can be disputed")
    is_hasty = bool(settings.evm_rpc_url) and settings.anchor_confirmations < 3
    yield "ANCHOR_CONFIRMATIONS", is_hasty, "is less than 3 blocks: chains go back"


def _is_guessable(key: str) -> bool:
    """Whether a key is made of few characters, or of one part again and again."""
    return bool(key) and (len(set(key)) < FEWEST_CHARACTERS or key in (key + key)[1:-1])


def _is_known_key(key: str) -> bool:
    return key.strip().lower().removeprefix("0x") == DEVELOPMENT_ANCHOR_KEY.removeprefix("0x")


def _is_another_place(settings: Settings) -> bool:
    host, own = urlsplit(settings.public_url).hostname or "", settings.public_host.lower()
    is_set = bool(settings.public_url) and own != "localhost"
    return is_set and host != own and not host.endswith(f".{own}")


def _networks(settings: Settings) -> list[Network]:
    try:
        return read_networks(settings.trusted_proxies)
    except ConfigError:
        return []  # said by what reads it


def _is_wide(network: Network) -> bool:
    is_own = isinstance(network, ipaddress.IPv6Network) and any(map(network.subnet_of, OWN_NETWORKS))
    return network.prefixlen < WIDEST_PREFIX[network.version] and not is_own


def _is_playground(url: str) -> bool:
    return bool(PLAYGROUND.search(urlsplit(url).hostname or ""))


def _exceeds(settings: Settings, name: str, most_usd: int) -> bool:
    """Whether one asset's limit is worth more."""
    try:
        limits, rates = read_limits(name, getattr(settings, name.lower())), read_table(settings.rates)
        return any(limit.decimal * rates.usd(asset) > most_usd for asset, limit in limits.items())
    except ConfigError:
        return False  # said by what reads it


def _addresses(settings: Settings) -> list[tuple[str, str]]:
    named = [(name, getattr(settings, name.lower())) for name in ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "RABBITMQ_API_URL")]
    return [(name, part.strip()) for name, urls in named for part in urls.split(";") if part.strip()]


def _rpc_addresses(settings: Settings) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("SOLANA_RPC_URL", settings.solana_rpc_urls),
        ("EVM_RPC_URL", settings.evm_rpc_urls),
        ("TON_API_URL", settings.ton_api_urls),
    ]


def _is_encrypted(url: str, environment: Mapping[str, str]) -> bool:
    address = urlsplit(url)
    if address.scheme.startswith("postgres"):
        mode = parse_qs(address.query).get("sslmode", [environment.get("PGSSLMODE", "")])[-1]
        return mode in ("require", "verify-ca", "verify-full")
    is_asked_for = parse_qs(address.query).get("ssl", ["0"])[-1].lower() in ("1", "true")
    return is_asked_for or address.scheme in ("rediss", "amqps", "https")


def _has_password(url: str, environment: Mapping[str, str]) -> bool:
    """PostgreSQL's may stand elsewhere."""
    address = urlsplit(url)
    elsewhere = environment.get("PGPASSWORD") or environment.get("PGPASSFILE") or parse_qs(address.query).get("sslcert")
    return bool(address.password or (address.scheme.startswith("postgres") and elsewhere))


def _has_known_password(url: str) -> bool:
    return (urlsplit(url).password or "").lower() in KNOWN_PASSWORDS
