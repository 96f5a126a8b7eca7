"""python -m app.signer [--make-keys]: the signer as a process of its own."""

import sys

from app import loading
from app.config import Settings, load
from app.config_checks import check_signer
from app.observability import logs, uncaught
from app.signer import keys
from app.signer.desk import Desk, Limits
from app.signer.journal import Journal
from app.signer.server import Server
from app.values.payouts import OPENS_FROM, read_limits, read_minimums, read_mints


def make_desk(settings: Settings, make_keys: bool = False) -> Desk:
    """A desk over the settings' folder. Keys that were made just now have signed nothing: no quiet time is needed for them."""
    folder = settings.signer_folder
    known = keys.load(folder, make=False)
    found = keys.load(folder, make=make_keys)
    limits = Limits(
        read_limits("SIGNER_MAX_PAYOUT", settings.signer_max_payout),
        read_limits("SIGNER_MAX_DAY", settings.signer_max_day),
        settings.signer_quiet_seconds if known.seeds else 0,
        read_mints(settings.solana_mints),
        read_minimums(settings.payout_opens_account_from, OPENS_FROM),
        settings.signer_max_fee_lamports,
        settings.signer_max_day_fee_lamports,
    )
    return Desk(found, Journal(folder / "journal.jsonl"), limits)


def main() -> None:
    """Serve until the process is ended."""
    settings = load()
    check_signer(settings)
    logs.configure("INFO", settings)
    uncaught.install()
    Server(settings.signer_socket_path, make_desk(settings, "--make-keys" in sys.argv[1:])).serve()


loading.done()

if __name__ == "__main__":
    main()
