"""The tables, one file per aggregate; importing this package makes them all known to Alembic."""

from app.models import accounts, credits, jobs, ledger, nodes, payments, sign_ins, uploads

__all__ = ["accounts", "credits", "jobs", "ledger", "nodes", "payments", "sign_ins", "uploads"]
