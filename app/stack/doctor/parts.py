"""The hub's own parts: its settings, its store of files, its signer."""

import io
import uuid
from collections.abc import Iterator

from app.adapters.signer import SignerAway, SignerClient
from app.config_checks import unsafe
from app.errors import LightyardError
from app.stack.doctor import chains
from app.stack.doctor.finding import FAIL, OK, WARN, Finding, reason_of
from app.stack.doctor.place import Place
from app.values.payouts import SOLANA, TON
from app.wiring import make_store, malformed

FEES_LAMPORTS, FEES_NANO = 10_000_000, 200_000_000  # some hundred payouts' fees on Solana, some on TON


def settings(place: Place) -> Iterator[Finding]:
    """What no hub reads, and in production what it refuses; the rest is `lightyard check-config`'s."""
    found = malformed(place.settings)
    for name, message in found.items():
        yield Finding(FAIL, "settings", message, f"mend {name}; docs/settings.md has its form")
    refused = unsafe(place.settings) if place.settings.is_production else {}
    for name, reason in refused.items():
        yield Finding(FAIL, "settings", f"{name} {reason}", f"mend {name}; `lightyard check-config` lists all of them")
    if not found and not refused:
        yield Finding(OK, "settings", f"can be read, for {place.settings.lightyard_env}")


def storage(place: Place) -> Iterator[Finding]:
    """Really puts a small file, reads it and takes it away again."""
    if not place.settings.storage_url and not place.is_running:
        yield Finding(OK, "storage", "a folder of LIGHTYARD_HOME")
        return
    key, body = f"doctor/{uuid.uuid4()}", b"lightyard doctor"
    where = place.settings.storage.partition("?")[0]
    try:
        store = make_store(place.settings)
        store.put(key, io.BytesIO(body), len(body))
        try:
            with store.open(key) as file:
                is_same = file.read() == body
        finally:
            store.delete(key)
    except (LightyardError, OSError, ValueError) as error:
        advice = "mend STORAGE_URL, the folder's owner, or the S3_… keys and the bucket's policy (put, get and delete objects)"
        yield Finding(FAIL, "storage", f"{where}: {reason_of(error)}", advice)
        return
    if is_same:
        yield Finding(OK, "storage", f"{where} can be written, read and cleared")
    else:
        yield Finding(FAIL, "storage", f"{where} gave other bytes than were put", "look at that store: it is broken")


def signer(place: Place) -> Iterator[Finding]:
    """Whether it answers, and whether its wallets can pay a chain's fees."""
    path = place.settings.signer_socket_path
    is_expected = place.is_running or place.settings.is_production or bool(place.settings.signer_socket)
    if not path.exists() and not is_expected:
        yield Finding(OK, "signer", "`lightyard up` starts it")
        return
    try:
        addresses, fee_payer = SignerClient(path).addresses(), SignerClient(path).fee_payer()
    except SignerAway as error:
        mark = FAIL if is_expected else WARN
        yield Finding(mark, "signer", f"{reason_of(error)}: nothing is paid out", f"SIGNER_SOCKET={path} lightyard signer run")
        return
    if not addresses:
        yield Finding(FAIL, "signer", "it answers, and has no keys", "lightyard signer make-keys, then start it again")
    for chain, address in addresses.items():
        yield _funded(place, chain, address)
    if fee_payer is not None:
        yield _funded(place, SOLANA, fee_payer)


def _funded(place: Place, chain: str, address: str) -> Finding:
    settings, least = place.settings, {SOLANA: FEES_LAMPORTS, TON: FEES_NANO}[chain]
    try:
        if chain == SOLANA:
            has = chains.balance(settings.solana_rpc_urls[0], address)
        elif settings.ton_api_urls:
            has = chains.ton_balance(settings.ton_api_urls[0], settings.ton_api_key, address)
        else:
            return Finding(OK, "signer", f"{chain} {address}")
    except chains.UNCLEAR as error:
        told = f"{chain} {address}: what it has is not known: {reason_of(error)}"
        return Finding(WARN, "signer", told, "mend that chain's node first")
    told, coin = f"{has / 10**9:.4f}", "SOL" if chain == SOLANA else "TON"
    if has < least:
        return Finding(WARN, "signer", f"{chain} {address} has {told} {coin} for fees", f"send it {coin}, and what is paid out")
    return Finding(OK, "signer", f"{chain} {address} has {told} {coin}")
