"""The signer: its own limits, its own memory, one answer for one payout, and nothing but plain payouts."""

import json
import os
import socket
import stat
import uuid
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from app.adapters.signer import SignerAway, SignerClient
from app.errors import ConfigError
from app.signer import keys
from app.signer.desk import Desk, Limits
from app.signer.journal import Journal
from app.values.money import Money
from app.values.payouts import Order, Refusal, Refused, SignedPayouts, Terms
from tests.factories.payouts import LOCAL_MINTS, SignerProcess, signer_process

BLOCKHASH, OTHER_HASH = str(Keypair().pubkey()), str(Keypair().pubkey())
TERMS = Terms(blockhash=BLOCKHASH, slot=1, expires_at_height=150)
LIMITS = Limits(
    {"SOL": Money(10**9, "SOL"), "USDC": Money(10**9, "USDC"), "TON": Money(10**10, "TON")},
    {"SOL": Money(2 * 10**9, "SOL"), "USDC": Money(10**9, "USDC"), "TON": Money(10**10, "TON")},
    0,
    LOCAL_MINTS,
)
NOW = 1_800_000_000.0


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Desk:
    return make_desk(tmp_path, clock)


def make_desk(folder: Path, clock: Clock, limits: Limits = LIMITS) -> Desk:
    return Desk(keys.load(folder, make=True), Journal(folder / "journal.jsonl"), limits, clock)


def order(minor: int = 10**9, asset: str = "SOL", to: str | None = None) -> Order:
    destination = to or ("0:" + "12" * 32 if asset == "TON" else str(Keypair().pubkey()))
    return Order(uuid.uuid4(), asset, minor, destination)


def ton_terms(seconds: int = 60) -> Terms:
    return Terms(seqno=0, valid_until=int(NOW) + seconds)


def refused(answer: object) -> Refusal:
    assert isinstance(answer, Refused), answer
    return answer.reason


def test_the_same_payout_gets_the_same_bytes_whatever_the_terms(desk: Desk) -> None:
    wanted = order()
    first = desk.sign("solana", [wanted], TERMS, [])
    assert isinstance(first, SignedPayouts)
    again = desk.sign("solana", [wanted, order()], Terms(blockhash=OTHER_HASH, slot=9, expires_at_height=900), [])
    assert again == first, "nothing new is signed while the first may land"
    second = desk.sign("solana", [wanted], Terms(blockhash=OTHER_HASH, slot=9, expires_at_height=900), [first.tx_hash])
    assert isinstance(second, SignedPayouts) and second.tx_hash != first.tx_hash


