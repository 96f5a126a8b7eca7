"""ton_proof against wallets and signatures that JavaScript made, and a published proof of a wallet on the main network."""

import base64
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import InvalidInput, Unauthenticated
from app.values import ton_address, ton_proof, ton_wallets
from app.values.ton_address import TonAddress
from app.values.ton_proof import TonProof
from tests.factories.ton_wallets import MADE, V3R2, V4R2, V5R1, WALLETS, TonWallet

NOW = datetime.fromtimestamp(1790000000, UTC)


def proof_of(found: dict) -> TonProof:
    domain = found["domain"]
    return TonProof(
        found["timestamp"], domain["value"], domain["lengthBytes"], found["signature"], found["payload"], found["state_init"]
    )


@pytest.mark.parametrize("wallet", WALLETS, ids=lambda wallet: f"{wallet.version} {wallet.address[:2]}")
def test_a_wallets_own_proof_holds(wallet: TonWallet) -> None:
    address, proof = ton_address.read(wallet.address), proof_of(wallet.proof)
    assert ton_address.read(wallet.friendly) == address
    key = ton_wallets.read_key(wallet.state_init, address)
    assert key.hex() == wallet.public_key
    ton_proof.check_bounds(proof, proof.domain, NOW, 300)
    ton_proof.check_signature(proof, address, key)
    made_here = wallet.prove(proof.payload, proof.domain, proof.timestamp)
    assert made_here == wallet.proof  # what the other tests sign with signs as JavaScript does


def test_the_published_proof_of_a_wallet_on_the_main_network_holds() -> None:
    found = MADE["published"]
    address, proof = ton_address.read(found["address"]), proof_of(found["proof"])
    key = ton_wallets.read_key(found["proof"]["state_init"], address)
    assert key.hex() == found["public_key"]
    ton_proof.check_signature(proof, address, key)


def test_whatever_is_signed_counts() -> None:
    address, proof = ton_address.read(V4R2.address), proof_of(V4R2.proof)
    key = bytes.fromhex(V4R2.public_key)
    changes: list[dict] = [
        {"timestamp": proof.timestamp + 1},
        {"domain": "localhosu"},
        {"domain": "localhost\0"},
        {"payload": proof.payload + " "},
        {"payload": ""},
        {"signature": V5R1.proof["signature"]},
    ]
    for change in changes:
        with pytest.raises(Unauthenticated) as caught:
            ton_proof.check_signature(dataclasses.replace(proof, **change), address, key)
        assert caught.value.code == "SIGNATURE_INVALID"
    for other in (TonAddress(-1, address.hash_part), ton_address.read(V3R2.address)):
        with pytest.raises(Unauthenticated):
            ton_proof.check_signature(proof, other, key)
    with pytest.raises(Unauthenticated):
        ton_proof.check_signature(proof, address, bytes.fromhex(V5R1.public_key))
    for broken in ("", "x", base64.b64encode(bytes(63)).decode(), base64.b64encode(bytes(65)).decode(), "é" * 88):
        with pytest.raises(InvalidInput):
            ton_proof.check_signature(dataclasses.replace(proof, signature=broken), address, key)


def test_a_forgery_under_the_identity_point_is_refused() -> None:
    """OpenSSL takes it for any message: the key and R are the neutral point, S is 0."""
    identity = (1).to_bytes(32, "little")
    address, proof = ton_address.read(V4R2.address), proof_of(V4R2.proof)
    forged = dataclasses.replace(proof, signature=base64.b64encode(identity + bytes(32)).decode())
    with pytest.raises(Unauthenticated):
        ton_proof.check_signature(forged, address, identity)


def test_bounds_domain_length_and_time() -> None:
    proof = proof_of(V4R2.proof)
    for moved, is_good in ((0, True), (300, True), (-300, True), (301, False), (-301, False)):
        if is_good:
            ton_proof.check_bounds(proof, "localhost", NOW + timedelta(seconds=moved), 300)
        else:
            with pytest.raises(Unauthenticated) as caught:
                ton_proof.check_bounds(proof, "localhost", NOW + timedelta(seconds=moved), 300)
            assert caught.value.code == "PROOF_EXPIRED"
    wide = proof_of(next(wallet for wallet in WALLETS if not wallet.proof["domain"]["value"].isascii()).proof)
    assert wide.domain_bytes == len(wide.domain) + 1  # bytes, not characters
    ton_proof.check_bounds(wide, wide.domain, NOW, 300)
    cases = [
        (proof, "example.com"),
        (proof, "localhost."),
        (dataclasses.replace(proof, domain="LOCALHOST"), "localhost"),
        (dataclasses.replace(proof, domain_bytes=8), "localhost"),
        (dataclasses.replace(wide, domain_bytes=len(wide.domain)), wide.domain),
    ]
    for found, domain in cases:
        with pytest.raises(Unauthenticated) as caught:
            ton_proof.check_bounds(found, domain, NOW, 300)
        assert caught.value.code == "PROOF_DOMAIN"


def test_a_state_init_is_the_addresss_own_and_a_known_wallets() -> None:
    unknown, off = MADE["unknown_code"], MADE["switched_off"]
    cases = [
        (V5R1.state_init, V4R2.address, "STATE_INIT_FOREIGN"),
        (V4R2.state_init, MADE["published"]["address"], "STATE_INIT_FOREIGN"),
        (unknown["state_init"], unknown["address"], "WALLET_UNKNOWN"),
        (off["state_init"], off["address"], "WALLET_KEY_OFF"),
    ]
    for state_init, address, code in cases:
        with pytest.raises(Unauthenticated) as caught:
            ton_wallets.read_key(state_init, ton_address.read(address))
        assert caught.value.code == code


def test_garbage_for_a_state_init_is_refused_in_words() -> None:
    address, whole = ton_address.read(V4R2.address), base64.b64decode(V4R2.state_init)
    url_safe = V4R2.state_init.translate(str.maketrans("+/", "-_"))
    assert ton_wallets.read_key(url_safe, address).hex() == V4R2.public_key
    broken = ["", "x", "é", "AAAA", V4R2.state_init[:-4], V4R2.state_init + "AAAA", "A" * 1_048_576, "te6cckEBAQEAAgAAAEysuc0="]
    broken += [base64.b64encode(whole[:size]).decode() for size in range(0, len(whole), 7)]
    for text in broken:
        with pytest.raises(InvalidInput) as caught:
            ton_wallets.read_key(text, address)
        assert caught.value.code == "BOC_INVALID"


def test_no_changed_byte_gives_another_key() -> None:
    """Every byte of the bag is covered by its checksum; without one, by the address."""
    for wallet in (V4R2, next(item for item in WALLETS if item.version == "v4r2" and item.address.startswith("-1"))):
        whole, address = base64.b64decode(wallet.state_init), ton_address.read(wallet.address)
        for position in range(len(whole)):
            for flip in (0x01, 0x80):
                changed = bytearray(whole)
                changed[position] ^= flip
                try:
                    key = ton_wallets.read_key(base64.b64encode(changed).decode(), address)
                except (InvalidInput, Unauthenticated):
                    continue
                assert key.hex() == wallet.public_key, position  # the index, which is not read
