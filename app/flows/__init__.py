"""Verbs that touch the outside: read in one unit of work, call out, write in another."""
