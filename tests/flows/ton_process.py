"""One sweep of TON in a process of its own, so that a fail-point can end it: DATABASE_URL API_URL WALLET MASTER."""

import sys

from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.adapters.chains.toncenter import Toncenter
from app.config import Settings
from app.core.ton_hub import TonHub
from app.db import Database, make_engine
from app.flows import ton_payments
from app.values.ton_address import read

if __name__ == "__main__":
    database = Database(make_engine(Settings(database_url=sys.argv[1])))
    hub = TonHub(read(sys.argv[3]), {read(sys.argv[4]): "USDT"})
    ton_payments.find_arrivals(database, CheckedTonGateway(Toncenter((sys.argv[2],), 10)), hub)
