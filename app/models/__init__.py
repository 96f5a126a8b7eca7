"""The tables, one file per aggregate; importing this package makes them all known to Alembic."""

from app.models import accounts, anchors, jobs, ledger, nodes, payments

__all__ = ["accounts", "anchors", "jobs", "ledger", "nodes", "payments"]