def test_it_remembers_across_restarts_and_a_torn_line(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    wanted = order()
    first = desk.sign("solana", [wanted], TERMS, [])
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"at": 1, "chain": "sol')
    again = make_desk(tmp_path, clock).sign("solana", [wanted], Terms(blockhash=OTHER_HASH), [])
    assert again == first


def test_a_damaged_journal_stops_it(desk: Desk, tmp_path: Path) -> None:
    for _ in range(2):
        desk.sign("solana", [order(1)], TERMS, [])
    path = tmp_path / "journal.jsonl"
    data = path.read_bytes()
    path.write_bytes(b"#" + data[1:])
    with pytest.raises(RuntimeError, match="damaged"):
        Journal(path)


def test_a_payout_that_changed_is_refused(desk: Desk) -> None:
    wanted = order()
    first = desk.sign("solana", [wanted], TERMS, [])
    assert isinstance(first, SignedPayouts)
    for changed in (
        Order(wanted.payout_id, "SOL", wanted.amount_minor - 1, wanted.destination),
        Order(wanted.payout_id, "SOL", wanted.amount_minor, str(Keypair().pubkey())),
        Order(wanted.payout_id, "USDC", wanted.amount_minor, wanted.destination),
    ):
        assert refused(desk.sign("solana", [changed], TERMS, [first.tx_hash])) == Refusal.CHANGED


def test_an_asset_without_a_mint_is_refused_by_the_payout_s_name(tmp_path: Path, clock: Clock) -> None:
    """In a batch, too: what is never signed must be held, or it would keep the others waiting for ever."""
    desk = make_desk(tmp_path, clock, Limits(LIMITS.payout, LIMITS.day, 0, {}))
    token = order(1, "USDC")
    answer = desk.sign("solana", [order(1), token], TERMS, [])
    assert refused(answer) == Refusal.INVALID and isinstance(answer, Refused) and answer.payout_id == token.payout_id


def test_limits_of_one_payout_and_of_a_day(desk: Desk, clock: Clock) -> None:
    assert refused(desk.sign("solana", [order(10**9 + 1)], TERMS, [])) == Refusal.PAYOUT_LIMIT
    assert refused(desk.sign("solana", [order(1, "RENDER")], TERMS, [])) == Refusal.PAYOUT_LIMIT
    for _ in range(2):
        assert isinstance(desk.sign("solana", [order()], TERMS, []), SignedPayouts)
    assert refused(desk.sign("solana", [order(1)], TERMS, [])) == Refusal.DAY_LIMIT
    assert isinstance(desk.sign("solana", [order(1, "USDC")], TERMS, []), SignedPayouts)
    clock.now += 86_401
    assert isinstance(desk.sign("solana", [order(1)], TERMS, []), SignedPayouts)


def test_the_day_is_counted_across_restarts(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    for _ in range(2):
        desk.sign("solana", [order()], TERMS, [])
    assert refused(make_desk(tmp_path, clock).sign("solana", [order(1)], TERMS, [])) == Refusal.DAY_LIMIT


def test_after_a_start_nothing_new_is_signed_for_a_while(tmp_path: Path, clock: Clock) -> None:
    old = make_desk(tmp_path, clock)
    known = order(1)
    first = old.sign("solana", [known], TERMS, [])
    desk = make_desk(tmp_path, clock, Limits(LIMITS.payout, LIMITS.day, 240, LOCAL_MINTS))
    assert desk.sign("solana", [known], TERMS, []) == first
    assert refused(desk.sign("solana", [order(1)], TERMS, [])) == Refusal.NOT_YET
    clock.now += 241
    assert isinstance(desk.sign("solana", [order(1)], TERMS, []), SignedPayouts)


def test_nothing_but_a_plain_payout(desk: Desk) -> None:
    own = desk.addresses()["solana"]
    repeated = order(1)
    cases = [
        ("solana", [], TERMS),
        ("solana", [order(1) for _ in range(5)], TERMS),
        ("solana", [repeated, repeated], TERMS),
        ("solana", [order(1, to=own)], TERMS),
        ("solana", [order(1, to="nowhere")], TERMS),
        ("solana", [order(1, "TON")], TERMS),
        ("solana", [order(1)], Terms(blockhash="x")),
        ("ton", [order(1, "TON")], Terms(seqno=-1, valid_until=int(NOW) + 60)),
        ("bitcoin", [order(1)], TERMS),
    ]
    assert [refused(desk.sign(*case, [])) for case in cases] == [Refusal.INVALID] * len(cases)


@pytest.mark.parametrize("terms", [TERMS, ton_terms(-1), ton_terms(3600)], ids=["none", "past", "far"])
def test_a_message_that_would_live_too_long_is_not_signed(desk: Desk, terms: Terms) -> None:
    assert refused(desk.sign("ton", [order(1, "TON")], terms, [])) == Refusal.NOT_YET


def test_what_a_solana_payout_consists_of(desk: Desk) -> None:
    orders = [order(5, "USDC"), order(7), order(5, "USDC"), order(5, "USDC")]
    signed = desk.sign("solana", orders, TERMS, [])
    assert isinstance(signed, SignedPayouts) and len(signed.raw) <= 1232
    transaction = VersionedTransaction.from_bytes(signed.raw)
    assert all(transaction.verify_with_results()) and str(transaction.signatures[0]) == signed.tx_hash
    keys_of = [str(key) for key in transaction.message.account_keys]
    programs = {keys_of[item.program_id_index] for item in transaction.message.instructions}
    assert len(transaction.message.instructions) == 3 * 3 + 2 and len(programs) == 4


def test_four_of_any_assets_fit_a_transaction(tmp_path: Path, clock: Clock) -> None:
    all_assets = {asset: Money(10**9, asset) for asset in ("SOL", "USDC", "USDT", "RENDER")}
    desk = make_desk(tmp_path, clock, Limits(all_assets, all_assets, 0, LOCAL_MINTS))
    signed = desk.sign("solana", [order(5, asset) for asset in ("USDC", "USDT", "RENDER", "SOL")], TERMS, [])
    assert isinstance(signed, SignedPayouts) and len(signed.raw) <= 1232


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    keys.load(tmp_path, make=True)
    os.chmod(tmp_path / "ton.json", 0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        keys.load(tmp_path, make=False)
    (tmp_path / "ton.json").write_text("[1, 2]")
    os.chmod(tmp_path / "ton.json", 0o600)
    with pytest.raises(ConfigError, match="no key"):
        keys.load(tmp_path, make=False)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN201
    home = tmp_path_factory.mktemp("a_home_with_a_name_that_no_unix_socket_s_path_would_have_room_for" * 2)
    with signer_process(home) as found:
        yield found


def test_the_socket_and_the_keys_are_their_owner_s_alone(process: SignerProcess) -> None:
    assert stat.S_IMODE((process.home / "signer.sock").stat().st_mode) == 0o600
    for name in ("solana.json", "ton.json", "journal.jsonl"):
        assert stat.S_IMODE((process.home / "signer" / name).stat().st_mode) == 0o600


def test_a_request_over_the_socket(process: SignerProcess) -> None:
    wanted = order(1)
    signed = process.client.sign("solana", [wanted], TERMS, [])
    assert isinstance(signed, SignedPayouts) and process.client.sign("solana", [wanted], TERMS, []) == signed
    assert refused(process.client.sign("solana", [order(10**15)], TERMS, [])) == Refusal.PAYOUT_LIMIT


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"x\n", b"[]\n", b"1\n", b'{"do":"sign"}\n', b'{"do":"spend"}\n', b"[" * 60_000 + b"\n", b"a" * 70_000,
        b'{"do":"sign","chain":"solana","orders":[{"payout_id":"1"}],"terms":{},"replaces":[]}\n',
        b'{"do":"sign","chain":"solana","orders":[],"terms":{"x":1},"replaces":[]}\n',
    ],
)
def test_nonsense_ends_one_connection_and_no_more(process: SignerProcess, line: bytes) -> None:
    folder = os.open(process.home, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(5)
        caller.connect(f"/proc/self/fd/{folder}/signer.sock")
        try:
            caller.sendall(line)
            caller.shutdown(socket.SHUT_WR)
            answer = caller.recv(65_536)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
    os.close(folder)
    assert answer == b"" or "error" in json.loads(answer)
    assert process.client.addresses()


def test_nobody_there_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(SignerAway):
        SignerClient(tmp_path / "signer.sock").addresses()
    with pytest.raises(SignerAway):
        SignerClient(tmp_path / "nowhere" / "signer.sock").addresses()
