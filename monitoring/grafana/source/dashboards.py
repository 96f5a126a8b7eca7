"""All dashboards, and the files they are written to."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.grafana.source import api, chain, money, nodes, overview, platform, queues, relay, runbooks
from monitoring.grafana.source.board import Board, Row, build

FOLDER = Path(__file__).parent.parent / "dashboards"


def boards() -> tuple[Board, ...]:
    """Each made anew: building one numbers its panels."""
    return (*(part.board() for part in (overview, queues, nodes, money, api, chain, relay, platform)), _runbook())


def _runbook() -> Board:
    about = (
        "What each alert means and what to do, as docs/alerts-runbook.md has it; the panels of the other dashboards lead here."
    )
    return Board(
        runbooks.NAME, "runbook", about, [Row(title, runbooks.panels(alerts)) for title, alerts in runbooks.groups().items()]
    )


def texts() -> dict[str, str]:
    """What stands in each file, by the file's name."""
    return {
        f"{board.name}.json": json.dumps(build(board), cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n" for board in boards()
    }


def write(folder: Path = FOLDER) -> None:
    """Write them all, and remove what is of no dashboard any more."""
    found = texts()
    for stale in folder.glob("*.json"):
        if stale.name not in found:
            stale.unlink()
    for name, text in found.items():
        (folder / name).write_text(text, encoding="utf-8")
