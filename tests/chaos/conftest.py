"""The chaos runs use the whole stack of the end-to-end tests."""

from tests.e2e.conftest import cube

__all__ = ["cube"]
