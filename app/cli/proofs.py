"""verify-proof: an entry's proof, recomputed, and its root looked up on the chain."""

from typing import TextIO

import click

from app.adapters.chains.evm import EvmGateway
from app.config import Settings, load
from app.errors import ConfigError, InvalidInput, LightyardError
from app.stack import endpoints
from app.values import proof_check
from app.values.json_text import read_json
from app.values.proof_check import GivenProof


class NotProven(LightyardError):
    code = "NOT_PROVEN"


@click.command("verify-proof")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--rpc", help="JSON-RPC of the chain that has the root; else EVM_RPC_URL, else that of the stack which runs here.")
def verify_proof(file: TextIO, rpc: str | None) -> None:
    """Check the proof in FILE (- is standard input): what GET /api/v1/ledger/ENTRY/proof answered. Exit status 1 if it fails.

    docs/verify_proof.py does the same with nothing of this project.
    """
    proof = _read(file)
    problem = proof_check.problem_of(proof)
    if problem is not None:
        raise NotProven(f"not proven: {problem}")
    click.echo(f"entry {proof.entry_id} is leaf {proof.leaf_index} of {proof.tree_size} under {proof.root.hex()}")
    click.echo(proof.leaf)
    urls = (rpc,) if rpc else _known_urls(load())
    if proof.tx_hash is None or not urls:
        missing = "the root is not on a chain yet" if proof.tx_hash is None else "give --rpc to look the root up on the chain"
        if rpc:
            raise NotProven(f"not proven: {missing}")
        click.echo(missing)
        return
    _check_chain(proof, urls)


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


def _check_chain(proof: GivenProof, urls: tuple[str, ...]) -> None:
    found = EvmGateway(urls, load().evm_timeout_seconds).on_chain(str(proof.tx_hash))
    problem = proof_check.problem_on_chain(proof, found)
    if problem is not None or found is None:
        raise NotProven(f"not proven: {problem}")
    click.echo(f"the root is on the chain: transaction {proof.tx_hash}, block {found.block_number}, sent by {found.sender}")


COMMANDS = (verify_proof,)
