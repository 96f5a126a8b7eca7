"""Strangers' containers, run by Docker or podman in everything that confines them."""
