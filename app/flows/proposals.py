"""Every participant's earnings are proposed for payout, each in a unit of work of its own."""

import structlog

from app.core import payout_proposals
from app.core.payout_proposals import Terms
from app.db import Database
from app.errors import Unavailable

log = structlog.get_logger()


def propose_all(database: Database, terms: Terms) -> int:
    """For all whose period is over; how many proposals that made. Again, or by two at once, it makes none twice.

    One participant whose figures can't be proposed keeps nobody else from his.
    """
    with database.read_only() as session:
        waiting = payout_proposals.waiting(session, terms.period)
    made = 0
    for participant_id, start in waiting:
        try:
            with database.unit_of_work() as session:
                made += payout_proposals.propose(session, participant_id, start, terms) is not None
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001  logged; the others' proposals must be made
            log.exception("proposals.failed", participant_id=participant_id)
    return made
