"""What a transaction brought: each kind of message, and each way for it to bring nothing."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.values.ton_address import TonAddress
from app.values.ton_arrivals import EXCESSES, INTERNAL_TRANSFER, NOTIFICATION, Jetton, WatchedAccount, arrival
from app.values.ton_chain import JettonNotice, TonMessage, TonTransaction

HUB, PAYER, WALLET, MASTER, FAKE = (TonAddress(0, bytes([number]) * 32) for number in range(1, 6))
OWN = {WALLET: Jetton(MASTER, "USDT")}
AT_HUB, AT_WALLET = WatchedAccount(HUB, HUB, OWN), WatchedAccount(WALLET, HUB, OWN)
NOTICE = JettonNotice(7, PAYER, " memo ")
PLAIN = TonMessage(PAYER, HUB, 5, False, " memo\n", 0, "b", "m")
TOLD = replace(PLAIN, source=WALLET, op=NOTIFICATION, comment=None, jetton=NOTICE)
CAME = replace(PLAIN, source=FAKE, destination=WALLET, op=INTERNAL_TRANSFER, comment=None, jetton=NOTICE)


def transaction(message: TonMessage | None, account: TonAddress = HUB, **changes: object) -> TonTransaction:
    made = TonTransaction(account, 9, "h", 1_000, message, (), False, 0)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "changes", "asset", "amount", "problem"),
    [
        (PLAIN, {}, "TON", 5, None),
        (PLAIN, {"is_aborted": True, "is_undeployed": True}, "TON", 5, None),
        (PLAIN, {"is_aborted": True}, "TON", 5, "aborted"),
        (PLAIN, {"is_aborted": True, "is_returned": True, "is_undeployed": True}, "TON", 5, "returned"),
        (replace(PLAIN, is_bounced=True), {}, "TON", 5, "bounced"),
        (replace(PLAIN, is_bounced=True, op=EXCESSES), {}, "TON", 5, "bounced"),
        (replace(TOLD, is_bounced=True, jetton=None), {}, "TON", 5, "bounced"),
        (replace(PLAIN, op=0x12345678, comment=None), {}, "TON", 5, None),
        (TOLD, {}, "USDT", 7, None),
        (TOLD, {"is_aborted": True, "is_undeployed": True}, "USDT", 7, None),
        (TOLD, {"is_aborted": True, "is_returned": True}, "USDT", 7, "aborted"),
        (replace(TOLD, source=FAKE), {}, None, 7, "unknown_jetton"),
        (replace(TOLD, source=PAYER), {}, None, 7, "unknown_jetton"),
        (replace(TOLD, source=None), {}, None, 7, "unknown_jetton"),
        (replace(TOLD, jetton=None), {}, None, 0, "unknown_jetton"),
    ],
)
def test_what_came_to_the_wallet(
    message: TonMessage, changes: dict, asset: str | None, amount: int, problem: str | None
) -> None:
    found = arrival(transaction(message, **changes), AT_HUB)
    assert found is not None
    assert (found.asset, found.amount_minor, found.problem, found.lt, found.hash) == (asset, amount, problem, 9, "h")
    assert found.occurred_at == datetime.fromtimestamp(1_000, UTC)
    if asset is not None and found.comment is not None:
        assert found.comment == "memo"
    if asset == "USDT":
        assert (found.payer, found.token) == (PAYER, MASTER)


@pytest.mark.parametrize(
    "message",
    [None, replace(PLAIN, source=None, value_nano=0), replace(PLAIN, source=HUB), replace(PLAIN, op=EXCESSES, comment=None)],
)
def test_what_brought_nothing(message: TonMessage | None) -> None:
    assert arrival(transaction(message), AT_HUB) is None


@pytest.mark.parametrize(
    ("message", "changes", "amount"),
    [
        (CAME, {}, 7),
        (CAME, {"out_messages": (replace(PLAIN, op=EXCESSES, destination=PAYER),)}, 7),
        (CAME, {"out_messages": (replace(TOLD, destination=PAYER),)}, 7),
        (CAME, {"out_messages": (replace(TOLD, destination=HUB),)}, None),
        (CAME, {"is_aborted": True}, None),
        (replace(CAME, jetton=None), {}, None),
        (replace(CAME, op=NOTIFICATION), {}, None),
        (PLAIN, {}, None),
    ],
)
def test_what_came_to_the_jetton_wallet_unsaid(message: TonMessage, changes: dict, amount: int | None) -> None:
    found = arrival(transaction(message, WALLET, **changes), AT_WALLET)
    assert (found and found.amount_minor) == amount
    if found is not None:
        assert (found.asset, found.token, found.payer, found.comment) == ("USDT", MASTER, PAYER, "memo")


def test_a_jetton_wallet_that_is_none_of_ours_tells_nothing() -> None:
    assert arrival(transaction(CAME, FAKE), WatchedAccount(FAKE, HUB, OWN)) is None
