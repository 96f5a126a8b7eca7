"""The settings: their table in the docs, and what production refuses to boot with."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.settings import as_markdown
from app.config import DEVELOPMENT_ANCHOR_KEY, DEVELOPMENT_SECRET, Settings, load
from app.config_checks import MAINNET_MINTS, check, unsafe, unsafe_signer, warnings
from app.errors import ConfigError
from app.factory import create_app
from app.wiring import build, malformed

ROOT = Path(__file__).parent.parent
SAFE = Settings(
    lightyard_env="production",
    secret_key="a-test-s-own-key-0123456789abcdef",  # long, and of many characters
    solana_rpc_url="https://rpc.example.org",
    database_url="postgresql://db/lightyard",
    redis_url="redis://cache/0",
)
UNSAFE = [
    ("SECRET_KEY", {"secret_key": DEVELOPMENT_SECRET}),
    ("SECRET_KEY", {"secret_key": "short"}),
    ("SECRET_KEY_PREVIOUS", {"secret_key_previous": f"{DEVELOPMENT_SECRET}, an-older-key-of-its-own-0123456789"}),
    ("METRICS_TOKEN", {"metrics_token": "metrics"}),
    ("STRIPE_WEBHOOK_SECRET", {"stripe_webhook_secret": "whsec_0123456789abcdef0123, whsec"}),
    ("STRIPE_LIVE", {"stripe_live": "off"}),
    ("S3_SECRET_ACCESS_KEY", {"s3_secret_access_key": "minioadmin"}),
    ("RATE_LIMITS", {"rate_limits": False}),
    ("TRUSTED_PROXIES", {"trusted_proxies": "10.0.0.0/8, 0.0.0.0/0"}),
    ("TRUSTED_PROXIES", {"trusted_proxies": "::/0"}),
    ("SIGNATURE_WINDOW_SECONDS", {"signature_window_seconds": 86_400}),
    ("PUBLIC_URL", {"public_url": "http://hub.example"}),
    ("S3_PUBLIC_URL", {"s3_public_url": "http://files.example.org"}),
    ("SIGNER_MAX_PAYOUT", {"signer_max_payout": "SOL=20,USDC=99999999"}),
    ("SIGNER_MAX_DAY", {"signer_max_day": "SOL=1000000"}),
    ("SIGNER_QUIET_SECONDS", {"signer_quiet_seconds": 0}),
    ("REDIS_URL", {"redis_url": "rediss://8.8.8.8/0"}),
    ("REDIS_URL", {"redis_url": "redis://:a-long-one@8.8.8.8/0"}),
    ("DATABASE_URL", {"database_url": "postgresql://hub:a-long-one@8.8.8.8/lightyard"}),
    ("BROKER_URL", {"broker_url": "amqp://hub:a-long-one@[2606:4700::1]//"}),
    ("BROKER_URL", {"broker_url": "amqp://guest:guest@rabbitmq//"}),
    ("CORS_ORIGINS", {"cors_origins": "app.example"}),
    ("CORS_ORIGINS", {"cors_origins": "https://app.example/path"}),
    ("CORS_ORIGINS", {"cors_origins": "null"}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "https://api.devnet.solana.com"}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "http://8.8.8.8:8899"}),
    ("TON_API_URL", {"ton_api_url": "https://testnet.toncenter.com/api/v2"}),
    ("DEBUG", {"debug": True}),
    ("CORS_ORIGINS", {"cors_origins": "*"}),
    ("CORS_ORIGINS", {"cors_origins": "https://a.example, *"}),
    ("ALLOW_PRIVATE_ENDPOINTS", {"allow_private_endpoints": True}),
    ("NODE_PROOF_REQUIRED", {"node_proof_required": False}),
    ("OPEN_NODES", {"open_nodes": True}),
    ("TEST_MINTS", {"test_mints": True}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": ""}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "http://127.0.0.2:8899"}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "https://rpc.example.org, http://localhost:8899"}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "http://[::1]:8899"}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "http://[::ffff:127.0.0.1]:8899"}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "http://127.1:8899"}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "http://0x7f000001:8899"}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "http://localhost.:8899"}),
    ("EVM_RPC_URL", {"evm_rpc_url": "https://evm.example.org,http://127.0.0.1:8545"}),
    ("TON_API_URL", {"ton_api_url": "https://ton.example.org/api/v2, http://localhost:8902/api/v2"}),
    ("TON_NETWORK", {"ton_api_url": "https://ton.example.org/api/v2", "ton_network": "testnet"}),
    *(
        ("RABBITMQ_API_URL", {"rabbitmq_api_url": url, "rabbitmq_public_url": "amqps://broker.example"})
        for url in ("http://hub:a-long-one@8.8.8.8:15672", "http://guest:guest@rabbitmq:15672")
    ),
    ("RABBITMQ_PUBLIC_URL", {"rabbitmq_api_url": "http://hub:pw@rabbit:15672", "rabbitmq_public_url": "amqp://broker.example"}),
    ("EVM_ANCHOR_KEY", {"evm_anchor_key": DEVELOPMENT_ANCHOR_KEY.upper().replace("0X", "")}),
    ("DATABASE_URL", {"database_url": ""}),
    ("REDIS_URL", {"redis_url": ""}),
]


def test_safe_settings_boot() -> None:
    assert unsafe(SAFE) == {}
    build(SAFE)  # connects to nothing yet


@pytest.mark.parametrize("name, change", UNSAFE)
def test_production_refuses_to_boot_and_names_the_setting(name: str, change: dict[str, object]) -> None:
    settings = replace(SAFE, **change)
    with pytest.raises(ConfigError) as refusal:
        build(settings)
    assert refusal.value.details == {"settings": [name]} and f"  {name} " in refusal.value.message


@pytest.mark.parametrize("name, change", UNSAFE)
def test_development_may_run_with_it(name: str, change: dict[str, object]) -> None:
    check(replace(SAFE, lightyard_env="development", **change))
    assert list(unsafe(replace(SAFE, lightyard_env="development", **change))) == [name], "check-config says so all the same"


DOUBTFUL = [
    ("SECRET_KEY", {"secret_key": "k" * 64}),
    ("SECRET_KEY", {"secret_key": "01234567" * 5}),
    ("PUBLIC_URL", {"public_url": ""}),
    ("PUBLIC_URL", {"public_url": "https://api.example.org", "public_host": "app.example.org"}),
    ("METRICS_TOKEN", {"metrics_token": ""}),
    ("TRUSTED_PROXIES", {"trusted_proxies": ""}),
    ("PUBLIC_HOST", {"public_host": "localhost"}),
    ("CORS_ORIGINS", {"cors_origins": "https://app.example.org, http://app.example.org:8080"}),
    ("SIGNATURE_WINDOW_SECONDS", {"signature_window_seconds": 900}),
    ("FILE_URL_SECONDS", {"file_url_seconds": 604_800}),
    ("SECRET_KEY_PREVIOUS", {"secret_key_previous": "an-older-key-of-its-own-0123456789"}),
    ("SOLANA_RPC_URL", {"solana_rpc_url": "https://rpc.example.org"}),
    ("SOLANA_MINTS", {"solana_mints": f"USDC={MAINNET_MINTS['USDT']}"}),
    ("DATABASE_URL", {"database_url": "postgresql://hub:word@db.example.org/lightyard"}),
    ("REDIS_URL", {"redis_url": "rediss://cache.example.org/0"}),
    ("DATABASE_ROLE", {"database_role": ""}),
    ("PAYOUT_COOL_OFF_HOURS", {"payout_cool_off_hours": 0}),
    ("UNSTAKE_DELAY_HOURS", {"unstake_delay_hours": 47}),
    ("LIGHTYARD_ENV", {"lightyard_env": "development"}),
]
GOOD = replace(
    SAFE,
    public_url="https://api.hub.example.org",
    public_host="hub.example.org",
    metrics_token="a-token-of-its-own-0123",
    trusted_proxies="10.0.0.5",
    database_role="lightyard_app",
    solana_rpc_url="https://rpc.example.org,https://rpc.example.net",
    cors_origins="https://app.example.org/",
)


@pytest.mark.parametrize("name, change", DOUBTFUL)
def test_what_may_be_right_is_a_warning_and_boots(name: str, change: dict[str, object]) -> None:
    assert warnings(GOOD, {}) == {} == unsafe(GOOD, {})
    settings = replace(GOOD, **change)
    assert list(warnings(settings, {})) == [name] and unsafe(settings, {}) == {}
    check(settings)


def test_networks_that_nobody_has_on_the_internet_may_be_trusted_whole() -> None:
    for own in ("10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, fe80::/10", "127.0.0.1, ::1", "fd12:3456::/32"):
        assert unsafe(replace(GOOD, trusted_proxies=own), {}) == {}, own
    for wide in ("0.0.0.0/0", "::/0", "2000::/3", "f000::/4", "128.0.0.0/1"):
        assert list(unsafe(replace(GOOD, trusted_proxies=wide), {})) == ["TRUSTED_PROXIES"], wide


def test_apps_and_extensions_have_origins_too() -> None:
    apps = "tauri://localhost, capacitor://localhost, chrome-extension://bfnaelmomeimhlpmgjnjophhpkkoljpa, https://[2001:db8::1]:8443"
    assert unsafe(replace(GOOD, cors_origins=apps), {}) == {}
    for odd in ("app.example", "https://app.example/path", "null", "https://", "https://user@app.example", "//app.example"):
        assert list(unsafe(replace(GOOD, cors_origins=odd), {})) == ["CORS_ORIGINS"], odd


@pytest.mark.parametrize("url", ["postgresql://10.1.2.3/x", "postgresql:///x?host=/run/postgresql", "postgresql://db/x"])
def test_a_server_in_a_network_of_one_s_own_needs_neither_tls_nor_password(url: str) -> None:
    settings = replace(GOOD, database_url=url)
    assert unsafe(settings, {}) == warnings(settings, {}) == {}


def test_what_tests_leave_in_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    left = {"LIGHTYARD_FAILPOINTS_FOLDER": "/tmp", "FLASK_DEBUG": "1", "GUNICORN_CMD_ARGS": "--forwarded-allow-ips=*"}
    assert list(unsafe(GOOD, left)) == list(left)
    assert list(unsafe_signer(Settings(lightyard_env="production"), left)) == list(left), "a signer has no secrets of the hub's"
    monkeypatch.setenv("LIGHTYARD_FAILPOINTS_FOLDER", "/tmp")
    with pytest.raises(ConfigError, match="LIGHTYARD_FAILPOINTS_FOLDER must not be set"):
        build(GOOD)


@pytest.mark.parametrize(
    "variable, text, message",
    [
        ("LIGHTYARD_ENV", "prod", "LIGHTYARD_ENV must be development or production, not 'prod'"),
        ("PORT", "0", "PORT must be from 1 to 65535, not 0"),
        ("NODES", "-1", "NODES must be from 0 to 64, not -1"),
        ("QUOTE_SECONDS", "-5", "QUOTE_SECONDS must be 0 or more, not -5"),
        ("PLATFORM_FEE_PERCENT", "101", "PLATFORM_FEE_PERCENT must be from 0 to 100, not 101"),
        ("RATE_LIMITS", "maybe", "RATE_LIMITS must be on or off, not 'maybe'"),
        ("MAX_FRAMES", "1e3", "MAX_FRAMES must be a whole number, not '1e3'"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(variable: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load({variable: text})
    assert refusal.value.message == message


@pytest.mark.parametrize(
    "name, change",
    [
        ("TRUSTED_PROXIES", {"trusted_proxies": "10.0.0.0/8, proxy.example"}),
        ("TRUSTED_PROXIES", {"trusted_proxies": "10.0.0.0/33"}),
        ("RATES_USD", {"rates_usd": "SOL=lots"}),
        ("RATES_USD", {"credit_usd": "0"}),
        ("CREDIT_PACKAGES", {"credit_packages": "cred10"}),
        ("DISPATCH_PRICES", {"dispatch_prices": "render=10"}),
        ("DISPATCH_PRICES", {"dispatch_prices": "other=-1"}),
        ("STORAGE_URL", {"storage_url": "ftp://host/folder"}),
        ("STORAGE_URL", {"storage_url": "file://folder/below"}),
        ("STORAGE_URL", {"storage_url": "file:///"}),
        ("STORAGE_URL", {"storage_url": "s3:///prefix"}),
        ("STORAGE_URL", {"storage_url": "s3://[bucket"}),
    ],
)
def test_a_malformed_setting_is_found_before_a_hub_is_built(name: str, change: dict[str, object]) -> None:
    settings = replace(SAFE, **change)
    found = malformed(settings)
    assert list(found) == [name], "once, under its own name"
    with pytest.raises(ConfigError) as refusal:
        create_app(settings)
    assert refusal.value.message == found[name], "in the words in which it would not boot"


def test_what_is_well_formed_is_not_malformed() -> None:
    assert malformed(SAFE) == malformed(Settings()) == {}
    good = {"trusted_proxies": "10.0.0.0/8, ::1", "storage_url": "s3://bucket/below", "credit_packages": "a=1@9.50"}
    assert malformed(replace(SAFE, **good)) == {}


def test_values_are_read_and_empty_ones_are_the_default() -> None:
    read = load({"PORT": "9000", "RATE_LIMITS": "off", "NODES": "", "PUBLIC_HOST": "render.example", "OTHER": "x"})
    assert (read.port, read.rate_limits, read.nodes, read.public_host) == (9000, False, 1, "render.example")


def test_the_table_in_the_docs_is_that_of_the_code() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()
    assert written == as_markdown(), "run `make settings`"
    for name in load({}).__slots__:
        assert f"| `{name.upper()}` |" in written


def test_any_setting_may_be_kept_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a secret = with $igns \n")
    (tmp_path / "port").write_text("9000\r\n")
    read = load({"SECRET_KEY_FILE": f"{tmp_path}/key", "PORT_FILE": f"{tmp_path}/port", "SECRET_KEY": "", "NODES_FILE": ""})
    assert (read.secret_key, read.port, read.nodes) == ("a secret = with $igns ", 9000, 1)


@pytest.mark.parametrize(
    ("content", "more", "reason"),
    [
        (None, {}, "can't be read: No such file or directory"),
        (b"\n", {}, "is empty"),
        (b"\xff\xfe", {}, "is not UTF-8 text"),
        (b"0123456789abcdef", {"METRICS_TOKEN": "two"}, "are both set"),
    ],
)
def test_a_file_that_says_nothing_is_never_taken_for_the_default(
    tmp_path: Path, content: bytes | None, more: dict[str, str], reason: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as refusal:
        load({"METRICS_TOKEN_FILE": str(path), **more})
    assert "METRICS_TOKEN_FILE" in refusal.value.message and "0123456789" not in refusal.value.message


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no plain file"):
        load({"SECRET_KEY_FILE": str(tmp_path)})


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="SECRET_KEY_FILE=.*pipe is no plain file"):
        load({"SECRET_KEY_FILE": str(tmp_path / "pipe")})


def test_the_mark_that_some_editors_put_before_a_text_is_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "url").write_bytes("\ufeffpostgresql://db/x\r\n".encode())
    assert load({"DATABASE_URL_FILE": str(tmp_path / "url")}).database_url == "postgresql://db/x"
