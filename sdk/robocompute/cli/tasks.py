"""robocompute tasks: order, follow, stop, fetch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from robocompute.cli import progress
from robocompute.cli.context import Session, pass_session
from robocompute.cli.printing import plain, show, show_lines, show_rows
from robocompute.documents import Document

COLUMNS = ("task_id", "name", "status", "progress", "max_price_per_hour", "cost", "created_at")
ENDED_WELL = "completed"


@click.group()
def tasks() -> None:
    """Order containers to be run, and follow them."""


@tasks.command()
@click.option("--image", "docker_image", required=True, help="The container's image, such as python:3.12.")
@click.option("--name", help="What to call it. Else the image's name.")
@click.option("--cpu", "cpu_cores", type=float, default=1, show_default=True, help="Cores.")
@click.option("--ram", "ram_gb", type=float, default=1, show_default=True, help="Memory in GB.")
@click.option("--storage", "storage_gb", type=float, default=1, show_default=True, help="Disk in GB.")
@click.option("--gpu-memory", "gpu_memory_gb", type=float, help="Memory of the GPU in GB; makes it a GPU task.")
@click.option("--max-price", required=True, help="What an hour may cost at most, such as 10.00.")
@click.option("--currency", type=click.Choice(["USDC", "USDT"]), default="USDC", show_default=True)
@click.option("--timeout", "timeout_seconds", type=int, default=3600, show_default=True, help="Seconds until it is stopped.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), default="normal", show_default=True)
@click.option("--location", help="Only there, such as us-east.")
@click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", help="A variable of the container. May be repeated.")
@click.option("--network", is_flag=True, help="Let the container reach the network.")
@click.option("--watch", "is_watched", is_flag=True, help="Stay, with a progress bar, until it is over.")
@click.argument("command", nargs=-1)
@pass_session
def run(
    session: Session,
    docker_image: str,
    name: str | None,
    cpu_cores: float,
    ram_gb: float,
    storage_gb: float,
    gpu_memory_gb: float | None,
    max_price: str,
    currency: str,
    timeout_seconds: int,
    priority: str,
    location: str | None,
    environment: tuple[str, ...],
    network: bool,
    is_watched: bool,
    command: tuple[str, ...],
) -> None:
    """Order COMMAND to be run in a container; what the hold allows at most is set aside.

    Write -- before a command that has options of its own.
    """
    wanted = {"cpu_cores": cpu_cores, "ram_gb": ram_gb, "storage_gb": storage_gb}
    task = session.client.tasks.create(
        name=name or docker_image,
        type="cpu" if gpu_memory_gb is None else "gpu",
        resource_requirements=wanted if gpu_memory_gb is None else wanted | {"gpu_memory_gb": gpu_memory_gb},
        docker_image=docker_image,
        command=command,
        max_price_per_hour=max_price,
        timeout_seconds=timeout_seconds,
        priority=priority,
        environment=_variables(environment) or None,
        network=network or None,
        location=location,
        currency=currency,
    )
    show(session, task)
    if is_watched:
        _watch(session, task.task_id)


@tasks.command(name="list")
@click.option("--status", help="Only these: pending, accepted, running, completed, failed, cancelled, timeout.")
@click.option("--limit", type=int, default=50, show_default=True)
@click.option("--offset", type=int, default=0, show_default=True)
@pass_session
def list_tasks(session: Session, status: str | None, limit: int, offset: int) -> None:
    """One's tasks, the newest first."""
    show_rows(session, session.client.tasks.list(status, limit, offset), "tasks", COLUMNS)


@tasks.command(name="show")
@click.argument("task_id")
@pass_session
def show_task(session: Session, task_id: str) -> None:
    """All about a task."""
    show(session, session.client.tasks.get(task_id))


@tasks.command()
@click.argument("task_id")
@click.option("--max-price", help="What an hour may cost at most from now on.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]))
@click.option("--name", help="What to call it.")
@pass_session
def update(session: Session, task_id: str, max_price: str | None, priority: str | None, name: str | None) -> None:
    """Change what a task that waits may cost, and how soon it is run."""
    show(session, session.client.tasks.update(task_id, max_price, priority, name))


@tasks.command()
@click.argument("task_id")
@pass_session
def cancel(session: Session, task_id: str) -> None:
    """Stop a task; what it has not used is given back."""
    show(session, session.client.tasks.cancel(task_id))


@tasks.command()
@click.argument("task_id")
@pass_session
def watch(session: Session, task_id: str) -> None:
    """Follow a task, with a progress bar, until it is over. Exit status 1 unless it is completed."""
    _watch(session, task_id)


@tasks.command()
@click.argument("task_id")
@click.option("--lines", type=int, default=100, show_default=True, help="So many of the last ones.")
@click.option("-f", "--follow", is_flag=True, help="Then each as it is written, until the task is over.")
@pass_session
def logs(session: Session, task_id: str, lines: int, follow: bool) -> None:
    """What a task's container wrote."""
    client = session.client.tasks
    show_lines(session, client.get_logs(task_id, lines, follow=True) if follow else client.get_logs(task_id, lines).logs)


@tasks.command()
@click.argument("task_id")
@pass_session
def metrics(session: Session, task_id: str) -> None:
    """What a task's container uses."""
    show(session, session.client.tasks.get_metrics(task_id))


@tasks.command()
@click.argument("task_id")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write. Else TASK_ID.tar.gz.")
@pass_session
def results(session: Session, task_id: str, output: Path | None) -> None:
    """Fetch a task's results into a file, checked against their hash."""
    path = output or Path(f"{Path(task_id).name}.tar.gz")
    with progress.of_bytes(path.name) as tell:
        found = session.client.tasks.download_results(task_id, path, tell)
    show(session, Document(file=str(path), sha256=found.get("result_hash")))


def _watch(session: Session, task_id: str) -> None:
    def report(update: Document) -> None:
        if session.as_json:
            click.echo(json.dumps(update))
        else:
            click.echo(f"{plain(update.get('progress', 0)):>5} %  {plain(update.status)}", err=True)

    last = progress.follow(session.client.tasks.stream(task_id), report)
    task = session.client.tasks.get(task_id)
    if not session.as_json:
        show(session, task)
    if last is None or last.status != ENDED_WELL:
        sys.exit(1)


def _variables(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise click.BadParameter(f"{pair} is no NAME=VALUE", param_hint="--env")
        found[name] = value
    return found
