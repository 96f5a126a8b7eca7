"""File names given by strangers: made harmless, or refused when they try something."""

from __future__ import annotations

import re
import unicodedata

from app.errors import InvalidInput

NAME_LIMIT_BYTES = 120
PART_LIMIT_BYTES = 255

_FORBIDDEN_ON_DISKS = re.compile(r'[<>:"|?*]')
_DRIVE = re.compile(r"[A-Za-z]:")
_RESERVED_ON_WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def clean_file_name(name: str) -> str:
    """The last part of `name`, safe to store, to show and to send in a header; its extension is kept.

    Folders are cut off (old browsers send them). Control and invisible characters, and `..`, are refused:
    NAME_INVALID.
    """
    plain = _normalise(name)
    parts = [part.strip() for part in plain.replace("\\", "/").split("/")]
    if ".." in parts:
        raise _refuse(name, "it points to a parent folder")
    base = _FORBIDDEN_ON_DISKS.sub("_", parts[-1]).strip(" .")
    if not base or not re.search(r"\w", base):
        raise _refuse(name, "nothing is left of it without its folders")
    if _RESERVED_ON_WINDOWS.fullmatch(base):
        base = f"_{base}"
    return _shorten(base)


def clean_member_path(name: str) -> str:
    """A path inside an archive: relative, inside, forward slashes only. Anything else is refused, never
    repaired."""
    plain = _normalise(name)
    if plain != unicodedata.normalize("NFC", name) and "/" in plain and plain.count("/") != name.count("/"):
        raise _refuse(name, "it hides a folder separator")
    if "\\" in plain or plain.startswith("/") or _DRIVE.match(plain):
        raise _refuse(name, "it is not a relative path with forward slashes")
    if any(part in ("", ".", "..") for part in plain.rstrip("/").split("/")):
        raise _refuse(name, "it points outside the archive")
    if len(name.encode("utf-8", "surrogatepass")) > 512 or len(plain.encode("utf-8", "surrogatepass")) > 512:
        raise _refuse(name, "it is longer than 512 bytes")
    if any(len(part.encode("utf-8", "surrogatepass")) > PART_LIMIT_BYTES for part in name.split("/")):
        raise _refuse(name, f"a part of it is longer than {PART_LIMIT_BYTES} bytes, which no disk takes")
    return plain


def extension_of(name: str) -> str:
    """The extension in lower case with its dot, or an empty text."""
    _, dot, extension = name.rpartition(".")
    return f".{extension.lower()}" if dot else ""


def _normalise(name: str) -> str:
    """Fold look-alikes (full-width slashes and dots) and refuse what cannot be seen."""
    if not isinstance(name, str) or not name or len(name) > 4096:
        raise InvalidInput("The file needs a name of 1 to 4096 characters.", code="NAME_INVALID")
    plain = unicodedata.normalize("NFKC", name)
    if any(unicodedata.category(char)[0] == "C" for char in name + plain):
        raise _refuse(name, "it holds control or invisible characters")
    return plain


def _shorten(base: str) -> str:
    extension = extension_of(base)
    if len(extension.encode()) > 16:
        extension = ""
    stem = base[: len(base) - len(extension)] if extension else base
    room = NAME_LIMIT_BYTES - len(extension.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") + extension


def _refuse(name: str, reason: str) -> InvalidInput:
    return InvalidInput(
        f"The file name {name[:80]!a} is refused: {reason}. Rename the file and send it again.",
        code="NAME_INVALID",
    )
