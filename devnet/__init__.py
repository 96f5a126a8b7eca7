"""Local chains for demo and tests."""
