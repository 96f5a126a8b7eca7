"""Rent compute for containers, or lend it. See README.md beside the package for examples."""

from robocompute.client import AsyncRoboComputeClient, RoboComputeClient
from robocompute.documents import Document
from robocompute.exceptions import RoboComputeError
from robocompute.keypairs import Keypair
from robocompute.provider import AsyncRoboComputeProvider, RoboComputeProvider
from robocompute.retries import NEVER, RetryPolicy

__version__ = "1.0.0"
__all__ = [
    "NEVER",
    "AsyncRoboComputeClient",
    "AsyncRoboComputeProvider",
    "Document",
    "Keypair",
    "RetryPolicy",
    "RoboComputeClient",
    "RoboComputeError",
    "RoboComputeProvider",
]
