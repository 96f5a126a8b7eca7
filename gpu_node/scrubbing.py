"""What looks like a secret is in no log line of this host. The hub has the same rules; a node stands alone, and has its own copy.

What is logged should hold none to begin with. But errors bring texts of others: signed addresses, headers, a broker's password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

GONE = "..."
SHORTEST_SECRET = 8
_HINTS = ("=", "://", "eyJ", "ly_", "rc_", "earer", "asic", "uthorization", "ookie", "-key", "-Key", "-KEY", "ignature")
_END = r"[^&;\s\"'\\<>,)\]}]+"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(://)[^/\s\"'@\\]+@"), rf"\1{GONE}@"),
    (re.compile(r"eyJ[\w-]{5,400}+\.[\w-]*(?:\.[\w-]*)*"), GONE),
    (re.compile(r"\b(?:ly|rc)_[\w-]{16,}"), GONE),
    (re.compile(r"\b(bearer|basic)(\s+|%20|\+)[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {GONE}"),
    (re.compile(r"((?:token|secret|passw(?:or)?d|signature|credential|api[-_]?key|access_?key(?:_?id)?|(?<![^\W_])(?:key|sig|auth))"
                rf"=){_END}", re.IGNORECASE), rf"\1{GONE}"),
    (re.compile(r"((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-wallet-signature|stripe-signature|idempotency-key)"
                r"(\\?[\"']?\s*[:,]\s*b?\\?[\"']?)[^\"'\\\r\n]+", re.IGNORECASE), rf"\1\2{GONE}"),
)
_known: tuple[str, ...] = ()


def know(secrets: Iterable[str | None]) -> None:
    """Have these recognized wherever they turn up."""
    global _known
    kept = [secret for secret in secrets if secret and len(secret) >= SHORTEST_SECRET]
    _known = tuple({form for secret in kept for form in (secret, json.dumps(secret)[1:-1])})


def scrub(line: str) -> str:
    """A finished line without what could be a secret."""
    for secret in _known:
        line = line.replace(secret, GONE)
    if any(hint in line for hint in _HINTS):
        for pattern, kept in _RULES:
            line = pattern.sub(kept, line)
    return line
