"""The tables, one file per aggregate; importing this package makes them all known to Alembic."""

from app.models import accounts, jobs, ledger, nodes, payments

__all__ = ["accounts", "jobs", "ledger", "nodes", "payments"]
