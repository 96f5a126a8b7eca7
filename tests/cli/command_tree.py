"""The whole command line as a table, run by its entry point in this process: an exception that gets out is a traceback."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import pytest
import structlog

from app import cli

# What reads: with arguments, where it needs any; {names} are filled in by the test that runs it. None: its own tests run it.
READING: dict[str, str | None] = {
    "backups list": None,
    "check-config": "",
    "credits balance": "jane@example.com",
    "dead-letters list": "",
    "dead-letters show": "{letter}",
    "disputes list": "",
    "disputes show": None,
    "doctor": "",
    "invariants": "",
    "keys list": "",
    "ledger balances": "",
    "ledger entries": "jane@example.com",
    "ledger statement": "jane@example.com --asset CREDIT",
    "ledger totals": "",
    "ledger transfer": "{reference}",
    "nodes list": "",
    "nodes show": "{node}",
    "payouts differences": "",
    "payouts list": "",
    "payouts show": "{payout}",
    "payouts wallets": "",
    "settings": "",
    "signer addresses": "",
    "stripe problems": "",
    "ton unclaimed": "",
    "verify-proof": "{proof}",
    "wallet": "",
}
UUID = "5f0c1c9e-0000-4000-8000-000000000000"
# What acts, as it is called; None: it runs on until it is ended, or needs no database.
ACTING: dict[str, str | None] = {
    "accounts tier": "jane@example.com pro",
    "backups check": None,
    "backups restore": None,
    "backups run": None,
    "backups take": None,
    "credits grant": "jane@example.com 1",
    "dead-letters replay": UUID,
    "demo": None,
    "disputes decide": f"{UUID} reject --reason x",
    "disputes open": f"{UUID} --reason x",
    "faucet": None,
    "keys create": "operator",
    "keys revoke": "ly_nobody",
    "make-secrets": None,
    "mcp": None,
    "migrate": "",
    "nodes drain": "nobody",
    "nodes resume": "nobody",
    "nodes revoke-broker": UUID,
    "nodes trust": "nobody",
    "nodes untrust": "nobody",
    "pay": None,
    "payouts acknowledge": "all",
    "payouts book": f"{UUID} 1",
    "payouts cancel": "1",
    "payouts disown": "solana x",
    "payouts enter": f"{UUID} 1 SOL 11111111111111111111111111111112",
    "payouts retry": "1",
    "poller": None,
    "signer make-keys": None,
    "signer replace-key": None,
    "signer run": None,
    "stripe dismiss": "evt_1",
    "stripe retry": "evt_1",
    "solana credit": f"{'1' * 64} jane@example.com",
    "ton assign": f"{UUID} jane@example.com",
    "ton deposit": "jane@example.com 1",
    "ton dismiss": UUID,
    "ton reread": "0:" + "0" * 64,
    "up": None,
}
WITHOUT_DATABASE = {"check-config", "doctor", "settings", "signer addresses", "verify-proof", "wallet"}


def leaves(group: click.Group = cli.cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its whole name."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


_configure = structlog.configure


def _uncached(**options: Any) -> None:
    """Loggers that are first used here must not stay as quiet for the tests that come after in this process."""
    _configure(**options | {"cache_logger_on_first_use": False})


@dataclass
class Entry:
    """`lightyard` with these arguments; what it printed and its exit status."""

    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        with self.monkeypatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["lightyard", *arguments])
            patch.setattr("structlog.configure", _uncached)
            self.capture.readouterr()
            with pytest.raises(SystemExit) as ended:
                cli.main()
        out, err = self.capture.readouterr()
        return int(ended.value.code or 0), out, err

    def json(self, *arguments: str, **settings: str) -> Any:
        code, out, err = self(*arguments, "--json", **settings)
        assert code == 0, err
        return json.loads(out)
