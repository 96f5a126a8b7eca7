"""Memos of payments: public on their chain, so each carries the payment's reference and nothing else."""

import base64
import re
import uuid

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SHORT_CHARS = 20
MEMO = re.compile(rf"[a-z0-9]+:(?:{_UUID}|[a-z2-7]{{{SHORT_CHARS}}})")  # `<dialect>:<reference>`


def long(prefix: str, reference: uuid.UUID) -> str:
    """A memo that spells the whole reference."""
    return f"{prefix}{reference}"


def short(prefix: str, reference: uuid.UUID) -> str:
    """A memo of a hundred bits of the reference. Solana's memo program takes some 360 compute units for each character, and
    clients of x402 allow 20,000 for everything: more than 30 characters do not fit beside the transfer."""
    return prefix + base64.b32encode(reference.bytes).decode().lower()[:SHORT_CHARS]
