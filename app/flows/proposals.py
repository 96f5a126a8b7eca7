"""Every participant's earnings are proposed for payout, each in a unit of work of its own."""

from app.core import payout_proposals
from app.core.payout_proposals import Terms
from app.db import Database


def propose_all(database: Database, terms: Terms) -> int:
    """For all whose period is over; how many proposals that made. Again, or by two at once, it makes none twice."""
    with database.read_only() as session:
        waiting = payout_proposals.waiting(session, terms.period)
    made = 0
    for participant_id, start in waiting:
        with database.unit_of_work() as session:
            made += payout_proposals.propose(session, participant_id, start, terms) is not None
    return made
