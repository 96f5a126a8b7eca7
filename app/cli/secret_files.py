"""make-secrets: the files that docker-compose.yml reads its secrets from."""

from pathlib import Path

import click

from app.stack.secret_files import ALERTS, make


@click.command("make-secrets")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def make_secrets(folder: Path) -> None:
    """Make the secrets of docker-compose.yml that FOLDER lacks; those that are there stay as they are."""
    made = make(folder)
    click.echo("\n".join(f"made {folder / name}" for name in made) or "nothing was missing")
    if set(made) & set(ALERTS):
        click.echo(f"alerts go nowhere yet: write your chat's webhook addresses into {', '.join(ALERTS)}")


COMMANDS = (make_secrets,)
