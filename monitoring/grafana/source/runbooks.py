"""Where an operator reads what an alert means: a section of docs/alerts-runbook.md for each."""

PAGE = "docs/alerts-runbook.md"
FOLDER = "${runbooks}"  # the address under which a site serves this repository's files; asked for at the top of a dashboard


def address(alert: str) -> str:
    """The link to an alert's section."""
    return f"{FOLDER}/{PAGE}#{alert.lower()}"
