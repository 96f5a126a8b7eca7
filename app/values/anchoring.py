"""What is written on an EVM chain for a tree, and what is known of the transaction that carries it."""

from dataclasses import dataclass

TAG = b"LYA1"
DATA_BYTES = len(TAG) + 8 + 32


def encode(tree_size: int, root: bytes) -> bytes:
    """A transaction's data: the tag, the number of leaves (8 bytes, big-endian), the root."""
    if len(root) != 32:
        raise ValueError(f"a root has 32 bytes, not {len(root)}")
    return TAG + tree_size.to_bytes(8, "big") + root


def decode(data: bytes) -> tuple[int, bytes] | None:
    """(number of leaves, root), or None for data that is no anchor."""
    if len(data) != DATA_BYTES or not data.startswith(TAG):
        return None
    return int.from_bytes(data[len(TAG) : len(TAG) + 8], "big"), data[-32:]


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction offers, in wei per gas (EIP-1559)."""

    most: int
    priority: int

    def raised_above(self, others: "Fees") -> "Fees":
        """At least an eighth more than `others`: nodes take no cheaper replacement of a transaction they hold."""
        return Fees(max(self.most, others.most * 9 // 8 + 1), max(self.priority, others.priority * 9 // 8 + 1))


@dataclass(frozen=True, slots=True)
class SignedAnchor:
    """A transaction's bytes, which alone can be sent, and its hash, which is known before."""

    raw: bytes
    tx_hash: str
    fees: Fees


@dataclass(frozen=True, slots=True)
class Landing:
    """The block that a transaction is in, on the chain that the node follows now."""

    block_number: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class OnChain:
    """A mined transaction as the chain shows it to anybody."""

    data: bytes
    block_number: int
    sender: str
