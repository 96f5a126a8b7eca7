"""Nodes' keys, ed25519 and RSA, against signatures that another implementation made."""

import base64
import json
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from app.errors import InvalidInput
from app.values import node_keys

# Keys and signatures that OpenSSL made; the private keys are gone.
MADE = json.loads((Path(__file__).parent / "node_keys.json").read_text())
CHALLENGE: str = MADE["challenge"]
SIGNED = [
    pytest.param(MADE[kind]["public_key"], signature, id=f"{kind}, {name}")
    for kind in ("rsa", "odd_rsa")
    for name, signature in MADE[kind]["signatures"].items()
]


@pytest.mark.parametrize(("pem", "signature"), SIGNED)
def test_rsa_signatures_verify_in_both_paddings(pem: str, signature: str) -> None:
    key = node_keys.read(pem)
    assert key.startswith("rsa:") and node_keys.read(pem.replace("\n", "\r\n")) == key
    assert node_keys.verifies(key, CHALLENGE, signature)
    assert not node_keys.verifies(key, CHALLENGE + " ", signature)
    raw = bytearray(base64.b64decode(signature))
    for position in (0, 1, len(raw) // 2, len(raw) - 1):
        raw[position] ^= 1
        assert not node_keys.verifies(key, CHALLENGE, base64.b64encode(raw).decode())
        raw[position] ^= 1
    for other in (b"", bytes(256), b"\xff" * 256, bytes(raw) + b"\0", bytes(raw)[1:], b"\0" + bytes(raw)[:-1]):
        assert not node_keys.verifies(key, CHALLENGE, base64.b64encode(other).decode())


def test_another_hash_or_another_key_is_no_proof() -> None:
    key = node_keys.read(MADE["rsa"]["public_key"])
    assert not node_keys.verifies(key, CHALLENGE, MADE["rsa"]["sha1"])
    assert not node_keys.verifies(key, CHALLENGE, MADE["odd_rsa"]["signatures"]["pkcs1"])


def test_small_rsa_keys_and_other_curves_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2048"):
        node_keys.read(MADE["small_rsa"])
    with pytest.raises(InvalidInput):
        node_keys.read(MADE["ec"])


def test_an_ed25519_key_in_pem_is_the_same_as_its_32_bytes() -> None:
    key, signature = node_keys.read(MADE["ed25519"]["public_key"]), MADE["ed25519"]["signature"]
    assert node_keys.read(key) == key and len(base64.b64decode(key)) == 32
    assert node_keys.verifies(key, CHALLENGE, signature)
    assert not node_keys.verifies(key, "other", signature)
    assert len(node_keys.fingerprint(key)) == 64


def test_the_identity_point_proves_nothing() -> None:
    identity = base64.b64encode(b"\1" + bytes(31)).decode()
    forged = base64.b64encode(b"\1" + bytes(63)).decode()
    assert not node_keys.verifies(node_keys.read(identity), CHALLENGE, forged)


PEM = "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----"


@pytest.mark.parametrize(
    "text",
    ["", "x", "AAAA", PEM.format(""), PEM.format("AAAA"), PEM.format("é"), PEM.format(base64.b64encode(b"\x30\x84").decode()),
     PEM.format(base64.b64encode(b"\x30\x80" + bytes(300)).decode()), base64.b64encode(bytes(300)).decode(),
     PEM.format(base64.b64encode(bytes.fromhex("302a300506032b6570032100") + bytes(31)).decode())],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        node_keys.read(text)


def test_a_signature_that_is_no_base64_is_invalid() -> None:
    key = base64.b64encode(bytes(SigningKey.generate().verify_key)).decode()
    with pytest.raises(InvalidInput):
        node_keys.verifies(key, CHALLENGE, "é")
    assert not node_keys.verifies(key, CHALLENGE, base64.b64encode(b"short").decode())
