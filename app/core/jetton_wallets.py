"""Owners' jetton wallets, as the masters' contracts name them: asked once, and never believed to change."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models.arrivals import JettonWallet
from app.values import clock
from app.values.ton_address import TonAddress, read


def known(session: Session, owner: TonAddress) -> dict[TonAddress, TonAddress]:
    """The owner's wallet of each master that was asked."""
    rows = session.execute(select(JettonWallet.master, JettonWallet.wallet).where(JettonWallet.owner == owner.raw))
    return {read(master): read(wallet) for master, wallet in rows}


def note(session: Session, owner: TonAddress, master: TonAddress, wallet: TonAddress) -> None:
    """Keep what a master said; the first answer stays."""
    row = {"master": master.raw, "owner": owner.raw, "wallet": wallet.raw, "created_at": clock.now()}
    session.execute(insert(JettonWallet).values(row).on_conflict_do_nothing())
