"""A hub that takes deposits on the local TON: its wallet, an account that deposits, and sweeps at a test's word."""

import uuid
from datetime import timedelta

from sqlalchemy import select, update

from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.adapters.chains.toncenter import Toncenter
from app.core import accounts, audit, ledger, payments, ton_deposits
from app.core.ledger import Party
from app.core.ton_hub import TonHub
from app.db import Database
from app.flows import ton_payments
from app.models.arrivals import Arrival
from app.models.payments import ChainCursor, ChainTransaction, Payment
from app.values import ton_address
from app.values.money import Money
from app.values.ton_address import TESTNET, TonAddress
from tests.factories.ton import TON, TonChain

SECONDS = 10


class TonShop:
    def __init__(self, database: Database, chain: TonChain) -> None:
        self.database, self.chain = database, chain
        self.address = chain.wallet("hub")
        self.wallet = self.read(self.address)
        self.master = self.read(chain.dev("jettons")["USDT"]["master"])
        self.hub = TonHub(self.wallet, {self.master: "USDT"})
        self.ton = CheckedTonGateway(Toncenter((chain.api_url,), SECONDS, pause=lambda _: None))
        self.account_id = self.account("payer@example.org")
        self.payer = chain.wallet("alice", 1000 * TON)

    @staticmethod
    def read(text: str) -> TonAddress:
        return ton_address.read(text, TESTNET)

    def account(self, email: str) -> uuid.UUID:
        with self.database.unit_of_work() as session:
            return accounts.ensure_identity(session, "email", email)

    def ask(self, minor: int, asset: str = "TON", seconds: int = 900) -> Payment:
        """A deposit that is asked for; its memo is what a payer writes."""
        with self.database.unit_of_work() as session:
            money = Money(minor, asset)
            payment = ton_deposits.ask(session, self.hub, self.account_id, money, "deposit:", seconds)
            session.flush()
            session.refresh(payment)
            session.expunge(payment)
        return payment

    def pay(self, nano: int, memo: str, bounce: bool = False) -> None:
        self.chain.pay("alice", self.address, nano, memo, bounce)

    def deploy(self) -> None:
        """The hub's wallet has sent something once, so it has code."""
        self.chain.fund(self.address, 5 * TON)
        self.chain.pay("hub", self.payer, TON)

    def let_it_be_due(self) -> None:
        """Pretend that every account was read a while ago."""
        with self.database.unit_of_work() as session:
            session.execute(update(ChainCursor).values(read_at=ChainCursor.read_at - timedelta(minutes=2)))

    def sweep(self) -> int:
        self.let_it_be_due()
        return ton_payments.find_arrivals(self.database, self.ton, self.hub)

    def balance(self, asset: str = "TON") -> int:
        return self.held(Party("balance", self.account_id), asset)

    def held(self, party: Party, asset: str = "TON") -> int:
        with self.database.unit_of_work() as session:
            return ledger.balance(session, party, asset).minor

    def state(self, payment: Payment) -> str:
        with self.database.unit_of_work() as session:
            return session.get_one(Payment, payment.id).state

    def shown(self, payment: Payment) -> list[tuple[str, str | None, int]]:
        """What became of the transactions for a payment, the oldest first."""
        with self.database.unit_of_work() as session:
            query = select(ChainTransaction).where(ChainTransaction.payment_id == payment.id)
            rows = session.scalars(query.order_by(ChainTransaction.created_at)).all()
            return [(row.state, row.code, row.received_minor) for row in rows]

    def messages(self, payment: Payment) -> list[str | None]:
        """What is told of each of them."""
        with self.database.unit_of_work() as session:
            return [row.message for row in payments.shown_for(session, payment.id)]

    def arrivals(self) -> list[tuple[str, str | None, str | None, int]]:
        """(state, code, asset, amount) of what came in, in the chain's order."""
        with self.database.unit_of_work() as session:
            rows = session.scalars(select(Arrival).order_by(Arrival.lt)).all()
            return [(row.state, row.code, row.asset, int(row.amount_minor)) for row in rows]

    def assert_books_agree(self) -> None:
        """The ledger agrees with itself, and what it took from the chain is what the accounts and the unclaimed hold."""
        with self.database.unit_of_work() as session:
            assert audit.differences(session) == []
        for asset in ("TON", "USDT"):
            taken = -self.held(Party("chain"), asset)
            assert taken == self.balance(asset) + self.held(Party("unclaimed"), asset)
