"""TON addresses: every form of a wallet is one value, and what no wallet shows is refused with a reason."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytoniq_core import Address

from app.errors import InvalidInput
from app.values.ton_address import MAINNET, TESTNET, TonAddress, read

HASH = bytes(range(32))
WALLET = TonAddress(0, HASH)
FRIENDLY = WALLET.friendly()


def of_workchain(number: int) -> str:
    return Address((number, HASH)).to_str()


@given(st.sampled_from([0, -1]), st.binary(min_size=32, max_size=32), st.booleans(), st.booleans())
def test_every_form_is_the_same_wallet_and_as_a_known_library_writes_it(
    workchain: int, hash_part: bytes, bounceable: bool, test_only: bool
) -> None:
    wallet = TonAddress(workchain, hash_part)
    written = wallet.friendly(bounceable, test_only)
    assert written == Address((workchain, hash_part)).to_str(is_bounceable=bounceable, is_test_only=test_only)
    assert read(written, TESTNET) == read(wallet.raw) == read(wallet.raw.upper()) == wallet
    if not test_only:
        assert read(written, MAINNET) == wallet
    assert wallet.raw == wallet.raw.lower() == str(wallet)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "48 characters"),
        (FRIENDLY[:-1], "48 characters"),
        (FRIENDLY + "\n", "48 characters"),
        (" " + FRIENDLY, "48 characters"),
        (WALLET.raw + "\n", "48 characters"),
        ("0:abcd", "48 characters"),
        (f"5:{HASH.hex()}", "48 characters"),
        (f"-2:{HASH.hex()}", "48 characters"),
        (f"00:{HASH.hex()}", "48 characters"),
        (f"+0:{HASH.hex()}", "48 characters"),
        (f"0:{HASH.hex()[:-1]}g", "48 characters"),
        ("٠:" + HASH.hex(), "48 characters"),
        (FRIENDLY[:20] + ("A" if FRIENDLY[20] != "A" else "B") + FRIENDLY[21:], "checksum"),
        (WALLET.friendly(test_only=True), "test networks only"),
        (of_workchain(5), "workchain 5"),
        (of_workchain(-2), "workchain -2"),
        (None, "is a text"),
        (7, "is a text"),
        (b"EQ", "is a text"),
        ("So11111111111111111111111111111111111111112", "48 characters"),
    ],
)
def test_what_no_wallet_shows_is_refused(text: object, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refusal:
        read(text, MAINNET)
    assert refusal.value.code == "TON_ADDRESS_INVALID"


def test_standard_base64_is_refused_where_it_differs() -> None:
    odd = TonAddress(0, bytes([0xFB, 0xEF, 0xBE] * 10 + [0xFF, 0xFF]))
    standard = base64.b64encode(base64.urlsafe_b64decode(odd.friendly())).decode()
    assert "+" in standard or "/" in standard
    with pytest.raises(InvalidInput, match="url-safe"):
        read(standard)


@pytest.mark.parametrize("tag", [0x00, 0x12, 0x91 ^ 0x01, 0xFF])
def test_an_unknown_kind_of_address_is_refused_though_its_checksum_fits(tag: int) -> None:
    from_library = base64.urlsafe_b64decode(Address((0, HASH)).to_str())
    body = bytes([tag]) + from_library[1:34]
    checksum = 0
    for byte in body:
        checksum ^= byte << 8
        for _ in range(8):
            checksum = ((checksum << 1) ^ (0x1021 if checksum & 0x8000 else 0)) & 0xFFFF
    with pytest.raises(InvalidInput, match="first byte"):
        read(base64.urlsafe_b64encode(body + checksum.to_bytes(2)).decode())


@given(st.integers(0, 47), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
def test_one_wrong_character_is_always_found(place: int, character: str) -> None:
    changed = FRIENDLY[:place] + character + FRIENDLY[place + 1 :]
    if changed == FRIENDLY:
        assert read(changed) == WALLET
    else:
        with pytest.raises(InvalidInput):
            read(changed)
