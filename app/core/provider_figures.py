"""What a provider's compute work came to, over hours or weeks."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select, text
from sqlalchemy.orm import Session

from app.models.reputation import ProviderMark
from app.values.reputation import Outcome

CLIENTS_DOING = (Outcome.CANCELLED, Outcome.EXITED)
_ACTIVE = text("""
SELECT count(*) FROM attempts a JOIN work_units u ON u.attempt_id = a.id JOIN tasks t ON t.job_id = u.job_id
WHERE a.state = 'live' AND u.state IN ('assigned', 'rendering', 'uploaded') AND t.provider_id = :provider_id
""")


@dataclass(frozen=True, slots=True)
class Figures:
    """`ended` counts ends of work by outcome, `earned_minor` by asset; `days` are (day, completed, ended badly, seconds)."""

    ended: dict[str, int]
    seconds: int
    earned_minor: dict[str, int]
    days: list[tuple[Any, int, int, int]]

    @property
    def success_percent(self) -> float | None:
        """Of what ended by the provider's doing; None where nothing did."""
        good = self.ended[Outcome.COMPLETED]
        whole = sum(self.ended.values()) - sum(self.ended[outcome] for outcome in CLIENTS_DOING)
        return round(100 * good / whole, 2) if whole else None


def read(session: Session, provider_id: uuid.UUID, since: datetime) -> Figures:
    """All work of a provider's that has ended since then; each reads an index range, so it costs what the period holds."""
    mine: tuple[ColumnElement[bool], ...] = (ProviderMark.provider_id == provider_id, ProviderMark.created_at >= since)
    outcomes = select(ProviderMark.outcome, func.count(), func.sum(ProviderMark.seconds)).where(*mine)
    ended, seconds = {outcome.value: 0 for outcome in Outcome}, 0
    for outcome, count, took in session.execute(outcomes.group_by(ProviderMark.outcome)):
        ended[outcome], seconds = count, seconds + took
    money = select(ProviderMark.asset, func.sum(ProviderMark.earned_minor)).where(*mine, ProviderMark.asset.is_not(None))
    earned = {asset: int(minor) for asset, minor in session.execute(money.group_by(ProviderMark.asset)) if asset}
    day: ColumnElement[datetime] = literal_column("date_trunc('day', created_at, 'UTC')")  # no parameters: it groups, too
    is_good = ProviderMark.outcome == Outcome.COMPLETED
    is_bad = ProviderMark.outcome.not_in((Outcome.COMPLETED, *CLIENTS_DOING))
    series = select(day, func.count().filter(is_good), func.count().filter(is_bad), func.sum(ProviderMark.seconds))
    days = [(row[0], row[1], row[2], int(row[3])) for row in session.execute(series.where(*mine).group_by(day).order_by(day))]
    return Figures(ended, int(seconds), earned, days)


def active_tasks(session: Session, provider_id: uuid.UUID) -> int:
    """Compute tasks in a provider's hands now: its software's and its nodes'."""
    return int(session.execute(_ACTIVE, {"provider_id": provider_id}).scalar_one())
