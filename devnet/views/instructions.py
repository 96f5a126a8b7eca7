"""Instructions as `jsonParsed` shows them: system, token, associated-token and memo; the rest stays base58."""

from collections.abc import Callable
from typing import Any

from solders.pubkey import Pubkey

from devnet import base58
from devnet.history import MEMO_PROGRAMS
from devnet.tokens import ASSOCIATED_PROGRAM, PROGRAM_NAMES
from devnet.views.accounts import amount

SYSTEM = Pubkey(bytes(32))
Parsed = tuple[str, dict[str, Any]]
AUTHORITY_TYPES = ("mintTokens", "freezeAccount", "accountOwner", "closeAccount")


def parse(program: Pubkey, accounts: list[str], data: bytes) -> tuple[str, Any] | None:
    """(program's name, what it was told), or None for what this server does not read."""
    if str(program) in MEMO_PROGRAMS:
        return "spl-memo", data.decode("utf-8", "replace")
    try:
        if program == SYSTEM:
            return _named("system", _system(accounts, data))
        if program in PROGRAM_NAMES:
            return _named(PROGRAM_NAMES[program], _token(accounts, data))
        if program == ASSOCIATED_PROGRAM:
            return _named("spl-associated-token-account", _associated(accounts, data))
    except (IndexError, ValueError):
        return None  # too few accounts or bytes: the program refused it as well
    return None


def _named(name: str, parsed: Parsed | None) -> tuple[str, Any] | None:
    return None if parsed is None else (name, {"type": parsed[0], "info": parsed[1]})


def _u64(data: bytes, start: int) -> int:
    if len(data) < start + 8:
        raise ValueError("the data ends too soon")
    return int.from_bytes(data[start : start + 8], "little")


def _key(data: bytes, start: int) -> str:
    return str(Pubkey(data[start : start + 32]))


def _system(at: list[str], data: bytes) -> Parsed | None:
    kind = int.from_bytes(data[:4], "little")
    if kind == 0:
        made = {"source": at[0], "newAccount": at[1], "lamports": _u64(data, 4), "space": _u64(data, 12)}
        return "createAccount", made | {"owner": _key(data, 20)}
    if kind == 1:
        return "assign", {"account": at[0], "owner": _key(data, 4)}
    if kind == 2:
        return "transfer", {"source": at[0], "destination": at[1], "lamports": _u64(data, 4)}
    if kind == 4:
        return "advanceNonce", {"nonceAccount": at[0], "recentBlockhashesSysvar": at[1], "nonceAuthority": at[2]}
    if kind == 8:
        return "allocate", {"account": at[0], "space": _u64(data, 4)}
    if kind == 11:
        seed_end = 20 + _u64(data, 12)
        moved = {"source": at[0], "sourceBase": at[1], "destination": at[2], "lamports": _u64(data, 4)}
        seed = data[20:seed_end].decode()
        return "transferWithSeed", moved | {"sourceSeed": seed, "sourceOwner": _key(data, seed_end)}
    return None


def _signed(info: dict[str, Any], at: list[str], place: int, name: str = "authority") -> dict[str, Any]:
    """Who signed: one key, or a multisig and its signers."""
    if len(at) > place + 1:
        multisig = f"multisig{name[0].upper()}{name[1:]}"
        return info | {multisig: at[place], "signers": at[place + 1 :]}
    return info | {name: at[place]}


def _token(at: list[str], data: bytes) -> Parsed | None:
    reader = TOKEN_READERS.get(data[0])
    return None if reader is None else reader(at, data)


def _initialize_mint(at: list[str], data: bytes) -> Parsed:
    info: dict[str, Any] = {"mint": at[0], "decimals": data[1], "mintAuthority": _key(data, 2)}
    if data[34]:
        info["freezeAuthority"] = _key(data, 35)
    return ("initializeMint", info | {"rentSysvar": at[1]}) if data[0] == 0 else ("initializeMint2", info)


def _initialize_account(at: list[str], data: bytes) -> Parsed:
    info = {"account": at[0], "mint": at[1]}
    if data[0] == 1:
        return "initializeAccount", info | {"owner": at[2], "rentSysvar": at[3]}
    owned = info | {"owner": _key(data, 1)}
    return ("initializeAccount2", owned | {"rentSysvar": at[2]}) if data[0] == 16 else ("initializeAccount3", owned)


