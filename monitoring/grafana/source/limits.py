"""When a figure is fine, worth a look, or wrong: Grafana's thresholds, at the values at which the alerts fire."""

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

FINE, LOOK, WRONG, PLAIN = "green", "orange", "red", "blue"
Steps = tuple[tuple[float | None, str], ...]  # the first has no value: from minus infinity


def above(wrong: float, look: float | None = None) -> Steps:
    """Wrong from `wrong` on, worth a look from `look` on."""
    middle: Steps = () if look is None else ((look, LOOK),)
    return ((None, FINE), *middle, (wrong, WRONG))


def look_above(look: float) -> Steps:
    """Worth a look from `look` on, and never wrong by itself."""
    return ((None, FINE), (look, LOOK))


def below(fine: float, look: float | None = None) -> Steps:
    """Fine from `fine` on, worth a look from `look` on, wrong beneath."""
    middle: Steps = () if look is None else ((look, LOOK),)
    return ((None, WRONG), *middle, (fine, FINE))


NEUTRAL: Steps = ((None, PLAIN),)  # a figure that is neither good nor bad


def thresholds(steps: Steps) -> ThresholdsConfig:
    """As the builders of panels want it."""
    found = [Threshold(value=value, color=color) for value, color in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)
