"""What TON shows: accounts, messages and transactions, without any SDK. Hashes are 64 hex digits, lower case."""

from dataclasses import dataclass

from app.values.ton_address import TonAddress

ZERO_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class ChainMoment:
    """The newest masterchain block that a node tells of; `unix_time` is that block's, in seconds."""

    masterchain_seqno: int
    unix_time: int


@dataclass(frozen=True, slots=True)
class TonAccount:
    """`state`: active, uninitialized or frozen. An account without a transaction has last_lt 0 and ZERO_HASH.

    `code_hash` is None unless the account is active. `as_of` is the block that shows it so: two answers may be from two nodes,
    and one of them may be behind.
    """

    balance_nano: int
    state: str
    last_lt: int
    last_hash: str
    code_hash: str | None = None
    as_of: ChainMoment | None = None


@dataclass(frozen=True, slots=True)
class JettonNotice:
    """What a jetton wallet says of a transfer: `sender` is whose wallet sent it, None where the message does not tell."""

    amount_minor: int
    sender: TonAddress | None
    comment: str | None


@dataclass(frozen=True, slots=True)
class TonMessage:
    """`source` is None for a message from outside the chain, `destination` None for one to outside.

    `comment` is the text after op 0, None for no text. `op` is the body's first 32 bits, None for a shorter body. `jetton` is
    set for a transfer_notification and an internal_transfer, whoever they are from. `message_hash` is of the message's cell.
    """

    source: TonAddress | None
    destination: TonAddress | None
    value_nano: int
    is_bounced: bool
    comment: str | None
    op: int | None
    body_hash: str
    message_hash: str
    jetton: JettonNotice | None = None


@dataclass(frozen=True, slots=True)
class TonTransaction:
    """One transaction of one account, read from its own cells; `hash` is computed from them.

    `previous_lt` and `previous_hash` name the account's transaction before it (0 and ZERO_HASH: none). `exit_code` is the
    contract's, None when it did not run; `action_code` is of its actions, None without any. An aborted transaction keeps the
    message's value unless `is_returned`: then the value went back to its sender in a bounced message. `is_undeployed` means
    that it was aborted only because the account has no code yet.
    """

    account: TonAddress
    lt: int
    hash: str
    unix_time: int
    in_message: TonMessage | None
    out_messages: tuple[TonMessage, ...]
    is_aborted: bool
    exit_code: int | None
    previous_lt: int = 0
    previous_hash: str = ZERO_HASH
    action_code: int | None = None
    is_returned: bool = False
    is_undeployed: bool = False
