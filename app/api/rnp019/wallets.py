"""RNP-019: sign in with a wallet, and link one more."""

from functools import partial
from typing import Any

from flask_smorest import Blueprint

from app.api import cookies, moments, security, tokens
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.schemas import wallets as schemas
from app.core import wallet_challenges
from app.errors import Forbidden
from app.flows import ton_keys, wallet_sign_in
from app.flows.wallet_sign_in import SolanaSignature, Terms, TonSignature, WalletSignature
from app.values import ton_address
from app.values.ton_proof import TonProof

blueprint = Blueprint("rnp019_wallets", __name__, url_prefix="/rnp/v1/wallet", description="Sign-in with wallets")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("/challenge")
@blueprint.arguments(schemas.ChallengeOrderSchema)
@blueprint.response(200, schemas.ChallengeSchema)
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
def offer_challenge(body: dict[str, str]) -> dict[str, Any]:
    """Something for the wallet to sign; good once, for this wallet, for a few minutes."""
    address, settings = _canonical(body), hub().settings
    with unit_of_work() as session:
        made = wallet_challenges.offer(session, body["chain"], address, settings.signature_window_seconds)
    return {
        "payload": made.payload,
        "message": wallet_challenges.message(made, settings.public_host),
        "domain": settings.public_host,
        "expires_at": moments.written(made.expires_at),
    }


@blueprint.post("/login")
@blueprint.arguments(schemas.WalletSignatureSchema)
@blueprint.response(200, schemas.SignedInSchema)
@blueprint.alt_response(401, "UNAUTHORIZED")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
@blueprint.alt_response(503, "SERVICE_UNAVAILABLE")
def login(body: dict[str, Any]) -> dict[str, Any]:
    """Sign in to the wallet's account; a wallet that comes for the first time gets one."""
    signed_in, account = wallet_sign_in.log_in(hub().database, _terms(), _signature(body))
    cookies.give(signed_in)
    return {**tokens.make_pair(signed_in), "account": account}


@blueprint.post("/link")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.WalletSignatureSchema)
@blueprint.response(200, schemas.LinkedSchema)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
@blueprint.alt_response(503, "SERVICE_UNAVAILABLE")
def link(body: dict[str, Any]) -> dict[str, Any]:
    """Add a wallet to the account that is signed in; an API key can't, for the wallet could then do more than the key."""
    with read_only() as session:
        caller = security.caller(session, "wallet:write")
    if caller.sign_in_id is None:
        raise Forbidden("an API key can't link wallets; send the access token of a sign-in", code="SIGN_IN_NEEDED")
    return {"account": wallet_sign_in.link(hub().database, _terms(), caller.account_id, _signature(body))}


def _terms() -> Terms:
    """Over HTTP only is TON asked for a key: pytonlib has a process of its own, which this is not."""
    settings = hub().settings
    can_ask = hub().ton.is_configured and not settings.ton_config
    ask = partial(ton_keys.deployed_key, hub().ton) if can_ask else None
    return Terms(settings.public_host, settings.signature_window_seconds, ask)


def _canonical(body: dict[str, Any]) -> str:
    return wallet_sign_in.canonical(body["chain"], body["address"], hub().settings.ton_network)


def _signature(body: dict[str, Any]) -> WalletSignature:
    """The body's in the shape of its chain."""
    if body["chain"] == "solana":
        return SolanaSignature(_canonical(body), body["signature"], body["payload"])
    proof = body["proof"]
    domain = proof["domain"]
    found = TonProof(
        proof["timestamp"], domain["value"], domain["lengthBytes"], proof["signature"], proof["payload"], proof["state_init"]
    )
    return TonSignature(ton_address.read(body["address"], hub().settings.ton_network), found, body["public_key"])
