"""One sweep in a process of its own, so that a fail-point can end it: python anchoring_process.py DATABASE_URL RPC_URL."""

import sys

from app.adapters.chains.evm import EvmGateway
from app.config import DEVELOPMENT_ANCHOR_KEY, Settings
from app.db import Database, make_engine
from app.flows import anchors
from app.flows.anchors import Patience

if __name__ == "__main__":
    database = Database(make_engine(Settings(database_url=sys.argv[1])))
    anchors.advance(database, EvmGateway((sys.argv[2],), 10, DEVELOPMENT_ANCHOR_KEY), Patience(1, 300))
