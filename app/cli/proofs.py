"""verify-proof: an entry's proof, recomputed, and its root looked up on the chain."""

from typing import Any, TextIO

import click

from app.adapters.chains.evm import EvmGateway
from app.cli.printing import as_json_option, examples, print_json
from app.config import Settings, load
from app.errors import ConfigError, InvalidInput, LightyardError
from app.stack import endpoints
from app.values import proof_check
from app.values.json_text import read_json
from app.values.proof_check import GivenProof


class NotProven(LightyardError):
    code = "NOT_PROVEN"


@click.command("verify-proof", epilog=examples("verify-proof proof.json --rpc https://rpc.example --json"))
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--rpc", help="JSON-RPC of the chain that has the root; else EVM_RPC_URL, else that of the stack which runs here.")
@as_json_option
def verify_proof(file: TextIO, rpc: str | None, as_json: bool) -> None:
    """Check the proof in FILE (- is standard input): what GET /api/v1/ledger/ENTRY/proof answered. Exit status 1 if it fails.

    docs/verify_proof.py does the same with nothing of this project.
    """
    proof = _read(file)
    problem = proof_check.problem_of(proof)
    if problem is not None:
        raise NotProven(f"not proven: {problem}")
    body: dict[str, Any] = {
        "entry_id": proof.entry_id,
        "leaf": proof.leaf,
        "leaf_index": proof.leaf_index,
        "tree_size": proof.tree_size,
        "root": proof.root.hex(),
        "tx_hash": proof.tx_hash,
        "block_number": None,
        "sender": None,
    }
    urls = (rpc,) if rpc else _known_urls(load())
    missing = "the root is not on a chain yet" if proof.tx_hash is None else "give --rpc to look the root up on the chain"
    if proof.tx_hash is not None and urls:
        body |= _on_chain(proof, urls)
        missing = ""
    elif rpc:
        raise NotProven(f"not proven: {missing}")
    _show(body, missing, as_json)


def _show(body: dict[str, Any], missing: str, as_json: bool) -> None:
    """What was found; `missing` is what keeps the root from being looked up, where it was not."""
    if as_json:
        print_json(body | {"is_on_chain": not missing})
        if missing:
            click.echo(missing, err=True)
        return
    click.echo(f"entry {body['entry_id']} is leaf {body['leaf_index']} of {body['tree_size']} under {body['root']}")
    click.echo(body["leaf"])
    where = f"transaction {body['tx_hash']}, block {body['block_number']}, sent by {body['sender']}"
    click.echo(missing or f"the root is on the chain: {where}")


def _read(file: TextIO) -> GivenProof:
    try:
        found = read_json(file.read())
    except (InvalidInput, ValueError):
        raise InvalidInput(f"{file.name} is not JSON: save the answer of GET /api/v1/ledger/ENTRY/proof in it") from None
    return proof_check.read(found)


def _known_urls(settings: Settings) -> tuple[str, ...]:
    if settings.evm_rpc_urls:
        return settings.evm_rpc_urls
    try:
        url = endpoints.read(settings.home)["evm_rpc_url"]
    except ConfigError:
        return ()
    return (str(url),) if url else ()


def _on_chain(proof: GivenProof, urls: tuple[str, ...]) -> dict[str, Any]:
    found = EvmGateway(urls, load().evm_timeout_seconds).on_chain(str(proof.tx_hash))
    problem = proof_check.problem_on_chain(proof, found)
    if problem is not None or found is None:
        raise NotProven(f"not proven: {problem}")
    return {"block_number": found.block_number, "sender": found.sender}


COMMANDS = (verify_proof,)
