"""SPL token accounts and mints as they lie in an account's bytes (Token-2022's extensions are not read)."""

from dataclasses import dataclass

from solders.account import Account
from solders.pubkey import Pubkey

TOKEN_PROGRAM = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022_PROGRAM = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED_PROGRAM = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
PROGRAM_NAMES = {TOKEN_PROGRAM: "spl-token", TOKEN_2022_PROGRAM: "spl-token-2022"}
MINT_BYTES = 82
HOLDING_BYTES = 165
STATES = ("uninitialized", "initialized", "frozen")
MINT_TYPE, HOLDING_TYPE = 1, 2  # Token-2022 marks extended accounts by one byte after the first 165


@dataclass(frozen=True, slots=True)
class Mint:
    authority: Pubkey | None
    supply: int
    decimals: int
    is_initialized: bool
    freeze_authority: Pubkey | None


@dataclass(frozen=True, slots=True)
class Holding:
    """A token account: `amount` in minor units; `rent_reserve` only for wrapped SOL."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    delegate: Pubkey | None
    state: str
    rent_reserve: int | None
    delegated_amount: int
    close_authority: Pubkey | None


def _is(account: Account | None, size: int, kind: int) -> bool:
    if account is None or account.owner not in PROGRAM_NAMES:
        return False
    data = account.data
    is_extended = account.owner == TOKEN_2022_PROGRAM and len(data) > HOLDING_BYTES
    return len(data) == size or (is_extended and data[HOLDING_BYTES] == kind)


def _number(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 8], "little")


def _optional_key(data: bytes, start: int) -> Pubkey | None:
    return Pubkey(data[start + 4 : start + 36]) if data[start] else None


def read_mint(account: Account | None) -> Mint | None:
    if account is None or not _is(account, MINT_BYTES, MINT_TYPE):
        return None
    data = account.data
    return Mint(_optional_key(data, 0), _number(data, 36), data[44], bool(data[45]), _optional_key(data, 46))


def read_holding(account: Account | None) -> Holding | None:
    """None for what is no token account, or is not initialized yet."""
    if account is None or not _is(account, HOLDING_BYTES, HOLDING_TYPE):
        return None
    data = account.data
    state = STATES[data[108]] if data[108] < len(STATES) else STATES[0]
    if state == STATES[0]:
        return None
    reserve = _number(data, 113) if data[109] else None
    return Holding(
        mint=Pubkey(data[0:32]),
        owner=Pubkey(data[32:64]),
        amount=_number(data, 64),
        delegate=_optional_key(data, 72),
        state=state,
        rent_reserve=reserve,
        delegated_amount=_number(data, 121),
        close_authority=_optional_key(data, 129),
    )


def associated_address(owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN_PROGRAM) -> Pubkey:
    return Pubkey.find_program_address([bytes(owner), bytes(program), bytes(mint)], ASSOCIATED_PROGRAM)[0]
