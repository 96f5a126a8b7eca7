"""doctor: what is missing on this machine."""

import sys
from dataclasses import asdict

import click

from app.cli.printing import as_json_option, examples, plain, print_json
from app.config import load
from app.observability import logs
from app.stack.doctor import FAIL, examine


@click.command(epilog=examples("doctor", "doctor --json | jq '.[] | select(.mark == \"FAIL\")'"))
@as_json_option
def doctor(as_json: bool) -> None:
    """Say what this machine has, what it lacks, and how to mend it.

    Looks at the settings, or at the stack that runs in LIGHTYARD_HOME: everything at once, ten seconds at most, and a
    minute for the GPU node's Blender (NODES=0 leaves that out). OK is well, WARN runs with less, FAIL can't run: exit status 1.
    """
    logs.configure("ERROR")
    findings = examine(load())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(plain(f"{finding.mark:5} {finding.name}: {finding.text}"))
            if finding.advice:
                click.echo(plain(f"      -> {finding.advice}"))
    sys.exit(1 if any(finding.mark == FAIL for finding in findings) else 0)


COMMANDS = (doctor,)
