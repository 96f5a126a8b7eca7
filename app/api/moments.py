"""Times as the dialects write them that say nothing else."""

from datetime import UTC, datetime


def written(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z, to the microsecond where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
