"""`lightyard-node`: joins a hub and works, or looks at this host, or renders a scene here without any hub."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gpu_node import AGENT_NAME
from gpu_node.agent import Agent
from gpu_node.client import HubAway, HubClient, HubRefused
from gpu_node.config import NodeSettings, SettingError, read_settings
from gpu_node.doctor import examine
from gpu_node.failures import NodeError, WorkFailed
from gpu_node.host import find_host
from gpu_node.installation import prepare
from gpu_node.interruption import call_when_told_to_end
from gpu_node.keys import load_or_create_key, public_key_text
from gpu_node.logs import log_uncaught, set_up_logging
from gpu_node.machine import describe_machine
from gpu_node.offer import look_for_engine, offered
from gpu_node.registration import enrolment_message, register, sign_with_wallet
from gpu_node.runners.blender.runner import BlenderRunner, Picture, Scene
from gpu_node.session import Limits

log = logging.getLogger(__name__)


def _settings() -> NodeSettings:
    try:
        settings = read_settings()
    except SettingError as error:
        raise click.ClickException(str(error)) from error
    set_up_logging(settings.log_level)
    return settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(AGENT_NAME)
@click.option("--relay", is_flag=True, help="The same as `run --relay`.")
@click.pass_context
def main(context: click.Context, relay: bool) -> None:
    """Lend this host to a Lightyard hub. Settings come from the environment: see gpu_node/README.md."""
    if context.invoked_subcommand is not None:
        return
    if relay:
        context.invoke(run, relay=True)
    else:
        click.echo(context.get_help())


@main.command()
@click.option("--poll", is_flag=True, help="Ask the hub for work now and then even where a broker is known.")
@click.option("--relay", is_flag=True, help="Have the work pushed through one socket that this host opens: no broker is needed.")
def run(poll: bool = False, relay: bool = False) -> None:
    """Join the hub and work until SIGTERM or Ctrl-C; then finish the frame under way and leave.

    Listens to the broker of BROKER_URL, or the one that the hub gives; without one it asks the hub every NODE_POLL_SECONDS.
    """
    settings = _settings()
    log_uncaught()
    if relay and poll:
        raise click.UsageError("--poll and --relay are two ways of being told of work: choose one")
    settings = replace(settings, relay=relay or (settings.relay and not poll))
    if not poll and not settings.relay:
        if _serve_doorbell(settings):
            return
        log.warning("no broker is known: asking the hub for work instead", extra={"poll_seconds": settings.poll_seconds})
    _serve(settings)


def _serve_doorbell(settings: NodeSettings) -> bool:
    """Works as a Celery worker to the end; False when no broker is known, neither here nor to the hub."""
    from gpu_node.celery_app import NoBroker, app

    try:
        app.worker_main(["worker", "-Q", ",".join(settings.capabilities), "--loglevel", settings.log_level])
    except NoBroker:
        return False
    return True


def _serve(settings: NodeSettings) -> None:
    """Works to the end on what the relay pushes, or on idle looks alone."""
    try:
        agent = Agent(settings)
    except NodeError as error:
        raise click.ClickException(str(error)) from error
    stop, joined = threading.Event(), threading.Event()

    def leave() -> None:
        stop.set()
        if not joined.is_set():
            agent.stopping.set()  # a hub that is away would be waited for

    call_when_told_to_end(leave)
    try:
        agent.join()
        joined.set()
    except NodeError as error:
        agent.close()
        if stop.is_set():
            return
        raise click.ClickException(str(error)) from error
    if not stop.is_set():
        agent.start()
        stop.wait()
    agent.close()


@main.command()
def doctor() -> None:
    """Say what this host has, what it lacks, and how to mend it. Exit status 1 when it could not work."""
    findings = examine(_settings())
    for finding in findings:
        click.echo(f"{finding.mark:5} {finding.name}: {finding.text}")
        if finding.advice:
            click.echo(f"      -> {finding.advice}")
    sys.exit(1 if any(finding.mark == "BAD" for finding in findings) else 0)


@main.command()
@click.pass_context
def setup(context: click.Context) -> None:
    """Make this host ready: system libraries (as root), Blender, an identity; then look at it as `doctor` does."""
    try:
        prepare(_settings(), click.echo)
    except NodeError as error:
        raise click.ClickException(str(error)) from error
    context.invoke(doctor)


@main.command()
@click.option("--provider", "provider_id", envvar="ENROL_PROVIDER_ID", required=True, help="The provider's id, a UUID.")
@click.option("--keypair", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A Solana CLI keypair file of the provider's wallet, to sign with here.")
@click.option("--timestamp", type=int, help="The timestamp of a message that was signed elsewhere, with --signature.")
@click.option("--signature", help="The wallet's signature over the message, base58 or base64.")
def enrol(provider_id: str, keypair: Path | None, timestamp: int | None, signature: str | None) -> None:
    """Enrol this host's key for a provider. Without --keypair it prints the message to sign and asks for the signature."""
    settings = _settings()
    try:
        key = load_or_create_key(settings.home)
        seconds = timestamp if timestamp is not None else int(time.time())
        message = enrolment_message(provider_id, key, seconds)
        if keypair is not None:
            signature = sign_with_wallet(keypair, message)
        if signature is None:
            click.echo(f"Sign this text with the provider's wallet, within 5 minutes:\n\n{message}\n")
            signature = click.prompt("signature (base58 or base64)").strip()
        enrolment = {"provider_id": provider_id, "timestamp": seconds, "signature": signature}
        client = HubClient(settings.hub_url, threading.Event())
        try:
            capabilities = offered(settings.capabilities, look_for_engine(settings) is not None)
            own = replace(settings, api_key=None, provider_id=None, capabilities=capabilities)  # the wallet's word stands alone
            answer = register(client, own, key, describe_machine(*find_host(settings)), enrolment, 20.0)
        finally:
            client.close()
    except HubRefused as refused:
        raise click.ClickException(f"the hub refused the enrolment: {refused.message}") from refused
    except (NodeError, HubAway, SettingError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"enrolled node {answer['node_id']} (key {public_key_text(key)}) for provider {provider_id}; "
               f"it listens to {', '.join(answer['queues'].values())}")


