"""What stands for each image of docker-compose.yml on a Debian machine: programs, and the folders and variables an image brings.

The entry points are Debian's programs in the place of the images' own. PostgreSQL's official image makes its cluster at the first
start; POSTGRES_START does the same in a few lines. The hub's and the node's images are read from their Dockerfiles.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

from tests.factories.compose import ROOT

POSTGRES = Path("/usr/lib/postgresql/15/bin")
POSTGRES_START = """
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" -A trust -E UTF8 --no-locale
    printf 'local all all trust\\nhost all all 127.0.0.1/32 trust\\nhost all all all scram-sha-256\\n' > "$PGDATA/pg_hba.conf"
    printf "listen_addresses = '*'\\nunix_socket_directories = '/var/run/postgresql'\\n" >> "$PGDATA/postgresql.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D "$PGDATA" postgres
fi
exec "$@"
"""
PROGRAMS = {  # program: Debian's package
    "redis-server": "redis-server",
    "rabbitmqctl": "rabbitmq-server",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "prometheus-postgres-exporter": "prometheus-postgres-exporter",
    "prometheus-redis-exporter": "prometheus-redis-exporter",
    "bwrap": "bubblewrap",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "wget": "wget",
    "psql": "postgresql-client-15",
    str(POSTGRES / "postgres"): "postgresql-15",
}


@dataclass(frozen=True)
class Image:
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: tuple[tuple[Path, str], ...] = ()  # of this machine, and where the image has them
    folders: tuple[str, ...] = ()
    folder: str = "/"
    user: str = "0:0"
    volume_folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def built(dockerfile: Path, stage: str, venv: Path) -> Image:
    """An image of ours: what its last stage copies, sets and runs as, with the checkout's own environment as its packages."""
    files = [(venv, "/venv"), (venv, str(venv))]  # scripts begin with the path of the environment's own Python
    if not sys.base_prefix.startswith("/usr"):
        files.append((Path(sys.base_prefix), sys.base_prefix))
    environment: dict[str, str] = {}
    user, is_there = "0:0", False
    for step in DockerfileParser(str(dockerfile)).structure:
        words = step["value"].split()
        if step["instruction"] == "FROM":
            is_there = words[-1] == stage or (stage == "" and "AS" not in words)
        elif is_there and step["instruction"] == "COPY" and not words[0].startswith("--"):
            files += [(ROOT / source, _target(source, words[-1])) for source in words[:-1]]
        elif is_there and step["instruction"] == "ENV":
            environment |= {name: value for name, _, value in (word.partition("=") for word in words)}
        elif is_there and step["instruction"] == "USER":
            user = step["value"]
    environment["PATH"] = environment["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
    folders = ("/data", "/signer", "/run/signer", "/backups", "/textfiles", "/metrics", "/home/node")
    return Image((), environment, tuple(files), folders, "/srv", user, {"/data": ("tmp",)})


def _target(source: str, target: str) -> str:
    return f"/srv/{Path(source).name}" if target == "./" else f"/srv/{target.removeprefix('./')}"


def all_images(folder: Path) -> dict[str, Image]:
    """Every image by the name that docker-compose.yml has for it."""
    plugins = folder / "enabled_plugins"
    plugins.write_text("[rabbitmq_management,rabbitmq_prometheus].\n")  # the official image's own
    plugins.chmod(0o644)
    hub = built(ROOT / "Dockerfile", "hub", Path(sys.prefix))
    path = "/usr/local/bin:/usr/bin:/bin"
    return {
        "lightyard/hub:1.0.0": hub,
        "lightyard/backup:1.0.0": hub,  # with Debian's own pg_dump
        "lightyard/node:1.0.0": built(ROOT / "gpu_node" / "Dockerfile", "", ROOT / ".venv-node"),
        "postgres:15.10-bookworm": Image(
            ("sh", "-ec", POSTGRES_START, "postgres"), {"PGDATA": "/var/lib/postgresql/data", "PATH": f"{POSTGRES}:{path}"}
        ),
        "redis:7.4.2-bookworm": Image(),
        "rabbitmq:3.13.7-management": Image(
            (), {"PATH": f"/usr/lib/rabbitmq/bin:{path}", "HOME": "/var/lib/rabbitmq", "RABBITMQ_LOGS": "-"},
            ((plugins, "/etc/rabbitmq/enabled_plugins"),),
        ),
        "prom/prometheus:v2.55.1": Image(("prometheus",)),
        "prom/alertmanager:v0.28.0": Image(("prometheus-alertmanager",)),
        "prom/node-exporter:v1.8.2": Image(("prometheus-node-exporter",)),
        "quay.io/prometheuscommunity/postgres-exporter:v0.16.0": Image(("prometheus-postgres-exporter",)),
        "oliver006/redis_exporter:v1.67.0-alpine": Image(("prometheus-redis-exporter",)),
        "rpc": Image(("python", "-m", "devnet"), hub.environment, hub.files, hub.folders, "/srv"),
    }
