"""doctor: what is missing on this machine."""

import sys
from dataclasses import asdict

import click

from app.cli.printing import as_json_option, examples, print_json
from app.config import load
from app.stack.doctor import BAD, examine


@click.command(epilog=examples("doctor", "doctor --json | jq '.[] | select(.mark == \"FAIL\")'"))
@as_json_option
def doctor(as_json: bool) -> None:
    """Say what this machine has, what it lacks, and how to mend it. Exit status 1 when `lightyard up` could not run."""
    findings = examine(load())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.mark:5} {finding.name}: {finding.text}")
            if finding.advice:
                click.echo(f"      -> {finding.advice}")
    sys.exit(1 if any(finding.mark == BAD for finding in findings) else 0)


COMMANDS = (doctor,)
