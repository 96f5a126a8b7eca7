"""Signing in with a wallet: its signature over a challenge is checked between the transactions; what it is for uses that up."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from app.core import sign_ins, wallet_challenges, wallets
from app.core.sign_ins import SignedIn
from app.core.wallets import AccountView
from app.db import Database
from app.errors import Unauthenticated
from app.models.wallet_challenges import WalletChallenge
from app.values import clock, signatures, ton_address, ton_proof, ton_wallets
from app.values.ton_address import TonAddress
from app.values.ton_proof import TonProof

DeployedKey = Callable[[TonAddress], bytes]
"""Asks the chain for the key of a deployed wallet; Unauthenticated when nothing of a known version is there."""


@dataclass(frozen=True, slots=True)
class SolanaSignature:
    """A wallet's signature (base58 or base64) over a challenge's message; `payload` says which, where the client says it."""

    address: str
    signature: str
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class TonSignature:
    """A wallet's proof for a challenge. `public_key` is 64 hex digits, where it was sent; it proves nothing, and must fit."""

    address: TonAddress
    proof: TonProof
    public_key: str | None = None


WalletSignature = SolanaSignature | TonSignature


@dataclass(frozen=True, slots=True)
class Terms:
    """What a proof must be for: this hub's domain, and a moment not further off than `window_seconds`.

    `deployed_key` is None where the chain can't be asked: then a proof must bring the wallet's state_init.
    """

    domain: str
    window_seconds: int
    deployed_key: DeployedKey | None = None


def log_in(database: Database, terms: Terms, signature: WalletSignature) -> tuple[SignedIn, AccountView]:
    """Sign in to the wallet's account, a new one where it has none.

    Unauthenticated for whatever proves nothing, Conflict CHALLENGE_USED for the second use of a challenge: of many that come at
    once, one signs in.
    """
    challenge = _proven(database, terms, signature)
    with database.unit_of_work() as session:
        wallet_challenges.use(session, challenge)
        account_id = wallets.enter(session, challenge.chain, challenge.address)
        return sign_ins.begin(session, account_id), wallets.describe(session, account_id)


def link(database: Database, terms: Terms, account_id: uuid.UUID, signature: WalletSignature) -> AccountView:
    """Add the wallet to an account. Errors as `log_in`, and Conflict WALLET_TAKEN when it is another account's."""
    challenge = _proven(database, terms, signature)
    with database.unit_of_work() as session:
        wallet_challenges.use(session, challenge)
        wallets.link(session, account_id, challenge.chain, challenge.address)
        return wallets.describe(session, account_id)


def _proven(database: Database, terms: Terms, signature: WalletSignature) -> WalletChallenge:
    """The challenge that the wallet has signed."""
    if isinstance(signature, SolanaSignature):
        return _signed_on_solana(database, terms, signature)
    return _signed_on_ton(database, terms, signature)


def _signed_on_solana(database: Database, terms: Terms, found: SolanaSignature) -> WalletChallenge:
    with database.read_only() as session:
        standing = wallet_challenges.standing(session, "solana", found.address, found.payload)
    if not standing:
        raise wallet_challenges.unknown()
    for challenge in standing:
        if signatures.verify(found.address, wallet_challenges.message(challenge, terms.domain), found.signature):
            return challenge
    message = "the signature is not this wallet's over the challenge's `message`, to the letter"
    raise Unauthenticated(message, code="SIGNATURE_INVALID")


def _signed_on_ton(database: Database, terms: Terms, found: TonSignature) -> WalletChallenge:
    ton_proof.check_bounds(found.proof, terms.domain, clock.now(), terms.window_seconds)
    with database.read_only() as session:
        standing = wallet_challenges.standing(session, "ton", found.address.raw, found.proof.payload)
    if not standing:
        raise wallet_challenges.unknown()
    key = _ton_key(terms, found)
    if found.public_key is not None and found.public_key.lower() != key.hex():
        raise Unauthenticated("public_key is not the key that this wallet obeys", code="PUBLIC_KEY_FOREIGN")
    ton_proof.check_signature(found.proof, found.address, key)
    return standing[0]


def _ton_key(terms: Terms, found: TonSignature) -> bytes:
    """Never from what the client says alone: by the state that the address is the hash of, or by the contract that is there."""
    if found.proof.state_init is not None:
        return ton_wallets.read_key(found.proof.state_init, found.address)
    if terms.deployed_key is None:
        raise Unauthenticated("send the wallet's state_init in proof.state_init", code="STATE_INIT_MISSING")
    return terms.deployed_key(found.address)


def canonical(chain: str, address: str, network: str) -> str:
    """The one form in which a wallet's address is kept; InvalidInput says what is wrong with it."""
    if chain == "ton":
        return ton_address.read(address, network).raw
    return signatures.read_solana_address(address)
