"""The last line of defence: what looks like a secret, or is one of this hub's own, leaves no log line.

What is logged should hold none to begin with. But errors bring texts of others: addresses with keys in them, headers, rows.
A finished line is looked at, whatever it came from; most lines hold nothing that could begin a secret, and cost a few searches.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from app.config import Settings

GONE = "..."
SHORTEST_SECRET, SHORTEST_PART = 8, 10  # a part of an address that is shorter may be a word that lines need
_SECRET_SETTING = re.compile(r"secret|token|password|(?:^|_)keys?(?:_|$)")
_HINTS = (
    "=", "://", "eyJ", "ly_", "rc_", "earer", "asic", "uthorization", "ookie", "-key", "-Key", "-KEY", "ignature", "contains (",
    "syntax for",
)
_END = r"[^&;\s\"'\\<>,)\]}]+"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(://)[^/\s\"'@\\]+@"), rf"\1{GONE}@"),
    (re.compile(r"eyJ[\w-]{5,400}+\.[\w-]*(?:\.[\w-]*)*"), GONE),
    (re.compile(r"\b(?:ly|rc)_[\w-]{16,}"), GONE),
    (re.compile(r"\b(bearer|basic)(\s+|%20|\+)[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {GONE}"),
    (
        re.compile(
            r"((?:token|secret|passw(?:or)?d|signature|credential|api[-_]?key|access_?key(?:_?id)?|(?<![^\W_])(?:key|sig|auth))"
            rf"=){_END}",
            re.IGNORECASE,
        ),
        rf"\1{GONE}",
    ),
    (
        re.compile(
            r"((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-wallet-signature|stripe-signature|idempotency-key)"
            r"(\\?[\"']?\s*[:,]\s*b?\\?[\"']?)[^\"'\\\r\n]+",
            re.IGNORECASE,
        ),
        rf"\1\2{GONE}",
    ),
    # PostgreSQL's details quote what was stored.
    (re.compile(r"(Failing row contains \().{0,4000}?(\)\.|\)(?=\\n|\"))"), rf"\1{GONE}\2"),
    (
        re.compile(r"(Key \([^=]{0,200}?\)=\().{0,2000}?(\) (?:already exists|is not present|is still referenced|conflicts))"),
        rf"\1{GONE}\2",
    ),
    (re.compile(r"(invalid input syntax for type [\w ]{1,60}: )\\?\"(?:[^\"\\]|\\[^\"]){0,2000}\\?\""), rf"\1{GONE}"),
)
_LONG_PART = re.compile(r"[^/]{25,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?:[-.]\w{1,8})?")
_known: tuple[str, ...] = ()


def know(settings: Settings) -> None:
    """Have this hub's own secrets recognized wherever they turn up."""
    global _known
    found = [*secrets_of(settings), *_secrets_of_collectors()]
    _known = tuple(sorted({form for secret in found for form in _forms(secret)}, key=len, reverse=True))


def scrub(line: str) -> str:
    """A finished line of JSON, or any other text, without what could be a secret."""
    for secret in _known:
        if secret in line:
            line = line.replace(secret, GONE)
    for hint in _HINTS:
        if hint in line:
            break
    else:
        return line
    for pattern, kept in _RULES:
        line = pattern.sub(kept, line)
    return line


def shorten(path: str) -> str:
    """A request's path as it is logged: a long part that is no UUID is shown by its beginning, for it may be anything."""
    if len(path) < 26:
        return path
    return _LONG_PART.sub(lambda part: part[0] if _UUID.fullmatch(part[0]) else f"{part[0][:6]}{GONE}", path)


def secrets_of(settings: Settings) -> Iterator[str]:
    """Every value among the settings that is a secret, and the secret parts of those that are addresses."""
    for item in fields(Settings):
        value = getattr(settings, item.name)
        if not isinstance(value, str) or not value:
            continue
        if _SECRET_SETTING.search(item.name):
            yield from (part.strip() for part in {value, *value.split(",")} if len(part.strip()) >= SHORTEST_SECRET)
        if "://" in value:
            for part in value.split(","):
                yield from _secrets_in(part.strip(), is_rpc="rpc" in item.name or "api" in item.name)


def _secrets_of_collectors() -> Iterator[str]:
    """OpenTelemetry's own variables: `name=value,name=value`, and values are keys."""
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        for pair in os.environ.get(name, "").split(","):
            value = pair.partition("=")[2].strip()
            yield from (form for form in {value, unquote(value)} if len(form) >= SHORTEST_SECRET)


def _secrets_in(address: str, is_rpc: bool) -> Iterable[str]:
    """Passwords, queries, and what an RPC's address has for a path."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ()
    found = [parts.password or "", *(value for _, value in parse_qsl(parts.query))]
    if parts.username and not parts.password:
        found.append(parts.username)
    found += _long_parts(parts) if is_rpc else []
    return [part for text in found for part in {text, unquote(text)} if len(part) >= SHORTEST_PART]


def _long_parts(parts: SplitResult) -> list[str]:
    return [part for part in parts.path.split("/") if len(part) >= 16]


def _forms(secret: str) -> set[str]:
    """How a text may be written inside a line."""
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), repr(secret)[1:-1]}
