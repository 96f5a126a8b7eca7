"""What pictures or a video of a prompt will cost, and whether anybody makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.core import estimates
from app.core.estimates import Work
from app.core.render_nodes import Availability
from app.core.scene_estimates import Offer, offers_of
from app.errors import Unavailable
from app.values import prompts
from app.values.capabilities import VIDEO
from app.values.prompts import Limits
from app.values.rates import RateSource

NOBODY = "no node that makes this of a prompt is there now: it can't be ordered before one comes"


@dataclass(frozen=True, slots=True)
class PromptEstimate:
    """`settings` as nodes would get them; `warnings` are what the client should know before it orders."""

    settings: Mapping[str, Any]
    offers: Sequence[Offer]
    warnings: Sequence[str]


def work_of(given: Mapping[str, Any], frames: int, limits: Limits) -> Work:
    """What is to be made: so many pictures, or one video of so many frames. InvalidInput SETTINGS_INVALID."""
    settings, kind = prompts.settle(given, frames, limits), prompts.kind_of(given)
    return Work(None, 0, 1 if kind == VIDEO else frames, settings, None, kind)


def assert_offered(kind: str, there: Availability) -> None:
    """Unavailable IMAGES_NOT_OFFERED or VIDEO_NOT_OFFERED while no node that is there makes it."""
    if there.nodes == 0:
        what = "videos" if kind == VIDEO else "pictures"
        raise Unavailable(
            f"no node that makes {what} of text prompts is online now; try again later, or order a render of a scene",
            code=f"{kind.upper()}_NOT_OFFERED",
        )


def estimate(session: Session, terms: estimates.Terms, rates: RateSource, work: Work, asset: str) -> PromptEstimate:
    """In every tier, paid with `asset`; nobody there is a warning here."""
    found = estimates.estimate(session, work, terms)
    warnings = [NOBODY] if found[0].availability.nodes == 0 else []
    return PromptEstimate(work.settings, offers_of(found, asset, rates), warnings)
