"""One setting: how it is declared, and how its value is read, from the environment or from a file that is named there."""

from collections.abc import Mapping
from dataclasses import Field, field
from pathlib import Path
from typing import Any

from app.errors import ConfigError

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}
TYPES = {bool: "on/off", int: "whole number", str: "text"}


def setting(default: Any, description: str, unit: str = "", least: int = 0, most: int = 2**62, choices: str = "") -> Any:
    """Declare one setting; its environment variable is the upper-case field name. Bounds are for numbers, `choices` for words."""
    metadata = {"description": description, "unit": unit, "least": least, "most": most, "choices": tuple(choices.split())}
    return field(default=default, metadata=metadata)


def read(item: Field[Any], text: str) -> Any:
    """A setting's value from its text. ConfigError, with its name, for one that it can't take."""
    return _bounded(item, _parse(item.name, type(item.default), text))


def _parse(name: str, kind: type, text: str) -> Any:
    """Turn an environment variable's text into the setting's type, or say what it must look like."""
    if kind is bool:
        if text.strip().lower() in _TRUE | _FALSE:
            return text.strip().lower() in _TRUE
        raise ConfigError(f"{name.upper()} must be on or off, not {text!r}")
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ConfigError(f"{name.upper()} must be a whole number, not {text!r}") from None
    return text


def _bounded(item: Field[Any], value: Any) -> Any:
    """The value, when it is one that the setting can take."""
    least, most, choices = (item.metadata[key] for key in ("least", "most", "choices"))
    if type(value) is int and not least <= value <= most:
        limits = f"{least} or more" if most == 2**62 else f"from {least} to {most}"
        raise ConfigError(f"{item.name.upper()} must be {limits}, not {value}")
    if choices and value not in choices:
        raise ConfigError(f"{item.name.upper()} must be {' or '.join(choices)}, not {value!r}")
    return value


def given(name: str, source: Mapping[str, str]) -> str:
    """What is said of one setting, empty where nothing is. An empty file is a mistake: the default would be no secret."""
    text, path = source.get(name, ""), source.get(f"{name}_FILE", "")
    if path == "":
        return text
    if text != "":
        raise ConfigError(f"{name} and {name}_FILE are both set: keep one of them")
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for, or be empty the second time
            raise ConfigError(f"{name}_FILE={path} is no plain file: write the value into one, and name that")
        content = Path(path).read_text(encoding="utf-8-sig").rstrip("\r\n")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{name}_FILE={path} can't be read: {reason}; name a file that this process may read") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}_FILE={path} is not UTF-8 text") from None
    if content == "":
        raise ConfigError(f"{name}_FILE={path} is empty: write the value into it, or leave {name}_FILE away")
    return content