def _transfer(at: list[str], data: bytes) -> Parsed:
    info = {"source": at[0], "destination": at[1], "amount": str(_u64(data, 1))}
    return "transfer", _signed(info, at, 2)


def _transfer_checked(at: list[str], data: bytes) -> Parsed:
    info = {"source": at[0], "mint": at[1], "destination": at[2], "tokenAmount": amount(_u64(data, 1), data[9])}
    return "transferChecked", _signed(info, at, 3)


def _mint_to(at: list[str], data: bytes) -> Parsed:
    info = {"mint": at[0], "account": at[1]}
    if data[0] == 14:
        return "mintToChecked", _signed(info | {"tokenAmount": amount(_u64(data, 1), data[9])}, at, 2, "mintAuthority")
    return "mintTo", _signed(info | {"amount": str(_u64(data, 1))}, at, 2, "mintAuthority")


def _burn(at: list[str], data: bytes) -> Parsed:
    info = {"account": at[0], "mint": at[1]}
    if data[0] == 15:
        return "burnChecked", _signed(info | {"tokenAmount": amount(_u64(data, 1), data[9])}, at, 2)
    return "burn", _signed(info | {"amount": str(_u64(data, 1))}, at, 2)


def _approve(at: list[str], data: bytes) -> Parsed:
    if data[0] == 13:
        info: dict[str, Any] = {"source": at[0], "mint": at[1], "delegate": at[2]}
        return "approveChecked", _signed(info | {"tokenAmount": amount(_u64(data, 1), data[9])}, at, 3, "owner")
    info = {"source": at[0], "delegate": at[1], "amount": str(_u64(data, 1))}
    return "approve", _signed(info, at, 2, "owner")


def _set_authority(at: list[str], data: bytes) -> Parsed | None:
    if data[1] >= len(AUTHORITY_TYPES):
        return None
    owned = "mint" if data[1] < 2 else "account"
    new = _key(data, 3) if data[2] else None
    info = {owned: at[0], "authorityType": AUTHORITY_TYPES[data[1]], "newAuthority": new}
    return "setAuthority", _signed(info, at, 1)


def _close(at: list[str], data: bytes) -> Parsed:
    return "closeAccount", _signed({"account": at[0], "destination": at[1]}, at, 2, "owner")


TOKEN_READERS: dict[int, Callable[[list[str], bytes], Parsed | None]] = {
    0: _initialize_mint,
    1: _initialize_account,
    3: _transfer,
    4: _approve,
    5: lambda at, data: ("revoke", _signed({"source": at[0]}, at, 1, "owner")),
    6: _set_authority,
    7: _mint_to,
    8: _burn,
    9: _close,
    12: _transfer_checked,
    13: _approve,
    14: _mint_to,
    15: _burn,
    16: _initialize_account,
    17: lambda at, data: ("syncNative", {"account": at[0]}),
    18: _initialize_account,
    20: _initialize_mint,
    21: lambda at, data: ("getAccountDataSize", {"mint": at[0]}),
    22: lambda at, data: ("initializeImmutableOwner", {"account": at[0]}),
}


def _associated(at: list[str], data: bytes) -> Parsed | None:
    kind = data[0] if data else 0
    if kind == 2:
        nested = ("nestedSource", "nestedMint", "destination", "nestedOwner", "ownerMint", "wallet", "tokenProgram")
        return "recoverNested", dict(zip(nested, at, strict=False))
    if kind > 2:
        return None
    names = ("source", "account", "wallet", "mint", "systemProgram", "tokenProgram")
    return "create" if kind == 0 else "createIdempotent", dict(zip(names, (at[i] for i in range(6)), strict=True))


def show(program: Pubkey, accounts: list[str], data: bytes, stack_height: int | None) -> dict[str, Any]:
    """One instruction of a `jsonParsed` transaction."""
    parsed = parse(program, accounts, data)
    if parsed is None:
        shown = {"programId": str(program), "accounts": accounts, "data": base58.encode(data)}
        return shown | {"stackHeight": stack_height}
    return {"program": parsed[0], "programId": str(program), "parsed": parsed[1], "stackHeight": stack_height}
