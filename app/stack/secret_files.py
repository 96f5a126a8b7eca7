"""The secrets of docker-compose.yml as files: each made once, at random, and written in each shape that a service reads."""

import json
import os
import secrets
from pathlib import Path

from app.errors import ConfigError

FILE_MODE, FOLDER_MODE = 0o640, 0o750
NOWHERE = "http://127.0.0.1:9/write-the-address-of-your-chat-here"
ALERTS = ("alerts_page_url", "alerts_warn_url", "alerts_info_url")
RANDOM = ("secret_key", "metrics_token", "postgres_password", "redis_password", "rabbitmq_password", "grafana_password")
OPTIONAL_FOLDERS = ("hub", "worker")  # secrets that not every site has: one file each, named by NAME_FILE in hub.env


def make(folder: Path) -> list[str]:
    """Write what is missing below `folder`, and say which files those were. Nothing that is there is changed."""
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        for name in OPTIONAL_FOLDERS:
            (folder / name).mkdir(mode=FOLDER_MODE, exist_ok=True)
        made = [name for name in RANDOM if _write(folder / name, secrets.token_hex(32))]
        made += [name for name in ALERTS if _write(folder / name, NOWHERE)]
        return made + [name for name, text in _derived(folder).items() if _write(folder / name, text)]
    except OSError as error:
        place = error.filename or folder
        raise ConfigError(f"{place} can't be used: {error.strerror}; give a folder that this user owns") from None


def _derived(folder: Path) -> dict[str, str]:
    """What services want to read in a shape of their own."""
    postgres, redis, rabbitmq = (
        (folder / f"{name}_password").read_text().strip() for name in ("postgres", "redis", "rabbitmq")
    )
    return {
        "database_url": f"postgresql://lightyard:{postgres}@postgres:5432/lightyard",
        "redis_url": f"redis://:{redis}@redis:6379/0",
        "redis.conf": f"requirepass {redis}",
        "redis_exporter.json": json.dumps({"redis://redis:6379": redis}),
        "broker_url": f"amqp://lightyard:{rabbitmq}@rabbitmq:5672//",
        "hub/rabbitmq_api_url": f"http://lightyard:{rabbitmq}@rabbitmq:15672",
        "rabbitmq.conf": f"default_user = lightyard\ndefault_pass = {rabbitmq}",
    }


def _write(path: Path, text: str) -> bool:
    """Whether the file was made now."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as file:
        os.fchmod(file.fileno(), FILE_MODE)
        file.write(f"{text}\n")
    return True
