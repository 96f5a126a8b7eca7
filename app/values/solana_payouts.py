"""A payout transaction on Solana: for each payout its memo, then its transfer, and nothing else. Made by the signer, read by
whoever looks at a wallet's history."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from solders.hash import Hash
from solders.instruction import AccountMeta, CompiledInstruction, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from app.values.money import DECIMALS, Money
from app.values.payouts import Order, Part, SignedPayouts, Terms

MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
ASSOCIATED = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
CREATE_IDEMPOTENT, TRANSFER_CHECKED, SYSTEM_TRANSFER = b"\x01", 12, (2).to_bytes(4, "little")


def token_account(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """Where a wallet keeps a token, made by this transaction where it is missing."""
    return Pubkey.find_program_address([bytes(owner), bytes(TOKEN), bytes(mint)], ASSOCIATED)[0]


def opens_account(order: Order, opens_from: Mapping[str, Money]) -> bool:
    """Whether a payout is worth the rent of its payee's token account, which he may close and keep."""
    least = opens_from.get(order.asset)
    return least is None or order.amount_minor >= least.minor


def sign(
    keypair: Keypair,
    orders: Sequence[Order],
    terms: Terms,
    mints: Mapping[str, str],
    opens_from: Mapping[str, Money] | None = None,
) -> SignedPayouts:
    """ValueError for an address, an asset without a mint, or terms that make no transaction.

    A payout below its asset's amount in `opens_from` opens no token account: without one the whole transaction fails.
    """
    payer = keypair.pubkey()
    instructions = [instruction for order in orders for instruction in _pay(payer, order, mints, opens_from or {})]
    message = MessageV0.try_compile(payer, instructions, [], Hash(bytes(Pubkey.from_string(terms.blockhash or ""))))
    transaction = VersionedTransaction(message, [keypair])
    return SignedPayouts(tuple(orders), terms, bytes(transaction), str(transaction.signatures[0]))


def payer_of(raw: bytes) -> str:
    """The wallet that a signed payout leaves from; ValueError for what is no transaction."""
    return str(VersionedTransaction.from_bytes(raw).message.account_keys[0])


def _pay(payer: Pubkey, order: Order, mints: Mapping[str, str], opens_from: Mapping[str, Money]) -> Iterator[Instruction]:
    to = Pubkey.from_string(order.destination)
    yield Instruction(MEMO, order.memo.encode(), list[AccountMeta]())
    if order.asset == "SOL":
        yield transfer(TransferParams(from_pubkey=payer, to_pubkey=to, lamports=order.amount_minor))
        return
    if order.asset not in mints:
        raise ValueError(f"no mint is known for {order.asset}")
    mint = Pubkey.from_string(mints[order.asset])
    source, target = token_account(payer, mint), token_account(to, mint)
    rest = [AccountMeta(key, False, False) for key in (to, mint, SYSTEM, TOKEN)]
    shape = [AccountMeta(payer, True, True), AccountMeta(target, False, True), *rest]
    account = Instruction(ASSOCIATED, CREATE_IDEMPOTENT, shape)
    data = bytes([TRANSFER_CHECKED]) + order.amount_minor.to_bytes(8, "little") + bytes([DECIMALS[order.asset]])
    metas = [AccountMeta(source, False, True), AccountMeta(mint, False, False), AccountMeta(target, False, True)]
    payment = Instruction(TOKEN, data, [*metas, AccountMeta(payer, True, False)])
    # Behind the payment it opens nothing, since that has failed where no account is; it still proves whose the account is.
    yield from (account, payment) if opens_account(order, opens_from) else (payment, account)


@dataclass(frozen=True, slots=True)
class Shown:
    """A transaction with what a node says came of it. Balances are lamports by address, tokens (owner, mint) → minor units."""

    raw: bytes
    fee: int
    lamports: Mapping[str, int]
    tokens: Mapping[tuple[str, str], int]
    owners: Mapping[str, tuple[str, str]]
    loaded: tuple[str, ...] = ()


def parts(shown: Shown, wallet: str, mints: Mapping[str, str]) -> tuple[tuple[Part, ...], str | None] | None:
    """What left `wallet` in a transaction without error: the payments that it names, and what left beside them.

    None when nothing left but fees. The rent of token accounts that it made is no payment.
    """
    message = VersionedTransaction.from_bytes(shown.raw).message
    keys = [*map(str, message.account_keys), *shown.loaded]
    assets = {mint: asset for asset, mint in mints.items()}
    found = tuple(_read(message, keys, wallet, shown.owners, assets))
    fee = shown.fee if keys[0] == wallet else 0
    left = _left(shown, wallet, fee, assets)
    for part in found:
        key = mints.get(part.asset)
        left[key] = left.get(key, 0) - part.amount_minor
    rent = sum(shown.lamports.get(made, 0) for made in _made(message, keys, wallet, shown))
    left[None] = left.get(None, 0) - rent
    stray = {key: amount for key, amount in left.items() if amount > 0}
    if not found and not stray:
        return None
    told = ", ".join(f"{amount} of {key or 'lamports'}" for key, amount in stray.items())
    return found, f"{told} beside what it names" if stray else None


def _left(shown: Shown, wallet: str, fee: int, mints: Container[str]) -> dict[str | None, int]:
    """What the wallet has less than before, by mint; None is SOL. Incoming money is below zero.

    Only what counts as money here: anybody may give the wallet a token of his own, and some kinds of token can be taken back.
    """
    left: dict[str | None, int] = {None: -shown.lamports.get(wallet, 0) - fee}
    for (owner, mint), change in shown.tokens.items():
        if owner == wallet and mint in mints:
            left[mint] = left.get(mint, 0) - change
    return left


def _read(
    message: Message | MessageV0,
    keys: Sequence[str],
    wallet: str,
    owners: Mapping[str, tuple[str, str]],
    assets: Mapping[str, str],
) -> Iterator[Part]:
    memo: str | None = None
    for item in message.instructions:
        program, data = keys[item.program_id_index], bytes(item.data)
        names = [keys[index] for index in bytes(item.accounts)]
        if program == str(MEMO):
            memo = data.decode(errors="replace")
        elif program == str(SYSTEM) and data[:4] == SYSTEM_TRANSFER and names[:1] == [wallet] and names[1] != wallet:
            yield Part(memo, names[1], "SOL", int.from_bytes(data[4:12], "little"))
            memo = None
        elif program == str(TOKEN) and data[:1] == bytes([TRANSFER_CHECKED]) and names[3:4] == [wallet]:
            owner, mint = owners.get(names[2], ("", names[1]))
            if mint in assets and owner != wallet:
                yield Part(memo, owner, assets[mint], int.from_bytes(data[1:9], "little"))
                memo = None


def _made(message: Message | MessageV0, keys: Sequence[str], wallet: str, shown: Shown) -> Iterator[str]:
    """Token accounts that the wallet paid the rent of: they were not there before, so what they have now came with it."""
    seen = set[str]()
    for item in message.instructions:
        names = [keys[index] for index in bytes(item.accounts)]
        is_made = _is_creation(keys, item) and names[:1] == [wallet] and shown.lamports.get(names[1], 0) > 0
        if is_made and names[1] not in seen:
            seen.add(names[1])
            yield names[1]


def _is_creation(keys: Sequence[str], item: CompiledInstruction) -> bool:
    return keys[item.program_id_index] == str(ASSOCIATED)
