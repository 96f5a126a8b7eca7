"""One sweep in a process of its own, so that a fail-point can end it: paying_process.py CHAIN DATABASE_URL SOCKET URL…"""

import sys
from pathlib import Path

from app import loading
from app.adapters.signer import SignerClient
from app.config import Settings
from app.db import Database, make_engine
from app.flows import payouts
from app.values.payouts import SOLANA
from tests.factories.payouts import RULES, solana_chain, ton_payouts

loading.done()

if __name__ == "__main__":
    name, database_url, socket, *urls = sys.argv[1:]
    database = Database(make_engine(Settings(database_url=database_url)))
    chain = solana_chain(*urls, timeout_seconds=2) if name == SOLANA else ton_payouts(*urls, timeout_seconds=2)
    payouts.open_due(database, RULES)
    payouts.advance_if_possible(database, chain, SignerClient(Path(socket)))