@main.command()
@click.argument("scene", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--frame", default=1, show_default=True)
@click.option("--width", type=int)
@click.option("--height", type=int)
@click.option("--samples", type=int)
@click.option("--engine", type=click.Choice(["cycles", "eevee"]))
@click.option("--format", "output_format", type=click.Choice(["PNG", "JPEG", "EXR"]), default="PNG")
@click.option("--camera")
@click.option("--output", type=click.Path(path_type=Path), help="Where the picture goes; beside the scene when absent.")
def render(scene: Path, frame: int, output: Path | None, **settings: Any) -> None:
    """Render one frame of SCENE here, without a hub, in the same sandbox."""
    def work(runner: BlenderRunner, local: Scene) -> None:
        picture = runner.render(local, settings, Limits(), frame)
        target = output or Path.cwd() / f"{scene.stem}_{frame:04d}{picture.path.suffix}"
        target.write_bytes(picture.path.read_bytes())
        _show_picture(picture, target)

    _with_runner(scene, work)


@main.command()
@click.argument("scene", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def inspect(scene: Path) -> None:
    """Print what SCENE holds and what it lacks, as JSON."""
    _with_runner(scene, lambda runner, local: click.echo(json.dumps(runner.inspect(local, Limits()), indent=2)))


def _with_runner(scene: Path, work: Any) -> None:
    settings = _settings()
    with tempfile.TemporaryDirectory(prefix="lightyard-") as folder:
        try:
            host, _ = find_host(settings)
            runner = BlenderRunner(host, Path(folder), settings.max_scene_bytes, settings.max_memory_bytes)
            try:
                work(runner, Scene("local", scene.resolve(), scene.resolve().parent))
            finally:
                runner.close_all()
        except WorkFailed as failed:
            raise click.ClickException(f"{failed.code.value}: {failed.message}") from failed
        except NodeError as error:
            raise click.ClickException(str(error)) from error


def _show_picture(picture: Picture, target: Path) -> None:
    for warning in picture.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{target}  {picture.settings['width']}x{picture.settings['height']}  {picture.settings['samples']} samples"
               f"  {picture.device}  {picture.seconds:.2f} s")


if __name__ == "__main__":
    main()
